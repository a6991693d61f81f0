"""Times, parameters and epochs compared on made-up records whose outcome is known."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sac_lightning.reporting.claims import CHECKS, RowName, Verdict, verdict
from sac_lightning.reporting.comparisons import epochs_to_level
from sac_lightning.reporting.paper.tables import claims
from sac_lightning.reporting.record import Record
from sac_lightning.reporting.row import MeasuredRow, TableRow


def measured(name: RowName, *contents: Mapping[str, Any], paper: Mapping[str, float] | None = None) -> MeasuredRow:
    usual = {"base_weights": None, "device": "CPU", "images": [], "history": []}
    records = [Record(Path(f"{n}/results.json"), {**usual, "seed": n, **of}) for n, of in enumerate(contents)]
    return MeasuredRow(TableRow(*name, (), paper or {}, ""), tuple(records))


def check(claim: str, rows: Mapping[RowName, MeasuredRow]) -> Verdict:
    chosen = next(one for one in claims() if one.id == claim)
    return verdict(chosen, lambda *name: rows.get(RowName(*name)))


def timed(slow: Sequence[float], fast: Sequence[float], device: str = "CPU") -> Verdict:
    def history(seconds: Sequence[float]) -> list[dict[str, float]]:
        return [{"epoch": epoch, "train_seconds": value} for epoch, value in enumerate(seconds)]

    a, b = CHECKS["C8"].rows
    return check(
        "C8",
        {
            a: measured(a, {"history": history(slow)}, paper={"seconds_per_epoch": 23.0}),
            b: measured(b, {"history": history(fast), "device": device}, paper={"seconds_per_epoch": 12.0}),
        },
    )


@pytest.mark.parametrize(
    ("slow", "fast", "expected"),
    [
        ([23, 22, 24, 23], [12, 11, 12, 13], "holds"),
        ([12, 11, 13, 12], [12, 11, 12, 13], "does not hold"),
        ([40, 41, 39, 40], [12, 11, 12, 13], "does not hold"),
        ([5, 30, 8, 40], [12, 11, 12, 13], "within noise"),
    ],
)
def test_about_twice_as_slow(slow: Sequence[float], fast: Sequence[float], expected: str) -> None:
    assert timed(slow, fast).verdict == expected


def test_times_are_given_as_a_ratio_beside_the_paper_s() -> None:
    found = timed([23.0, 23.0], [11.5, 11.5])
    assert found.measured == (
        "O-256-point 23 s per epoch, R-256-point 11.5 s = 2.00 times (2.00 to 2.00; paper 1.92)",
    )
    assert found.why == "the interval lies within 1.5 to 2.5 times"


def test_times_of_one_epoch_or_of_different_devices_are_not_compared() -> None:
    assert timed([23, 22], [12]).verdict == "not tested at this scale"
    found = timed([23, 22, 24], [12, 11, 12], device="NVIDIA H100")
    assert found.verdict == "not tested at this scale"
    assert found.why == "times of different devices (CPU; NVIDIA H100)"


@pytest.mark.parametrize(
    ("msa", "sac", "expected"),
    [
        (693_621_808, 693_519_408, "holds"),
        (693_621_808, 693_519_409, "does not hold"),
        (693_519_408, 693_621_808, "does not hold"),
    ],
)
def test_parameters_are_counted_exactly(msa: int, sac: int, expected: str) -> None:
    total = {"MSA": msa, "SAC": sac}
    rows = {
        name: measured(name, {"parameters": {"total": total[name.label]}, "backbone": "vit_h"})
        for name in CHECKS["C9"].rows
    }
    found = check("C9", rows)
    assert found.verdict == expected
    assert found.measured == (f"MSA {msa:,} minus SAC {sac:,} = {msa - sac:,} parameters",)


def test_parameters_of_another_backbone_do_not_test_the_claim() -> None:
    rows = {name: measured(name, {"parameters": {"total": 1}, "backbone": "vit_t"}) for name in CHECKS["C9"].rows}
    found = check("C9", rows)
    assert found.verdict == "not tested at this scale"
    assert "vit_t" in found.why


def rising(epochs: int, last: int = 30) -> dict[str, Any]:
    """A run whose validation Dice is at its final 0.8 from the given epoch on, counted from 1."""
    dice = [0.8 if epoch >= epochs else 0.5 for epoch in range(1, last + 1)]
    return {"history": [{"epoch": epoch, "val/dice": value} for epoch, value in enumerate(dice)]}


def convergence(sac: Sequence[int], msa: Sequence[int], sam_ft: Sequence[int]) -> Verdict:
    names = CHECKS["C10"].rows
    epochs = dict(zip([name.label for name in names], (sac, msa, sam_ft), strict=True))
    return check("C10", {name: measured(name, *map(rising, epochs[name.label])) for name in names})


@pytest.mark.parametrize(
    ("sac", "msa", "sam_ft", "expected"),
    [
        ([3, 4, 5], [6, 7, 8], [9, 9, 9], "holds"),
        ([3, 4, 6], [6, 7, 8], [9, 9, 9], "within noise"),
        ([3, 4, 5], [6, 7, 8], [2, 2, 3], "does not hold"),
        ([5, 5, 5], [6, 7, 8], [5, 5, 5], "does not hold"),
        ([3, 4], [6, 7], [9, 9], "within noise"),
        ([3, 4, 5], [6, 7], [9, 9, 9], "within noise"),
        ([3], [9], [9], "within noise"),
        ([9], [3], [3], "within noise"),
    ],
)
def test_fewer_epochs(sac: Sequence[int], msa: Sequence[int], sam_ft: Sequence[int], expected: str) -> None:
    assert convergence(sac, msa, sam_ft).verdict == expected


def test_epochs_are_given_with_their_spread() -> None:
    found = convergence([3, 4, 5], [6], [9, 9])
    assert found.measured == (
        "SAC 4.0 (standard deviation 1.0) epochs over 3 seeds against MSA 1-expert 6.0 epochs over 1 seed: "
        "within noise",
        "SAC 4.0 (standard deviation 1.0) epochs over 3 seeds against "
        "SAM-FT 1-expert 9.0 (standard deviation 0.0) epochs over 2 seeds: within noise",
    )
    assert found.why == "3 seeds a row are needed to tell"


def test_a_run_without_a_curve_does_not_test_convergence() -> None:
    rows = {name: measured(name, rising(3)) for name in CHECKS["C10"].rows}
    untrained = CHECKS["C10"].rows[1]
    assert check("C10", {**rows, untrained: measured(untrained, {})}).verdict == "not tested at this scale"


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ([0.1, 0.5, 0.79, 0.80], 4),  # 99 % of 0.80 is 0.792.
        ([0.1, 0.5, 0.793, 0.80], 3),
        ([0.9, 0.5, 0.6, 0.80], 1),  # Above the final value early on is reached early on.
        ([0.8], 1),
        ([], None),
    ],
)
def test_epochs_to_99_percent_of_the_last_validation_dice(curve: Sequence[float], expected: int | None) -> None:
    history = [{"epoch": epoch, "val/dice": value} for epoch, value in enumerate(curve)]
    assert epochs_to_level(Record(Path("results.json"), {"history": history})) == expected
