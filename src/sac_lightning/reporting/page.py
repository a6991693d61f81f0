"""Write an experiment's page in Markdown: our figures beside the paper's, the prompts, the runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sac_lightning.reporting.experiment import SCALE, Experiment, tag_overrides
from sac_lightning.reporting.paper.tables import Contradiction
from sac_lightning.reporting.published import FIGURES, published_rows
from sac_lightning.reporting.record import Record
from sac_lightning.reporting.row import MeasuredRow, row_labels
from sac_lightning.reporting.table import NAMES, NOT_RUN, NOTHING, markdown_table, text_table

PROMPT_COLUMNS = {
    "positives_on_nucleus": "positive points on a nucleus",
    "negatives_off_nucleus": "negative points off one",
    "nuclei_hit": "nuclei hit",
    "points_per_nucleus": "positive points per nucleus",
}
# Of all points that selection O takes of the whole images, see NucleusPoints; records of former times have none.
NUCLEUS_COLUMNS = {
    "precision": "O: precision",
    "recall": "O: recall",
    "exactly_once": "O: nuclei hit exactly once",
    "f1": "O: F1",
    "regions_per_nucleus": "O: points per nucleus",
}
RATIOS = ("points_per_nucleus", "regions_per_nucleus")
PUBLISHED = """\
What others have published about their own systems: **theirs, not measured here**, with other training images,
often other test images, and metrics that differ in detail ([how](../../docs/instances.md)). It says where the
field is, not who is better.
"""
LEGEND = """\
Metrics in percent, on the test images at their own resolution; ours are means over seeds ± standard deviation.
"Dice 95 %" is the bootstrap interval of the mean over test images; the column after the difference to the paper is
the paired difference to the reference row, with its interval and the p value of a permutation test.
"""
PUBLISHED_HEADER = ["", *(NAMES[name] for name in FIGURES), "data", "source"]
TIMES = """\
Seconds per epoch are those of the training batches, without validation, on the machine as it was at the time: only
runs that were made side by side compare.
"""
SMOKE_LEGEND = """\
"smoke test": the job ran from end to end on a few small images, with random weights where SAM's could not be had;
what it measured means nothing and is not shown.
"""
SMOKE_FIGURES = """\
**Figures of smoke tests**: of a few small images, after a step or two. They mean nothing, least of all beside the
paper's.
"""
SMOKE = """\
**A smoke test, not a result**: these runs show that every job of the experiment runs from end to end. Their
figures mean nothing and stand in no table.
"""


# A text in an experiment's folder, written by hand; both pages start with it.
READING = "reading.md"

INDEX = """\
# Experiments

One page per table and figure of the paper and per ablation of ours, written by `python -m sac_lightning.report`
from the [records](records) of the runs: a fresh clone makes the same pages, byte for byte. [CLAIMS.md](CLAIMS.md)
judges the paper's claims by them; `index.html`, opened from the disk, has all of it with curves to hover over.
[TUNING.md](TUNING.md) says how the settings of scale=cpu were chosen.
Rows that nobody has run say so. Pictures with real images are not in the repository: `report` draws them where the
images (`SAC_DATA`) and the runs are.
"""


@dataclass(frozen=True)
class Part:
    """An experiment at one scale with its measured rows and charts.

    Attributes:
        experiment: The experiment at this scale.
        rows: Rows of its table.
        charts: PNG files in the page's folder.
    """

    experiment: Experiment
    rows: Sequence[MeasuredRow]
    charts: Sequence[Path] = ()

    @cached_property
    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows as text, computed once because the intervals take a while."""
        return text_table(self.experiment, self.rows)


def page(parts: Sequence[Part], reading: str, contradictions: Sequence[Contradiction], records: Path) -> str:
    """Write the page of an experiment; the same records and reading give the same page.

    Args:
        parts: The experiment at one or more scales.
        reading: What a reader should take from it, written by hand; may be empty.
        contradictions: The paper's contradictions about this table.
        records: Folder of the records, relative to the page.
    """
    first = parts[0].experiment
    text = [f"# {first.title}\n"]
    written = f"Written by `python -m sac_lightning.report` from the runs' [records]({records.as_posix()})"
    text.append(f"{written}{f' and [{READING}]({READING})' if reading else ''}.\n")
    if reading:
        text.append(f"## What to take from it\n\n{reading}")
    for part in parts:
        text += _part(part, records)
    if contradictions:
        text.append("## Where the paper contradicts itself\n")
        text.append("".join(f"- {contradiction.text}\n" for contradiction in contradictions))
    return "\n".join(text)


def index(parts: Sequence[Part], reading: str) -> str:
    """Write the page that links to the others and shows how much of each experiment has been run.

    Args:
        parts: All experiments.
        reading: What a reader should take from all of them, written by hand; may be empty.
    """
    rows = []
    for part in parts:
        experiment = part.experiment
        link = f"[{experiment.title}]({experiment.folder}/README.md)"
        rows.append([link, experiment.settings.removeprefix(SCALE), count_rows_run(part.rows)])
    table = markdown_table(["", "scale", "rows run"], rows)
    tag = tag_overrides(parts[0].experiment.overrides)
    introduction = INDEX.replace("CLAIMS.md", f"CLAIMS{tag}.md").replace("index.html", f"index{tag}.html")
    return "\n".join([introduction, table, *([reading] if reading else [])])


