"""The kinds of comparison that the paper's claims consist of, and their outcomes."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Literal

import numpy as np

from sac_lightning.reporting.record import Record
from sac_lightning.reporting.row import MeasuredRow
from sac_lightning.reporting.statistics import (
    Interval,
    image_scores,
    interval_of_ratio,
    paired_difference,
    spread,
)

Outcome = Literal["holds", "does not hold", "within noise", "not tested at this scale"]

ALIKE_POINTS = 0.2  # The claim C6.
ABOUT_TWICE = (1.5, 2.5)  # Our choice: the paper gives 23 s and 12 s, 1.9 times, and no range.
FEWER_PARAMETERS = 102_400  # Table 6.
FINAL_SHARE = 0.99  # The claim C10.
# By chance, three runs are completely separate from three others once in twenty times, two from two once in six.
ENOUGH_SEEDS = 3


@dataclass(frozen=True)
class Comparison:
    """The result of one comparison.

    Attributes:
        measured: The figures, as a phrase.
        outcome: The outcome.
        why: The rule that led to it, as a phrase.
    """

    measured: str
    outcome: Outcome
    why: str


def expect_better(rows: Sequence[MeasuredRow], margin: float = 0.0) -> list[Comparison]:
    """Expect each row's Dice to exceed that of the next one by more than ``margin`` points."""
    return [_compare_dice(a, b, margin, inf) for a, b in pairwise(rows)]


def expect_best(rows: Sequence[MeasuredRow]) -> list[Comparison]:
    """Expect the first row to have a higher Dice than the best of the others."""
    return [_compare_dice(rows[0], max(rows[1:], key=_mean_dice), 0.0, inf)]


def expect_alike(rows: Sequence[MeasuredRow]) -> list[Comparison]:
    """Expect the Dice of two rows to differ by less than 0.2 points."""
    return [_compare_dice(rows[0], rows[1], -ALIKE_POINTS, ALIKE_POINTS)]


def expect_twice_as_slow(rows: Sequence[MeasuredRow]) -> list[Comparison]:
    """Expect an epoch of the first row to take 1.5 to 2.5 times as long as one of the second."""
    return [_compare_times(rows[0], rows[1], *ABOUT_TWICE)]


def expect_better_and_slower(rows: Sequence[MeasuredRow]) -> list[Comparison]:
    """Expect each row to have a higher Dice than the next one, and its epochs to take longer."""
    return expect_better(rows) + [_compare_times(a, b, 1.0, inf) for a, b in pairwise(rows)]


def expect_fewer_parameters(rows: Sequence[MeasuredRow]) -> list[Comparison]:
    """Expect the first row to have 102,400 parameters less in total than the second, with ViT-H, without noise."""
    fewer, more = rows
    for row in rows:
        backbone = row.records[0].content.get("backbone", "vit_h")
        if backbone != "vit_h":
            why = f"{row.row.label} was counted with {backbone}, the claim is about vit_h"
            return [Comparison("", "not tested at this scale", why)]
    totals = [int(row.records[0].content["parameters"]["total"]) for row in (more, fewer)]
    found = totals[0] - totals[1]
    measured = f"{more.row.label} {totals[0]:,} minus {fewer.row.label} {totals[1]:,} = {found:,} parameters"
    if found == FEWER_PARAMETERS:
        return [Comparison(measured, "holds", "the count is the claimed one")]
    return [Comparison(measured, "does not hold", f"the claim is {FEWER_PARAMETERS:,}")]


def expect_fewer_epochs(rows: Sequence[MeasuredRow]) -> list[Comparison]:
    """Expect the first row to reach 99 % of its final validation Dice in fewer epochs than each of the others.

    A run gives one number of epochs, so the runs of the seeds are compared. The claim holds if every run of the
    first row is faster than every run of the other, does not hold if no run is faster than any, and is within
    noise otherwise. With fewer than three seeds per row, it is always within noise: two runs are separate from
    two others by chance in one case of six, and one run has no spread at all.
    """
    return [_compare_epochs(rows[0], other) for other in rows[1:]]


def epochs_to_level(record: Record) -> int | None:
    """Return the first epoch, from 1, with 99 % of the last epoch's validation Dice; None without a curve."""
    curve = sorted(record.curve("val/dice"))
    if not curve:
        return None
    level = FINAL_SHARE * curve[-1][1]
    return next(epoch + 1 for epoch, dice in curve if dice >= level)


