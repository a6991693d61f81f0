"""Clicks on an image whose nuclei are decoded one by one: one click is one nucleus, and a negative one cuts."""

import numpy as np
import pytest
from tests.inference.discs import draw, predictor

from sac_lightning.core.errors import UserError
from sac_lightning.inference.encoded_nuclei import EncodedNuclei
from sac_lightning.model.point_selection import PointSelection

POINTS = np.array([[20, 20], [40, 50], [70, 30]], np.float32)
IMAGE = draw((64, 90), POINTS)


@pytest.fixture
def encoded() -> EncodedNuclei:
    """An image of three nuclei."""
    return EncodedNuclei(predictor(), IMAGE)


def test_without_clicks_it_is_the_predictors_answer(encoded: EncodedNuclei) -> None:
    one, other = encoded.segment(), predictor().segment(IMAGE)
    assert np.array_equal(one.instances, other.instances)
    assert np.array_equal(one.mask, other.mask)
    assert one.instances.max() == 3
    assert sorted(map(tuple, one.points)) == sorted(map(tuple, other.points))


def test_one_click_is_one_nucleus_and_only_that_is_decoded(encoded: EncodedNuclei) -> None:
    before = encoded.segment().instances
    decoder = encoded._predictor.model
    decoder.batches.clear()
    after = encoded.segment([[8, 50]], [1]).instances
    assert decoder.batches == [1]
    assert after.max() == 4
    assert after[50, 8] > 0
    assert np.array_equal(after[:, 20:] > 0, before[:, 20:] > 0), "the others are as they were"
    assert encoded.segment().instances.max() == 3, "a click can be taken back"


def test_a_click_in_a_nucleus_takes_its_place(encoded: EncodedNuclei) -> None:
    after = encoded.segment([[21, 20]], [1])
    assert after.instances.max() == 3
    assert after.instances[20, 26] > 0
    assert after.instances[20, 14] == 0 < encoded.segment().instances[20, 14], "the disc has moved by a pixel"
    assert (after.points == [21, 20]).all(axis=1).any()
    assert not (after.points == [20, 20]).all(axis=1).any()


def test_a_negative_click_cuts_the_nucleus_or_drops_it(encoded: EncodedNuclei) -> None:
    before = encoded.segment().instances
    cut = encoded.segment([[25, 20]], [0]).instances  # Within the nucleus, beyond its interior.
    assert before[20, 25] > 0
    assert cut[20, 25] == 0
    assert cut[20, 18] > 0, "the rest stays"
    assert cut.max() == 3
    dropped = encoded.segment([[20, 20]], [0]).instances
    assert not dropped[14:27, 14:27].any()
    assert dropped.max() == 2


def test_without_automatic_points_there_are_clicked_nuclei_alone(encoded: EncodedNuclei) -> None:
    clicked = encoded.segment([[40, 50]], [1], selection=PointSelection(0))
    assert clicked.instances.max() == 1
    assert clicked.points.tolist() == [[40, 50]]
    assert not encoded.segment(selection=PointSelection(0)).instances.any()


def test_a_click_beyond_the_image_is_refused(encoded: EncodedNuclei) -> None:
    with pytest.raises(UserError, match="outside the image"):
        encoded.segment([[100, 5]], [1])


def test_a_box_is_answered_as_the_predictor_answers_it_and_takes_the_place_of_what_it_holds() -> None:
    image, box = draw((64, 90), POINTS, radius=5.0), [[26, 36, 58, 62]]
    encoded = EncodedNuclei(predictor(), image)
    before, after = encoded.segment().instances, encoded.segment(boxes=box)
    assert before.max() == after.instances.max() == 3
    number = after.instances[49, 42]
    assert number > 0
    assert (after.instances == number).sum() > (before == before[50, 40]).sum(), "as wide as the box"
    assert [42, 49] in after.points.tolist()
    assert [40, 50] not in after.points.tolist()
    assert sorted(map(tuple, after.points)) == sorted(map(tuple, predictor().segment(image, boxes=box).points))


def test_a_box_alone_is_one_nucleus(encoded: EncodedNuclei) -> None:
    found = encoded.segment([[80, 60]], [0], selection=PointSelection(0), boxes=[[33, 43, 47, 57]])
    assert found.instances.max() == 1
    assert found.instances[50, 40] == 1
    with pytest.raises(UserError, match="is empty or lies outside the image"):
        encoded.segment(boxes=[[100, 5, 120, 9]])
