"""Statistics, compared with hand arithmetic, scipy's other tests, and intervals of known coverage."""

import math
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from sac_lightning.core.errors import UserError
from sac_lightning.reporting.record import Record
from sac_lightning.reporting.row import MeasuredRow, TableRow
from sac_lightning.reporting.statistics import (
    Spread,
    image_scores,
    interval_of_mean,
    interval_of_ratio,
    interval_over_images,
    paired_difference,
    spread_over_seeds,
)


def measured(
    *runs: Mapping[str, float], label: str = "SAC", figures: Sequence[Mapping[str, float]] = ()
) -> MeasuredRow:
    """A row whose runs, one per seed, have these Dice scores by image; its IoU is half of them."""
    records = []
    for seed, run in enumerate(runs):
        images = [{"name": name, "dice": dice, "iou": dice / 2} for name, dice in run.items()]
        metrics = figures[seed] if figures else {}
        content = {
            "seed": seed,
            "metrics": metrics,
            "parameters": {},
            "images": images,
            "seconds_per_epoch": 10.0 + seed,
        }
        records.append(Record(Path(f"{label}/{seed}/results.json"), content))
    return MeasuredRow(TableRow("table1_monuseg", label, "monuseg", (), {}, ""), tuple(records))


def many(scores: Sequence[float]) -> dict[str, float]:
    return {f"image{number:03}": float(score) for number, score in enumerate(scores)}


def test_the_spread_over_seeds_is_mean_and_sample_deviation() -> None:
    row = measured({}, {}, {}, figures=[{"f1": 0.80}, {"f1": 0.82}, {"f1": 0.87}])
    found = spread_over_seeds(row, "f1")
    assert found is not None
    # By hand: the mean is 0.83, the squares 9, 1 and 16 ten-thousandths, divided by 2.
    assert found.mean == pytest.approx(0.83)
    assert found.deviation == pytest.approx(math.sqrt(26e-4 / 2))
    assert found.seeds == 3


def test_one_seed_has_no_deviation_and_no_figure_has_no_spread() -> None:
    assert spread_over_seeds(measured({}, figures=[{"dice": 0.5}]), "dice") == Spread(0.5, None, 1)
    assert spread_over_seeds(measured({}, figures=[{"dice": 0.5}]), "aji") is None
    assert spread_over_seeds(
        measured({}, {}, figures=[{"dice": 0.5}, {"dice": 0.5, "aji": 0.1}]), "aji"
    ) == Spread(0.1, None, 1)


def test_seconds_per_epoch_have_a_spread_too() -> None:
    assert spread_over_seeds(measured({}, {}), "seconds_per_epoch") == Spread(
        10.5, pytest.approx(math.sqrt(0.5)), 2
    )


def test_the_score_of_an_image_is_the_mean_over_seeds_in_the_order_of_names() -> None:
    row = measured({"b": 0.2, "a": 0.5}, {"a": 0.7, "b": 0.4})
    assert image_scores(row) == pytest.approx({"a": 0.6, "b": 0.3})
    assert list(image_scores(row, "iou").items()) == [("a", pytest.approx(0.3)), ("b", pytest.approx(0.15))]


def test_seeds_on_different_images_are_refused_with_both_files() -> None:
    with pytest.raises(UserError, match=r"SAC/1/results\.json than in SAC/0/results\.json"):
        image_scores(measured({"a": 0.5}, {"b": 0.5}))


def test_one_image_has_no_interval_and_equal_images_have_a_point() -> None:
    assert interval_over_images(measured({"a": 0.5})) is None
    found = interval_over_images(measured(many([0.3, 0.3, 0.3])))
    assert found is not None
    assert (found.low, found.high) == (0.3, 0.3)


def test_an_interval_of_many_images_is_that_of_the_normal_approximation() -> None:
    scores = np.random.default_rng(3).normal(0.8, 0.05, 400)
    found = interval_over_images(measured(many(scores)))
    reach = NormalDist().inv_cdf(0.975) * scores.std(ddof=1) / math.sqrt(400)
    assert found is not None
    assert found.low == pytest.approx(scores.mean() - reach, abs=0.05 * reach)
    assert found.high == pytest.approx(scores.mean() + reach, abs=0.05 * reach)


def test_an_interval_follows_the_skew_of_the_scores() -> None:
    # Few images fail: the mean of other such images may well be lower, hardly higher.
    scores = [0.9] * 17 + [0.5, 0.3, 0.1]
    found = interval_of_mean(scores)
    assert found is not None
    assert np.mean(scores) - found.low > 1.5 * (found.high - np.mean(scores))


def test_an_interval_is_over_images_and_not_over_seeds() -> None:
    scores = np.linspace(0.2, 0.9, 12)
    once = interval_over_images(measured(many(scores)))
    assert interval_over_images(measured(*[many(scores)] * 5)) == once


def test_the_same_rows_give_the_same_numbers() -> None:
    a, b = (measured(many(np.random.default_rng(seed).uniform(0, 1, 30))) for seed in (1, 2))
    assert paired_difference(a, b) == paired_difference(a, b)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