def count_rows_run(rows: Sequence[MeasuredRow]) -> str:
    """Return how many of the rows have been run, such as "3 of 7"."""
    return f"{sum(bool(row.records) for row in rows)} of {len(rows)}"


def smoke_page(part: Part) -> str:
    """Write the page of a smoke test: the empty table, and which rows ran."""
    experiment = part.experiment
    unmeasured = [MeasuredRow(row.row, ()) for row in part.rows]
    rows = [[row.row.label, row.row.dataset, "ran" if row.records else NOT_RUN] for row in part.rows]
    header = ["row", "data", "smoke test"]
    table = markdown_table(*text_table(experiment, unmeasured))
    command = f"```sh\n{experiment.command}\n```\n"
    return "\n".join([f"# {experiment.title}\n", command, SMOKE, table, markdown_table(header, rows)])


def _part(part: Part, records: Path) -> list[str]:
    experiment = part.experiment
    text = [f"## {experiment.settings}\n", f"```sh\n{experiment.command}\n```\n"]
    if experiment.scale == "smoke":
        text.append(SMOKE_FIGURES)
    if "dice" in experiment.columns:
        text.append(LEGEND)
    if "seconds_per_epoch" in experiment.columns:
        text.append(TIMES)
    if any(row.smoke_runs for row in part.rows):
        text.append(SMOKE_LEGEND)
    text.append(markdown_table(*part.table))
    text += [f"![{chart.stem.replace('_', ' ')}]({chart.name})\n" for chart in part.charts]
    columns = prompt_columns(part.rows)
    quality = prompt_rows(part.rows, columns)
    if quality:
        text.append("### Prompts\n")
        text.append("What the decoder was prompted with, over all test images: shares in percent.\n")
        text.append(markdown_table(["", *columns.values()], quality))
    published = published_lines(experiment.name)
    if published:
        text += ["### Published\n", PUBLISHED, markdown_table(PUBLISHED_HEADER, published)]
    if any(row.records for row in part.rows):
        text.append("### Runs\n")
        text.append(markdown_table(*run_rows(part.rows, records)))
    return text


def published_lines(experiment: str) -> list[list[str]]:
    """Return a line per system that others have published figures of, in percent; see PUBLISHED_HEADER."""
    return [
        [
            row.system,
            *(f"{100 * row.figures[name]:.2f}" if name in row.figures else NOTHING for name in FIGURES),
            row.data,
            row.source,
        ]
        for row in published_rows(experiment)
    ]


def prompt_columns(rows: Sequence[MeasuredRow]) -> dict[str, str]:
    """Return the figures of prompts that the rows' records have, with their headings."""
    known = {name for row in rows for record in row.records for name in record.content.get("prompt_quality") or {}}
    return PROMPT_COLUMNS | (NUCLEUS_COLUMNS if known & NUCLEUS_COLUMNS.keys() else {})


def prompt_rows(rows: Sequence[MeasuredRow], columns: Mapping[str, str]) -> list[list[str]]:
    """Return a line per row with prompts: figures of their quality, as means over seeds."""
    lines = []
    for label, row in zip(row_labels(rows), rows, strict=True):
        qualities = [record.content.get("prompt_quality") or {} for record in row.records]
        if any(quality.get("points_per_nucleus") for quality in qualities):
            lines.append([label, *(_mean_quality(qualities, name) for name in columns)])
    return lines


def _mean_quality(qualities: Sequence[dict[str, float | None]], name: str) -> str:
    values = [value for quality in qualities if (value := quality.get(name)) is not None]
    if not values:
        return NOTHING
    mean = sum(values) / len(values)
    return f"{mean:.2f}" if name in RATIOS else f"{100 * mean:.1f}"


def run_rows(rows: Sequence[MeasuredRow], records: Path) -> tuple[list[str], list[list[str]]]:
    """Return a header and a line per run: device, date, duration, memory, code version, record."""
    header = ["run", "seed", "date", "device", "epochs", "s/epoch", "peak memory", "test images", "code", "record"]
    labelled = zip(row_labels(rows), rows, strict=True)
    return header, [_run(label, record, records) for label, row in labelled for record in row.records]


def _run(label: str, record: Record, records: Path) -> list[str]:
    content = record.content
    memory, threads = content.get("peak_memory_bytes"), content.get("threads")
    seconds = content.get("seconds_per_epoch")
    device = content.get("device") or NOTHING
    return [
        label,
        str(record.seed),
        str(content["date"])[:10],
        f"{device}, threads: {threads}" if threads and device.startswith("CPU") else device,
        str(len(content["history"]) or NOTHING),
        NOTHING if seconds is None else f"{seconds:.1f}",
        NOTHING if memory is None else f"{memory / 2**30:.1f} GiB",
        str(len(content["images"]) or NOTHING),
        str(content.get("git_commit") or NOTHING)[:8],
        f"[json]({(records / record.name).as_posix()})",
    ]
