"""Experiments of one's own whose file is not at hand: as tables, from the records of their runs."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sac_lightning.core.errors import UserError
from sac_lightning.reporting.experiment import EXPERIMENTS, SCALE, Experiment
from sac_lightning.reporting.record import Record
from sac_lightning.reporting.row import TableRow
from sac_lightning.reporting.settings import differing, flatten
from sac_lightning.runs.record import RECORD_FILE, read_record


def find_recorded(runs: Path, copies: Path) -> list[str]:
    """Return the names of the experiments of one's own that there are records of.

    Args:
        runs: Folder of the runs.
        copies: Folder of copies of records.
    """
    paths = [*runs.rglob(RECORD_FILE), *copies.glob("*.json")]
    return sorted({name for name in _names(paths) if name is not None} - {*EXPERIMENTS})


def _names(paths: Sequence[Path]) -> Iterator[str | None]:
    for path in paths:
        try:
            yield read_record(path)["experiment"]
        except UserError:
            continue


def read_recorded(
    name: str, scale: str, records: Mapping[str, Sequence[Record]], overrides: Sequence[str]
) -> Experiment:
    """Make an experiment from the records of its runs at a scale: a row per ``row_hash``, the first run first.

    Args:
        name: Its name in the records.
        scale: Name of the scale; a scale among the overrides counts before it.
        records: All records by ``row_hash``.
        overrides: Those that the report was given.

    Raises:
        UserError: There are other overrides than a scale: which rows they are of stands in the file alone.
    """
    if any(not one.startswith(SCALE) for one in overrides):
        raise UserError(
            f"{' '.join(overrides)} needs the file of the experiment {name}: add --config-dir=DIR, the folder of "
            f"experiment/{name}.yaml"
        )
    scale = next((one.removeprefix(SCALE) for one in overrides), scale)
    own = {
        digest: found[0]
        for digest, found in records.items()
        if found[0].content["experiment"] == name and found[0].scale == scale
    }
    ordered = sorted(own.items(), key=lambda item: item[1].content["date"])
    configs = [record.content["config"] for _, record in ordered]
    about: dict[str, Any] = configs[-1]["experiment"] if configs else {}
    labels = _label_rows(name, [record for _, record in ordered])
    return Experiment(
        name,
        about.get("title") or name,
        scale,
        about.get("reference") or (labels[0] if labels else name),
        tuple(about.get("columns") or ("dice",)),
        tuple(
            TableRow(name, label, record.content["dataset"], (), {}, "")
            for label, (_, record) in zip(labels, ordered, strict=True)
        ),
        tuple(digest for digest, _ in ordered),
        tuple(overrides),
    )


def _label_rows(name: str, records: Sequence[Record]) -> list[str]:
    """Return a label per record: its row's, with what it differs in where several have one."""
    labels = [record.content["row"] or "" for record in records]
    settings = [flatten(record.content["config"]) for record in records]
    alike = [[one for one, other in zip(settings, labels, strict=True) if other == label] for label in labels]
    told = [
        " ".join([label, *(f"{key}={own[key]}" for key in differing(group))])
        for label, own, group in zip(labels, settings, alike, strict=True)
    ]
    return [label.strip() or name for label in told]
