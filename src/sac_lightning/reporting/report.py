"""Write the report: pages that compare the records of the runs with the paper."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console
from tqdm import tqdm

from sac_lightning.core.configuration import ConfigFolders, compose_config, resolve_config
from sac_lightning.core.errors import UserError
from sac_lightning.core.files import whole_file
from sac_lightning.data.sample import Sample
from sac_lightning.reporting.alternatives import find_alternatives, own_experiments
from sac_lightning.reporting.claims import Find, Verdict, claims_page, verdicts
from sac_lightning.reporting.draw import PICTURED, draw_charts, draw_pictures
from sac_lightning.reporting.experiment import (
    SCALE,
    Experiment,
    find_experiments,
    group_by_row,
    has_file,
    read_experiment,
    table_of,
    tag_overrides,
)
from sac_lightning.reporting.html import Section, write_html
from sac_lightning.reporting.page import READING, Part, count_rows_run, index, page, smoke_page
from sac_lightning.reporting.paper.tables import Contradiction, contradictions
from sac_lightning.reporting.record import Record, read_training
from sac_lightning.reporting.recorded import find_recorded, read_recorded
from sac_lightning.reporting.same_contents import keep_same_contents
from sac_lightning.reporting.section import claims_section, section
from sac_lightning.reporting.table import csv_table, latex_table
from sac_lightning.runs.record import RECORD_FILE

SMOKE = "smoke"
SCALES = ("paper", "cpu")
# Its weights are too large for scale=cpu, so its page shows which of its jobs have passed their smoke test.
SHOWS_SMOKE_TESTS = ("table7_backbone",)


def report(cfg: DictConfig, folders: ConfigFolders | None = None) -> None:
    """Write the pages that the configuration asks for.

    Args:
        cfg: The configuration.
        folders: Where experiments are; by default the package's.
    """
    folders = folders or ConfigFolders()
    output, overrides = output_folder(cfg), list(cfg.overrides)
    found = read_records(Path(cfg.runs), RECORD_FILE) + read_records(output / "records", "*.json")
    names = find_experiments(cfg.table, folders, lambda: find_recorded(Path(cfg.runs), output / "records"))
    same, others = keep_same_contents(found)
    if others:
        print(
            f"{len(others)} of the records are left out, as the newest run of their row has read other images or "
            f"weights, the first of them {others[0].path}: run them again, or give runs= a folder of theirs alone"
        )
    records = group_by_row(same)
    measured = [
        [
            collect_part(name, scale, overrides, records, folders)
            for scale in scales_of(found, cfg.smoke, overrides)
        ]
        for name in tqdm(names, desc="composing", leave=False, disable=None)
    ]
    if cfg.smoke:
        for (only,) in measured:
            write(output / only.experiment.folder / "README.md", smoke_page(only))
    else:
        write_pages(measured, output, cfg.root, whole=cfg.table is None)
    print_summary(measured, output, whole=cfg.table is None and not cfg.smoke)
    print_alternatives(measured, records, folders, cfg.runs, whole=cfg.table is None)


def output_folder(cfg: DictConfig) -> Path:
    """Return the folder of the pages."""
    return Path(cfg.output or ("outputs/smoke_report" if cfg.smoke else "experiments"))


def write_pages(measured: Sequence[Sequence[Part]], output: Path, root: str | None, whole: bool) -> None:
    """Write the pages of experiments, each at one or more scales; of all of them, the claims and the web page too.

    Args:
        measured: The experiments.
        output: Folder of the pages.
        root: The folder above the data sets, for pictures.
        whole: Whether these are all experiments.
    """
    for part in (part for parts in measured for part in parts):
        keep(part, output / "records")
    sections = [made for parts in measured for made in write_experiment(parts, output, root)]
    if whole:
        judged = judge(measured)
        tag = tag_overrides(measured[0][0].experiment.overrides)
        write(output / f"CLAIMS{tag}.md", claims_page(judged, contradictions()))
        parts = [part for parts in measured for part in parts]
        write(output / f"README{tag}.md", index(parts, "" if tag else read_reading(output)))
        write_html(output, [*sections, claims_section(judged)], f"index{tag}.html")


def scales_of(records: Sequence[Record], smoke: bool, overrides: Sequence[str]) -> tuple[str, ...]:
    """Return the scales to report on.

    They are those of the records, or cpu if there are none; with smoke, only smoke; with a scale among the
    overrides, that one.
    """
    given = [one.removeprefix(SCALE) for one in overrides if one.startswith(SCALE)]
    if smoke or given:
        return (SMOKE if smoke else given[-1],)
    return tuple(scale for scale in SCALES if any(record.scale == scale for record in records)) or SCALES[-1:]


def read_records(folder: Path, pattern: str) -> list[Record]:
    """Read every training record below a folder."""
    return [read_training(path) for path in sorted(folder.rglob(pattern))]


def collect_part(
    name: str,
    scale: str,
    overrides: Sequence[str],
    records: Mapping[str, Sequence[Record]],
    folders: ConfigFolders | None = None,
) -> Part:
    """Collect an experiment's records at a scale, with smoke tests for the rows that have no records."""
    folders = folders or ConfigFolders()
    if not has_file(name, folders):
        experiment = read_recorded(name, scale, records, overrides)
        return Part(experiment, experiment.match_records(records))
    experiment = read_experiment(name, scale, overrides, folders)
    rows = experiment.match_records(records)
    if name in SHOWS_SMOKE_TESTS and experiment.scale != SMOKE:
        tests = read_experiment(name, SMOKE, overrides).match_records(records)
        rows = [
            row if row.records else replace(row, smoke_runs=test.records)
            for row, test in zip(rows, tests, strict=True)
        ]
    return Part(experiment, rows)


