"""Outlines of true and found nuclei over test images: which images, which colours, which size."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sac_lightning.core.errors import UserError
from sac_lightning.core.limits import read_picture_count
from sac_lightning.data.sample import WholeImage
from sac_lightning.data.windows import WindowPoints
from sac_lightning.inference.drawing import BOTH_COLOUR, MASK_COLOUR, TRUTH_COLOUR, draw_outlines
from sac_lightning.training.pictures import SIDE, spread_evenly, write_outlines

GREY = 100


def square(left: int, size: int = 40) -> np.ndarray:
    labels = np.zeros((size, size), dtype=np.int32)
    labels[10:20, left : left + 10] = 1
    return labels


def test_outlines_have_the_colour_of_their_side_and_white_where_both_are() -> None:
    image = np.full((40, 40, 3), GREY, dtype=np.uint8)
    picture = draw_outlines(image, square(5), square(10))
    assert (image == GREY).all(), "the image itself was drawn on"
    assert tuple(picture[12, 5]) == TRUTH_COLOUR
    assert tuple(picture[12, 19]) == MASK_COLOUR
    assert tuple(picture[10, 12]) == BOTH_COLOUR
    assert tuple(picture[12, 7]) == (GREY,) * 3, "the inside has been drawn on"


def test_touching_nuclei_have_an_outline_between_them() -> None:
    both = square(5) + 2 * square(15)
    picture = draw_outlines(np.zeros((40, 40, 3), np.uint8), both, np.zeros_like(both))
    assert tuple(picture[12, 14]) == tuple(picture[12, 15]) == TRUTH_COLOUR


def test_a_small_image_is_enlarged_so_that_an_outline_is_thin(tmp_path: Path) -> None:
    points = WindowPoints(torch.zeros(1, 0, 2), torch.zeros(1, 0, dtype=torch.long))
    image = WholeImage("a", torch.full((3, 40, 40), float(GREY)), torch.from_numpy(square(5)), points, seed=0)
    write_outlines(tmp_path / "pictures" / "a.png", image, square(5))
    with Image.open(tmp_path / "pictures" / "a.png") as file:
        picture = np.array(file)
    factor = SIDE // 40
    assert picture.shape == (40 * factor, 40 * factor, 3)
    white = (picture == BOTH_COLOUR).all(axis=2)
    assert 0 < white.sum() <= 4 * 10 * factor


@pytest.mark.parametrize(("count", "images", "expected"), [
    (0, 14, set()),
    (1, 14, {0}),
    (3, 12, {0, 4, 8}),
    (14, 14, set(range(14))),
    (99, 3, {0, 1, 2}),
])  # fmt: skip
def test_pictures_are_spread_over_the_test_set(count: int, images: int, expected: set[int]) -> None:
    assert spread_evenly(count, images) == expected


def test_the_number_of_pictures_is_read_and_refused() -> None:
    assert read_picture_count("all") is None
    assert read_picture_count(12) == 12
    for wrong in ("some", -1, 1.5, True, None):
        with pytest.raises(UserError, match=r"^pictures is .*: choose all, or a number of test images"):
            read_picture_count(wrong)
