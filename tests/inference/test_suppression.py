"""Non-maximum suppression and painting by hand arithmetic, and against every pair on whole images."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sac_lightning.inference.suppression import Candidate, paint_label_map, suppress_overlaps


def square(left: int, top: int, side: int, score: float) -> Candidate:
    return Candidate(left, top, np.ones((side, side), dtype=bool), score)


def scores(kept: list[Candidate]) -> list[float]:
    return [candidate.score for candidate in kept]


def test_of_two_that_overlap_more_the_better_is_kept() -> None:
    # 4x4 squares, one column apart: 12 shared pixels, 20 in the union, an IoU of 0.6.
    pair = [square(1, 0, 4, 0.8), square(0, 0, 4, 0.9)]
    assert scores(suppress_overlaps(pair, 0.59)) == [0.9]
    assert scores(suppress_overlaps(pair, 0.6)) == [0.9, 0.8], "just so much is allowed"


def test_what_is_dropped_drops_nothing() -> None:
    # Each overlaps its neighbour by 0.6, the first and the last (two columns apart, 8 of 24) by a third.
    row = [square(0, 0, 4, 0.9), square(1, 0, 4, 0.8), square(2, 0, 4, 0.7)]
    assert scores(suppress_overlaps(row, 0.5)) == [0.9, 0.7]
    assert scores(suppress_overlaps(row, 0.3)) == [0.9]


def test_boxes_may_meet_where_masks_do_not() -> None:
    corner = np.array([[True, False], [False, False]])
    pair = [Candidate(0, 0, corner, 0.9), Candidate(0, 0, ~corner, 0.8)]
    assert len(suppress_overlaps(pair, 0.0)) == 2


def test_of_equal_ones_the_first_is_kept() -> None:
    first, second = square(0, 0, 3, 0.5), square(0, 0, 3, 0.5)
    assert suppress_overlaps([first, second], 0.5) == [first]


def test_nothing_stays_nothing() -> None:
    assert suppress_overlaps([], 0.5) == []
    assert paint_label_map([], (3, 4)).tolist() == np.zeros((3, 4)).tolist()


def test_a_pixel_belongs_to_the_better() -> None:
    labels = paint_label_map([square(0, 0, 2, 0.9), square(1, 0, 3, 0.8)], (3, 5))
    assert labels.tolist() == [[1, 1, 2, 2, 0], [1, 1, 2, 2, 0], [0, 2, 2, 2, 0]]


def test_what_is_not_good_enough_is_left_out() -> None:
    kept = [square(0, 0, 2, 0.9), square(2, 0, 2, 0.5)]
    assert paint_label_map(kept, (2, 4), score=0.5).max() == 1
    assert paint_label_map(kept, (2, 4), score=0.4).max() == 2


def test_the_area_that_is_to_be_seen_counts() -> None:
    kept = [square(0, 0, 2, 0.9), square(1, 0, 2, 0.8)]  # Of the second, half is covered.
    assert paint_label_map(kept, (2, 4), min_area=2).max() == 2
    assert paint_label_map(kept, (2, 4), min_area=3).tolist() == [[1, 1, 0, 0]] * 2


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.floats(0, 0.9), st.floats(0, 1))
def test_agrees_with_every_pair_on_whole_images(seed: int, overlap: float, score: float) -> None:
    rng = np.random.default_rng(seed)
    candidates = []
    for _ in range(12):
        left, top, height, width = (int(v) for v in rng.integers((0, 0, 1, 1), (14, 14, 7, 7)))
        mask = rng.random((height, width)) < 0.8
        mask[0, 0] = True
        candidates.append(Candidate(left, top, mask, round(float(rng.random()), 1)))
    full = np.zeros((len(candidates), 20, 20), dtype=bool)
    for canvas, candidate in zip(full, candidates, strict=True):
        canvas[candidate.box] = candidate.mask
    kept: list[int] = []
    for i in np.argsort([-candidate.score for candidate in candidates], kind="stable"):
        ious = [(full[i] & full[j]).sum() / (full[i] | full[j]).sum() for j in kept]
        if all(iou <= overlap for iou in ious):
            kept.append(int(i))
    found = suppress_overlaps(candidates, overlap)
    assert [id(candidate) for candidate in found] == [id(candidates[i]) for i in kept]
    good = [candidate for candidate in candidates if candidate.score > score]
    assert np.array_equal(
        paint_label_map(found, (20, 20), score), paint_label_map(suppress_overlaps(good, overlap), (20, 20))
    )