@example([0.0, 1e-217])
@example([0.1] * 10 + [0.1 + 1e-16])
@example([0.0] * 19 + [1.0])
def test_an_interval_holds_its_mean_and_stays_in_the_range_of_the_scores(scores: list[float]) -> None:
    found = interval_of_mean(scores)
    if len(scores) == 1:
        assert found is None
        return
    assert found is not None
    assert min(scores) - 1e-12 <= found.low <= np.mean(scores) + 1e-12
    assert np.mean(scores) - 1e-12 <= found.high <= max(scores) + 1e-12


def test_a_difference_is_matched_by_the_name_of_the_image() -> None:
    a = measured({"a": 0.9, "b": 0.1, "c": 0.5})
    b = measured({"c": 0.4, "a": 0.8, "b": 0.0})
    found = paired_difference(a, b)
    # Every image is better by 0.1, whatever its place in the record.
    assert found.mean == pytest.approx(0.1)
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == (pytest.approx(0.1), pytest.approx(0.1))
    assert found.images == 3


def test_a_difference_averages_over_the_seeds_that_each_row_has() -> None:
    found = paired_difference(measured({"a": 0.9, "b": 0.6}, {"a": 0.7, "b": 0.6}), measured({"a": 0.5, "b": 0.4}))
    assert found.mean == pytest.approx((0.3 + 0.2) / 2)


def test_a_difference_is_of_the_metric_asked_for() -> None:
    a, b = measured({"a": 0.9, "b": 0.6}), measured({"a": 0.5, "b": 0.4})
    assert paired_difference(a, b, "iou").mean == pytest.approx(paired_difference(a, b).mean / 2)


def test_turned_around_a_difference_changes_its_sign_alone() -> None:
    a, b = (measured(many(np.random.default_rng(seed).uniform(0, 1, 20))) for seed in (5, 6))
    there, back = paired_difference(a, b), paired_difference(b, a)
    assert there.interval is not None
    assert back.interval is not None
    assert back.mean == -there.mean
    assert back.interval.low == pytest.approx(-there.interval.high, abs=2e-3)
    assert back.interval.high == pytest.approx(-there.interval.low, abs=2e-3)
    assert back.p_value == there.p_value


def test_rows_on_different_images_are_refused() -> None:
    for other in ({"a": 0.5}, {"a": 0.5, "c": 0.5}):
        with pytest.raises(
            UserError, match=r"SAC .* and U-Net .* not tested on the same images \(only one has b\)"
        ):
            paired_difference(measured({"a": 0.5, "b": 0.5}), measured(other, label="U-Net"))


def test_the_p_value_counts_the_changes_of_sign_that_go_as_far() -> None:
    differences = [0.05, 0.02, -0.01, 0.04, 0.03, 0.01]
    found = paired_difference(measured(many([0.5 + d for d in differences])), measured(many([0.5] * 6)))
    sums = [sum(s * d for s, d in zip(signs, differences, strict=True)) for signs in product((1, -1), repeat=6)]
    as_far = sum(abs(total) >= abs(sum(differences)) - 1e-12 for total in sums)
    assert found.p_value == pytest.approx(as_far / 64)


@pytest.mark.parametrize(
    ("images", "told"), [(5, "p = 0.062"), (10, "p = 0.002"), (11, "p < 0.001"), (80, "p < 0.001")]
)
def test_a_p_value_is_never_told_as_nothing(images: int, told: str) -> None:
    """All of n differences have one sign: p is 2 / 2^n, or what the changes of sign that are drawn allow."""
    better = [0.6 + 0.001 * i for i in range(images)]
    assert paired_difference(measured(many(better)), measured(many([0.5] * images))).p_text == told


def test_the_p_value_of_many_images_is_near_the_t_test_s() -> None:
    differences = np.random.default_rng(0).normal(0.01, 0.05, 80)
    found = paired_difference(measured(many(0.5 + differences)), measured(many([0.5] * 80)))
    assert found.p_value == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=0.01)


def test_rows_that_are_equal_have_no_difference() -> None:
    row = measured(many([0.2, 0.5, 0.9]))
    found = paired_difference(row, row)
    assert found.interval is not None
    assert (found.mean, found.interval.low, found.interval.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_one_image_has_a_difference_without_interval_and_p_value() -> None:
    found = paired_difference(measured({"a": 0.9}), measured({"a": 0.5}))
    assert (found.mean, found.interval, found.p_value, found.images) == (pytest.approx(0.4), None, None, 1)


def test_a_ratio_is_of_the_means() -> None:
    above, below = np.random.default_rng(0).normal(20, 1, 50), np.random.default_rng(1).normal(10, 1, 40)
    found = interval_of_ratio(above.tolist(), below.tolist())
    assert found is not None
    ratio = above.mean() / below.mean()
    # The delta method: relative variances of the two means add up.
    relative = [sample.std(ddof=1) / math.sqrt(len(sample)) / sample.mean() for sample in (above, below)]
    reach = 1.96 * ratio * math.hypot(*relative)
    assert found.low == pytest.approx(ratio - reach, abs=0.1 * reach)
    assert found.high == pytest.approx(ratio + reach, abs=0.1 * reach)


def test_a_ratio_of_constants_is_a_point_and_of_one_value_none() -> None:
    found = interval_of_ratio([6.0, 6.0], [3.0, 3.0, 3.0])
    assert found is not None
    assert (found.low, found.high) == (2.0, 2.0)
    assert interval_of_ratio([6.0], [3.0, 3.0]) is None
