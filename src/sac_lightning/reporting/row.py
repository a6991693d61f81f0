"""A row of a table: what the paper has in it, what its experiment runs for it, what was measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sac_lightning.reporting.record import Record


@dataclass(frozen=True)
class TableRow:
    """One job of an experiment, whatever its seed.

    Attributes:
        experiment: Name of the experiment, such as table3_prompts.
        label: As the page shows it, such as "SAM-FT 1-point 1-expert".
        dataset: monuseg, dsb2018, glas, ...
        overrides: What the experiment sweeps over, as one would type it: ("row=sam_ft_1p1e",).
        paper: The paper's figures in percent (f1, iou, dice) and seconds_per_epoch, those that it has.
        source: How the paper came to them ("run by the paper", "copied by the paper from earlier papers"); empty
            where the paper has no such row.
    """

    experiment: str
    label: str
    dataset: str
    overrides: tuple[str, ...]
    paper: Mapping[str, float]
    source: str


@dataclass(frozen=True)
class MeasuredRow:
    """A row with what was run for it at one scale.

    Attributes:
        row: Of the experiment.
        records: Of its runs, one per seed in the seeds' order; none: not run.
        smoke_runs: Of its smoke tests (scale=smoke), where it has no records: they stand for no figures.
    """

    row: TableRow
    records: tuple[Record, ...]
    smoke_runs: tuple[Record, ...] = ()


def row_labels(rows: Sequence[MeasuredRow]) -> list[str]:
    """A label per row, with the data set where the rows have several."""
    several = len({row.row.dataset for row in rows}) > 1
    return [f"{row.row.label} ({row.row.dataset})" if several else row.row.label for row in rows]
