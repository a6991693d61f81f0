"""Decoded nuclei compete for pixels: doubles are dropped, each pixel goes to the surest."""

import numpy as np
import pytest
from tests.inference.discs import Discs, draw, predictor, scatter

from sac_lightning.inference.competition import drop_doubles, paint_nuclei
from sac_lightning.inference.nuclei_of_points import BATCH, DecodedNucleus, cut_out


def nucleus(left: int, top: int, width: int, score: float = 0.5, sure: float = 0.9) -> DecodedNucleus:
    """A square."""
    probability = np.full((width, width), sure, np.float32)
    return DecodedNucleus(left, top, probability, score, np.array([left, top], np.float32))


def test_of_two_that_overlap_much_the_one_of_the_lower_score_is_dropped() -> None:
    good, bad, other = nucleus(0, 0, 10, 0.8), nucleus(1, 0, 10, 0.7), nucleus(8, 0, 10, 0.6)
    assert drop_doubles([bad, good, other], 0.5) == [good, other]
    assert drop_doubles([bad, good, other], 0.9) == [bad, good, other]
    assert drop_doubles([], 0.5) == []


def test_a_negative_point_is_cut_out_whatever_the_decoder_says() -> None:
    square = DecodedNucleus(10, 20, np.full((13, 13), 0.9, np.float32), 0.5, np.array([16, 26], np.float32))
    cut = cut_out(square, np.array([[21, 26], [90, 90]], np.float32)).probability
    assert cut[6, 11] == 0
    assert (cut[:, :8] > 0).all(), "what is nearer to its own point stays"
    assert (square.probability > 0).all()
    assert cut_out(square, np.array([[90, 90]], np.float32)) is square


def test_what_is_dropped_drops_others_so_that_only_neighbours_decide() -> None:
    chain = [nucleus(3 * i, 0, 10, 0.9 - 0.1 * i) for i in range(3)]
    assert drop_doubles(chain, 0.4) == chain[:1]


def test_of_equal_scores_one_is_kept() -> None:
    one, other = nucleus(0, 0, 10), nucleus(1, 0, 10)
    assert drop_doubles([other, one], 0.5) == [one]


def test_a_pixel_goes_to_the_surest_and_what_nobody_is_sure_of_to_none() -> None:
    everywhere = np.ones((10, 30), np.float32)
    labels = paint_nuclei([nucleus(0, 0, 10, sure=0.5), nucleus(5, 0, 10, sure=0.9)], everywhere, 0.6)
    assert (labels[:, :5] == 1).all()
    assert (labels[:, 5:15] == 2).all()
    assert not labels[:, 15:].any()
    nowhere = np.where(np.arange(30) < 8, 0.1, 1).astype(np.float32) * everywhere
    labels = paint_nuclei([nucleus(0, 0, 10, sure=0.9)], nowhere, 0.6)
    assert not labels[:, :8].any()
    assert labels[:, 8:10].all()


def test_a_nucleus_is_one_part_and_large_enough() -> None:
    split = nucleus(0, 0, 10, sure=0.6)
    across = DecodedNucleus(3, 0, np.full((10, 2), 0.9, np.float32), 0.9, np.zeros(2, np.float32))
    labels = paint_nuclei([split, across], np.ones((10, 10), np.float32), 0.5)
    assert np.unique(labels[:, :3]).tolist() == [0], "the smaller of its two parts"
    assert len(np.unique(labels[:, 5:])) == 1
    assert labels.max() == 2
    assert paint_nuclei([split], np.ones((10, 10), np.float32), 0.5, min_area=101).max() == 0


@pytest.mark.parametrize("gap", [14.0, 9.0])
def test_each_point_is_answered_by_its_nucleus(gap: float) -> None:
    points = scatter((150, 130), gap)
    nuclei = predictor().segment(draw((150, 130), points)).instances
    x, y = points.astype(int).T
    if gap > 12:
        assert len(set(nuclei[y, x].tolist()) - {0}) == len(points), "no two share one"
    assert nuclei.max() > 0.8 * len(points)


def test_there_is_no_cap_on_points_and_they_come_in_batches() -> None:
    points = np.stack(np.meshgrid(np.arange(4, 320, 8), np.arange(4, 320, 8)), axis=-1).reshape(-1, 2)
    small = predictor(radius=3.0)
    nuclei = small.segment(draw((324, 324), points.astype(np.float32), 3.0)).instances
    assert nuclei.max() == len(points) == 1600
    assert isinstance(small.model, Discs)
    assert max(small.model.batches) <= BATCH
    assert sum(small.model.batches) == 1600


@pytest.mark.parametrize("crop", [32, 48, 128, 100])
def test_answers_lie_where_they_belong_at_any_magnification(crop: int) -> None:
    points = np.array([[40, 40], [90, 60], [75, 95]], np.float32)
    radius = 6 * crop / 64
    image = draw((130, 130), points, radius)
    nuclei = predictor(crop=crop).segment(image).instances
    assert nuclei.max() == 3
    for x, y in points.astype(int):
        rows, columns = np.nonzero(nuclei == nuclei[y, x])
        assert rows.mean() == pytest.approx(y, abs=0.6)
        assert columns.mean() == pytest.approx(x, abs=0.6)
        assert len(rows) == pytest.approx(np.pi * radius**2, rel=0.25)