def _compare_epochs(fast: MeasuredRow, slow: MeasuredRow) -> Comparison:
    found: list[list[int]] = []
    for row in (fast, slow):
        epochs = [epochs for record in row.records if (epochs := epochs_to_level(record)) is not None]
        if not epochs:
            return Comparison(
                "", "not tested at this scale", f"no record of {row.row.label} has a validation curve"
            )
        found.append(epochs)
    measured = f"{_epochs_text(fast, found[0])} against {_epochs_text(slow, found[1])}"
    if min(len(epochs) for epochs in found) < ENOUGH_SEEDS:
        return Comparison(measured, "within noise", f"{ENOUGH_SEEDS} seeds a row are needed to tell")
    if max(found[0]) < min(found[1]):
        return Comparison(measured, "holds", f"every run of {fast.row.label} is faster than every other")
    if min(found[0]) >= max(found[1]):
        return Comparison(measured, "does not hold", f"no run of {fast.row.label} is faster than any other")
    return Comparison(measured, "within noise", "the runs of the seeds overlap")


def _epochs_text(row: MeasuredRow, epochs: Sequence[int]) -> str:
    found = spread(epochs)
    deviation = "" if found.deviation is None else f" (standard deviation {found.deviation:.1f})"
    return f"{row.row.label} {found.mean:.1f}{deviation} epochs over {_number(found.seeds, 'seed')}"


def _compare_dice(a: MeasuredRow, b: MeasuredRow, low: float, high: float) -> Comparison:
    """Compare the difference in Dice of two rows with a range in points."""
    found = paired_difference(a, b)
    text = f"{a.row.dataset}: {a.row.label} minus {b.row.label} = {100 * found.mean:+.2f} points of Dice"
    if found.interval is None:
        return Comparison(text, "not tested at this scale", "one test image has no interval")
    interval = Interval(100 * found.interval.low, 100 * found.interval.high)
    runs = f"{_number(len(a.records), 'seed')} against {len(b.records)}"
    text += f" ({interval.low:+.2f} to {interval.high:+.2f}, {found.p_text}, {found.images} images, {runs}"
    if "dice" in a.row.paper and "dice" in b.row.paper:
        text += f"; paper {a.row.paper['dice'] - b.row.paper['dice']:+.2f}"
    return Comparison(text + ")", *_decide(interval, low, high, "points"))


def _compare_times(a: MeasuredRow, b: MeasuredRow, low: float, high: float) -> Comparison:
    """Compare the ratio of the seconds per epoch of two rows with a range of factors."""
    devices = sorted({str(record.content.get("device")) for row in (a, b) for record in row.records})
    if len(devices) > 1:
        return Comparison("", "not tested at this scale", f"times of different devices ({'; '.join(devices)})")
    seconds = [_epoch_seconds(row) for row in (a, b)]
    interval = interval_of_ratio(*seconds)
    if interval is None:
        return Comparison("", "not tested at this scale", "fewer than two epochs of a row have a time")
    means = [float(np.mean(of_row)) for of_row in seconds]
    text = f"{a.row.label} {means[0]:.3g} s per epoch, {b.row.label} {means[1]:.3g} s"
    text += f" = {means[0] / means[1]:.2f} times ({interval.low:.2f} to {interval.high:.2f}"
    if "seconds_per_epoch" in a.row.paper and "seconds_per_epoch" in b.row.paper:
        text += f"; paper {a.row.paper['seconds_per_epoch'] / b.row.paper['seconds_per_epoch']:.2f}"
    return Comparison(text + ")", *_decide(interval, low, high, "times"))


def _decide(interval: Interval, low: float, high: float, unit: str) -> tuple[Outcome, str]:
    """Decide whether an interval lies inside the claimed range, outside it, or partly in it."""
    claimed = f"above {low:g} {unit}" if high == inf else f"within {low:g} to {high:g} {unit}"
    if low < interval.low and interval.high < high:
        return "holds", f"the interval lies {claimed}"
    if interval.high < low or interval.low > high:
        return "does not hold", f"no part of the interval lies {claimed}"
    return "within noise", f"not all of the interval lies {claimed}"


def _mean_dice(row: MeasuredRow) -> float:
    return float(np.mean(list(image_scores(row).values())))


def _epoch_seconds(row: MeasuredRow) -> list[float]:
    return [seconds for record in row.records for _, seconds in record.curve("train_seconds")]


def _number(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
