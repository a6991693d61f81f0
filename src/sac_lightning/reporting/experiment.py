"""The experiments of ``conf/experiment`` as tables: their rows, and the records of each row."""

import hashlib
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sac_lightning.core.command_line import sweep_jobs
from sac_lightning.core.configuration import ConfigFolders, compose_config, resolve_config
from sac_lightning.core.errors import UserError
from sac_lightning.reporting.paper.tables import paper_parameters, paper_rows
from sac_lightning.reporting.record import Record
from sac_lightning.reporting.row import MeasuredRow, TableRow
from sac_lightning.runs.identity import row_hash
from sac_lightning.runs.record import RECORD_FILE

# In the order of the paper; the last nine are ours.
EXPERIMENTS = (
    "table1_monuseg",
    "table2_dsb2018",
    "table3_prompts",
    "table4_experts",
    "table5_selection",
    "table6_parameters",
    "table7_backbone",
    "table8_glas",
    "figure1_prompting",
    "figure3_experts",
    "figure4_convergence",
    "figure5_pairs",
    "ablation_lora",
    "ablation_threshold",
    "ablation_loss",
    "ablation_dense",
    "ablation_generator",
    "ablation_separating",
    "instances_monuseg",
    "instances_dsb2018",
    "instances_glas",
)
# Longest part of a file's name that tells overrides.
LONGEST_TAG = 80
SCALE = "scale="


@dataclass(frozen=True)
class Experiment:
    """An experiment at one scale, with the overrides that its sweep was given besides.

    Attributes:
        name: Name of its file, such as table5_selection.
        title: Title of its page.
        scale: Name of the scale.
        reference: Label of the row that the others are compared with.
        columns: Names of the figures in its table.
        rows: Its rows in the order of the sweep.
        hashes: ``row_hash`` of each row at this scale.
        overrides: Those that the report was given, a scale among them.
    """

    name: str
    title: str
    scale: str
    reference: str
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    hashes: tuple[str, ...]
    overrides: tuple[str, ...] = ()

    @property
    def settings(self) -> str:
        """What stands wherever the figures do: the scale and every override, as one types them."""
        return " ".join([f"{SCALE}{self.scale}", *(one for one in self.overrides if not one.startswith(SCALE))])

    @property
    def caption(self) -> str:
        """Its title, with the settings that the report was given."""
        return f"{self.title} ({self.settings})" if self.overrides else self.title

    @property
    def command(self) -> str:
        """The command of its sweep."""
        typed = [f"+experiment={self.name}", f"{SCALE}{self.scale}"]
        typed += [one for one in self.overrides if not one.startswith(SCALE)]
        return f"python -m sac_lightning.train {shlex.join(typed)}"

    @property
    def tag(self) -> str:
        """What the names of its files end in: the scale and every override."""
        return f"{self.scale}{tag_overrides([one for one in self.overrides if not one.startswith(SCALE)])}"

    @property
    def folder(self) -> str:
        """Name of the folder of its page: with overrides, another one than without."""
        return f"{self.name}{tag_overrides(self.overrides)}"

    def match_records(self, records: Mapping[str, Sequence[Record]]) -> list[MeasuredRow]:
        """Match its rows with their records.

        Args:
            records: Records by ``row_hash``.
        """
        return [
            MeasuredRow(row, tuple(records.get(digest, ())))
            for row, digest in zip(self.rows, self.hashes, strict=True)
        ]


def tag_overrides(overrides: Sequence[str]) -> str:
    """Return overrides as the end of a file's name, such as ``_smoke_data.train-4``; empty without any."""
    text = "".join(f"_{re.sub('[^A-Za-z0-9._]+', '-', one.removeprefix(SCALE)).strip('-')}" for one in overrides)
    if len(text) <= LONGEST_TAG:
        return text
    return f"{text[:LONGEST_TAG]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def find_experiments(
    table: str | int | None, folders: ConfigFolders | None = None, recorded: Callable[[], Sequence[str]] = tuple
) -> tuple[str, ...]:
    """Find the experiments that ``table`` names: a number, a name or another name, or the beginning of a name.

    One's own goes by the name of its file, or by the ``experiment.name`` of its records.

    Args:
        table: What the user asks for; None for all of the paper's and of ours.
        folders: Where experiments are; by default the package's.
        recorded: Returns the names of one's own experiments that there are records of.

    Raises:
        UserError: ``table`` does not name one experiment.
    """
    if table is None:
        return EXPERIMENTS
    folders = folders or ConfigFolders()
    if has_file(str(table), folders):
        # A file that only gives another name to an experiment takes over its settings, the name among them.
        name = compose_config("train", [f"+experiment={table}"], folders).experiment.name
        return (str(name) if name is not None and has_file(str(name), folders) else str(table),)
    asked = f"table{table}_" if str(table).isdigit() else str(table)
    names = tuple(name for name in EXPERIMENTS if name.startswith(asked))
    if len(names) == 1:
        return names
    own = recorded()
    if str(table) in own:
        return (str(table),)
    others = f", or of your own: {', '.join(own)}" if own else ""
    raise UserError(f"table={table} is no experiment: choose 1 to 8, or one of {', '.join(EXPERIMENTS)}{others}")