def keep(part: Part, folder: Path) -> None:
    """Copy the records of the runs into ``folder``, so that the pages can be written again without the runs."""
    for record in (record for row in part.rows for record in (*row.records, *row.smoke_runs)):
        path = folder / record.name
        if record.path != path:
            folder.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as partial:
                shutil.copyfile(record.path, partial)


def write_experiment(parts: Sequence[Part], output: Path, root: str | None) -> list[Section]:
    """Write an experiment's page, tables, charts and, if the images are there, pictures; return its sections."""
    name = parts[0].experiment.name
    folder = output / parts[0].experiment.folder
    folder.mkdir(parents=True, exist_ok=True)
    drawn = [replace(part, charts=draw_charts(folder, part.experiment, part.rows)) for part in parts]
    for part in drawn:
        experiment, rows = part.experiment, part.rows
        write(folder / f"table_{experiment.tag}.csv", csv_table(experiment, rows))
        write(folder / f"table_{experiment.tag}.tex", latex_table(experiment.caption, *part.table))
        if name in PICTURED and any(has_predictions(record) for row in rows for record in row.records):
            draw_pictures(folder, experiment, rows, test_images(experiment, root))
    reading = read_reading(folder)
    write(folder / "README.md", page(drawn, reading, find_contradictions(name), Path("../records")))
    return [section(part, reading, output) for part in drawn]


def read_reading(folder: Path) -> str:
    """Read what a person has written about an experiment; empty if there is nothing yet."""
    path = folder / READING
    return path.read_text(encoding="utf-8") if path.exists() else ""


def has_predictions(record: Record) -> bool:
    """Return whether a record is still in the folder of its run, beside its predictions."""
    return (record.path.parent / "test").is_dir()


def find_contradictions(name: str) -> list[Contradiction]:
    """Find the paper's contradictions about the table that an experiment reproduces."""
    table = table_of(name)
    return [found for found in contradictions() if any(key.table == table for key in found.rows)]


def test_images(experiment: Experiment, root: str | None) -> Sequence[Sample]:
    """Return the test images of an experiment's data set; none if they are not on this machine."""
    from sac_lightning.data.build import make_data  # Lightning takes seconds, and few tables show images.

    typed = [f"+experiment={experiment.name}", f"scale={experiment.scale}", *experiment.overrides]
    own = [*typed, *experiment.rows[0].overrides]
    data = make_data(resolve_config(compose_config("train", [*own, f"data.root={root or 'null'}"])))
    try:
        return data.samples.test
    except UserError:
        return []


def judge(measured: Sequence[Sequence[Part]]) -> dict[str, list[Verdict]]:
    """Judge all claims; return the verdicts by scale."""
    rows = {
        (_name_settings(part), row.row.experiment, row.row.label, row.row.dataset): row
        for parts in measured
        for part in parts
        for row in part.rows
    }

    def find_at(scale: str) -> Find:
        return lambda experiment, label, dataset: rows.get((scale, experiment, label, dataset))

    return {_name_settings(part): verdicts(find_at(_name_settings(part))) for part in measured[0]}


def _name_settings(part: Part) -> str:
    """Return the scale of a part, with the overrides that the report was given."""
    return part.experiment.settings.removeprefix(SCALE)


def write(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def print_summary(measured: Sequence[Sequence[Part]], output: Path, whole: bool) -> None:
    """Print how many rows of each experiment have been run, and which files were written."""
    console = Console(soft_wrap=True, highlight=False, markup=False)
    for part in (part for parts in measured for part in parts):
        console.print(f"{part.experiment.name:20} {part.experiment.settings}: {count_rows_run(part.rows)} rows")
    for parts in measured:
        console.print(f"page       {output / parts[0].experiment.folder / 'README.md'}")
    if whole:
        tag = tag_overrides(measured[0][0].experiment.overrides)
        console.print(f"claims     {output / f'CLAIMS{tag}.md'}\nweb page   {output / f'index{tag}.html'}")


def print_alternatives(
    measured: Sequence[Sequence[Part]],
    records: Mapping[str, Sequence[Record]],
    folders: ConfigFolders,
    runs: str,
    whole: bool,
) -> None:
    """Print what there is instead of experiments that have not been run.

    Args:
        measured: The experiments.
        records: All records by ``row_hash``.
        folders: Where experiments are.
        runs: Folder of the runs.
        whole: Whether these are all experiments.
    """
    console = Console(soft_wrap=True, highlight=False, markup=False)
    empty = [parts for parts in measured if not any(row.records for part in parts for row in part.rows)]
    lines = [line for parts in empty for line in find_alternatives(parts[0].experiment, records, folders)]
    if whole or empty:
        lines += own_experiments(records)
    for parts in [] if whole or lines else empty:
        lines.append(f"{runs} has no run of it: {parts[0].experiment.command} makes them")
    for line in lines:
        console.print(line)
