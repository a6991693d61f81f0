"""A row of a table: the paper's figures, the job that reproduces it, and what was measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sac_lightning.reporting.record import Record


@dataclass(frozen=True)
class TableRow:
    """One job of an experiment, whatever its seed.

    Attributes:
        experiment: Name of the experiment, such as table3_prompts.
        label: Label on the page, such as "SAM-FT 1-point 1-expert".
        dataset: monuseg, dsb2018, glas, ...
        overrides: The overrides that the experiment sweeps over, as typed, such as ("row=sam_ft_1p1e",).
        paper: The paper's figures, those that it gives: f1, iou and dice in percent, and seconds_per_epoch; for
            Table 6, numbers of parameters: trainable, frozen and total.
        source: Where the paper has them from ("run by the paper", "copied by the paper from earlier papers");
            empty if the paper has no such row.
    """

    experiment: str
    label: str
    dataset: str
    overrides: tuple[str, ...]
    paper: Mapping[str, float]
    source: str


@dataclass(frozen=True)
class MeasuredRow:
    """A row with its runs at one scale.

    Attributes:
        row: Row of the experiment.
        records: Records of its runs, one per seed, in the order of the seeds; empty if it was not run.
        smoke_runs: Records of its smoke tests (scale=smoke), if it has no others. Their figures mean nothing.
    """

    row: TableRow
    records: tuple[Record, ...]
    smoke_runs: tuple[Record, ...] = ()


def row_labels(rows: Sequence[MeasuredRow]) -> list[str]:
    """Return a label per row, with its data set if the rows have several."""
    several = len({row.row.dataset for row in rows}) > 1
    return [f"{row.row.label} ({row.row.dataset})" if several else row.row.label for row in rows]