def has_file(name: str, folders: ConfigFolders) -> bool:
    """Return whether there is an experiment's file of this name."""
    places = [folders.main] if folders.own is None else [folders.main, folders.own]
    return any((place / "experiment" / f"{name}.yaml").is_file() for place in places)


def read_experiment(
    name: str, scale: str, overrides: Sequence[str] = (), folders: ConfigFolders | None = None
) -> Experiment:
    """Read an experiment: compose every job as its sweep would.

    Args:
        name: Of its file.
        scale: paper, cpu or smoke; a scale among the overrides counts before it.
        overrides: Overrides as typed after ``+experiment=NAME scale=SCALE``, without seeds.
        folders: Where experiments are; by default the package's.
    """
    return _compose_experiment(name, scale, tuple(overrides), folders or ConfigFolders())


def compose_rows(
    name: str, scale: str, overrides: Sequence[str], folders: ConfigFolders
) -> list[tuple[list[str], dict[str, Any]]]:
    """Return the overrides of each row of an experiment with its configuration, resolved; see read_experiment."""
    typed = [f"+experiment={name}", f"{SCALE}{scale}", "seed=0", *overrides]
    jobs = sweep_jobs("train", typed, folders)
    return [(job, resolve_config(compose_config("train", job, folders))) for job in jobs]


@cache  # A job takes a sixth of a second, and an experiment has up to twenty.
def _compose_experiment(name: str, scale: str, overrides: tuple[str, ...], folders: ConfigFolders) -> Experiment:
    jobs, configs = zip(*compose_rows(name, scale, overrides, folders), strict=True)
    swept = _find_swept(jobs)
    about = configs[0]["experiment"]
    papers = _paper_figures(name)
    rows = []
    for config, own in zip(configs, swept, strict=True):
        label, dataset = config["row"] or " ".join(own) or name, config["data"]["name"]
        paper, source = papers.get((dataset, label)) or papers.get(("", label)) or ({}, "")
        rows.append(TableRow(name, label, dataset, own, paper, source))
    scales = {config["scale"]["name"] for config in configs}
    if len(scales) > 1:
        raise UserError(f"the overrides name the scales {', '.join(sorted(scales))}: report on one at a time")
    return Experiment(
        name,
        about.get("title") or name,
        scales.pop(),
        about.get("reference") or rows[0].label,
        tuple(about["columns"]),
        tuple(rows),
        tuple(row_hash(config) for config in configs),
        overrides,
    )


def group_by_row(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Group records by row, one per seed, in the order of the seeds.

    Of two records with the same seed the later one counts; of a record and its copy, the record beside its run's
    predictions.
    """
    latest: dict[tuple[str, int], Record] = {}
    for record in sorted(records, key=lambda found: (found.content["date"], found.path.name == RECORD_FILE)):
        latest[row_hash(record.content["config"]), record.seed] = record
    rows: dict[str, list[Record]] = {}
    for (digest, _), record in sorted(latest.items(), key=lambda item: item[0]):
        rows.setdefault(digest, []).append(record)
    return rows


def table_of(name: str) -> int | None:
    """Return the number of the paper's table that an experiment reproduces; None if it reproduces none."""
    of_paper = name in EXPERIMENTS and name.startswith("table")
    return int(name.removeprefix("table").split("_")[0]) if of_paper else None


def _find_swept(jobs: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Find the overrides of each job that not all of them share."""
    shared = set(jobs[0]).intersection(*jobs[1:]) if len(jobs) > 1 else set()
    return [tuple(override for override in job if override not in shared) for job in jobs]


def _paper_figures(name: str) -> dict[tuple[str, str], tuple[Mapping[str, float], str]]:
    """Return the paper's figures and their source by data set and label; empty if the experiment is no table."""
    table = table_of(name)
    if table is None:
        return {}
    found: dict[tuple[str, str], tuple[Mapping[str, float], str]] = {
        (row.key.dataset, row.key.row): (row.figures, row.source) for row in paper_rows(table)
    }
    if table == 6:
        for row in paper_parameters():
            counts = {"trainable": row.trainable, "frozen": row.frozen, "total": row.total}
            found["", row.key.row] = (counts, "counted by the paper")
    return found
