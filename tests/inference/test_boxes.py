"""Boxes that a person gives around nuclei."""

from typing import Any

import numpy as np
import pytest
from tests.inference.discs import VIEW, Discs, draw, predictor

from sac_lightning.core.errors import UserError
from sac_lightning.data.label_maps import find_boxes
from sac_lightning.inference.predictor import Predictor

EMPTY = np.zeros((50, 70, 3), np.uint8)


def test_a_box_is_answered_by_a_nucleus_of_its_size() -> None:
    image = draw((64, 64), np.array([[20, 20], [44, 44]], np.float32))
    without = predictor().segment(image)
    found = predictor().segment(image, boxes=[[36, 36, 52, 52]])
    assert found.instances.max() == without.instances.max() == 2
    number = found.instances[44, 44]
    left, top, right, bottom = find_boxes(found.instances)[number]
    # The mask of all nuclei has a radius of 6, the box's answer one of 8: what is no nucleus stays none.
    assert right - left == pytest.approx(13, abs=2)
    assert bottom - top == pytest.approx(13, abs=2)
    small = predictor().segment(image, boxes=[[41, 41, 47, 47]]).instances
    assert 0 < (small == small[44, 44]).sum() < (without.instances == without.instances[44, 44]).sum()
    assert [44, 44] in found.points.tolist()


def test_a_box_takes_the_place_of_own_points_in_its_ellipse_and_of_none_in_its_corners() -> None:
    middles = np.array([[12, 20], [28, 20], [33, 33], [50, 50]], np.float32)
    image = draw((64, 64), middles, radius=4.0)
    found = predictor().segment(image, boxes=[[5, 5, 35, 35]])
    assert found.points.tolist() == [[20, 20], [33, 33], [50, 50]]


def test_without_boxes_nothing_changes() -> None:
    image = draw((64, 64), np.array([[20, 20], [44, 44]], np.float32))
    one, other = predictor().segment(image), predictor().segment(image, boxes=[])
    assert np.array_equal(one.instances, other.instances)


@pytest.mark.parametrize(
    ("boxes", "sentence"),
    [
        ([[1, 2, 3]], r"the boxes have the shape \(1, 3\)"),
        ([[5, 5, 5, 9]], r"the box \(5, 5, 5, 9\) is empty"),
        ([[1, 1, 9, 9], [60, 5, 99, 9]], r"the box \(60, 5, 99, 9\) is empty or lies outside"),
        ([[1, np.nan, 9, 9]], "is empty or lies outside"),
    ],
)
def test_what_is_no_box_in_the_image_is_refused(boxes: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        predictor().segment(EMPTY, boxes=boxes)


def test_boxes_are_refused_where_only_points_can_be_shown() -> None:
    with pytest.raises(UserError, match=r"boxes \(1 are given\) are for instances=prompts"):
        Predictor(Discs(), VIEW).segment(EMPTY, boxes=[[1, 1, 9, 9]])


def test_a_box_is_around_all_pixels_of_a_label() -> None:
    labels = np.zeros((9, 9), np.int32)
    labels[2:4, 5], labels[7, 1], labels[8, 2] = 1, 3, 3
    assert find_boxes(labels).tolist() == [[0] * 4, [5, 2, 6, 4], [0] * 4, [1, 7, 3, 9]]
