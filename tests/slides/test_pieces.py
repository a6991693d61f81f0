"""The pieces of tissue in a slide: they begin and end to the pixel, wherever they lie."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sac_lightning.core.view import View, Window
from sac_lightning.data.scene import render_scene
from sac_lightning.images.slide import whole_slide
from sac_lightning.images.tissue import find_tissue
from sac_lightning.images.tone import tone_of
from sac_lightning.inference.predictor import Predictor
from sac_lightning.slides.area import Area
from sac_lightning.slides.pieces import find_pieces, merge_boxes, place_windows
from sac_lightning.slides.strips import segment_slide

HE = render_scene(np.random.default_rng(1), 160, 160, "histology")[0]
NO_POINTS = np.zeros((0, 3), np.float32)


def glass(height: int = 700, width: int = 640) -> NDArray[np.uint8]:
    return np.random.default_rng(5).normal(241, 1.2, (height, width, 3)).round().astype(np.uint8)


def pieces(image: NDArray[Any]) -> set[Window]:
    slide = whole_slide(image)
    return set(find_pieces(slide, find_tissue(slide)))


def probability(predictor: Predictor, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What predict computes."""
    slide = whole_slide(image)
    tissue = find_tissue(slide)
    area = Area(tissue, None, find_pieces(slide, tissue))
    tone = tone_of(slide, predictor.view.stretch, tissue)
    return np.concatenate(
        [strip.probability for strip in segment_slide(predictor, slide, tone, NO_POINTS, area=area)]
    )


@pytest.mark.parametrize("at", [(304, 160), (301, 167), (7, 333), (0, 0), (540, 480)], ids=str)
@pytest.mark.parametrize("strength", [1, 0.5])
def test_a_piece_has_the_same_probabilities_alone_and_anywhere_in_glass(
    at: tuple[int, int], strength: float, dark: Callable[..., Predictor]
) -> None:
    tissue, slide = (HE * strength).astype(np.uint8), glass()
    slide[at[0] : at[0] + 160, at[1] : at[1] + 160] = tissue
    assert pieces(slide) == {Window(at[1], at[0], 160, 160)}
    within = probability(dark(64, True), slide)
    alone = probability(dark(64, True), tissue)
    assert np.array_equal(within[at[0] : at[0] + 160, at[1] : at[1] + 160], alone)
    assert (within > 0).sum() == (alone > 0).sum()


def test_pieces_have_windows_of_their_own_that_go_from_top_to_bottom(dark: Callable[..., Predictor]) -> None:
    slide = glass(1000, 1000)
    places = ((31, 517), (203, 41), (611, 605))
    for top, left in places:
        slide[top : top + 160, left : left + 160] = HE
    assert pieces(slide) == {Window(left, top, 160, 160) for top, left in places}
    windows = place_windows(View(None, 64), tuple(pieces(slide)))
    assert len(windows) == 3 * 9
    assert windows == sorted(windows, key=lambda window: window.top)
    within, alone = probability(dark(64), slide), probability(dark(64), HE)
    for top, left in places:
        assert np.array_equal(within[top : top + 160, left : left + 160], alone)


def test_an_image_that_is_tissue_all_over_is_one_piece() -> None:
    assert pieces(HE) == {Window(0, 0, 160, 160)}
    view = View(None, 64)
    assert place_windows(view, tuple(pieces(HE))) == view.windows(160, 160)


def test_an_empty_slide_has_no_pieces() -> None:
    assert not pieces(glass())


def test_a_faint_nucleus_is_in_its_piece() -> None:
    down, right = np.mgrid[:300, :300]
    field = np.random.default_rng(0).normal(100, 3, (300, 300)) + 9 * ((down - 150) ** 2 + (right - 170) ** 2 < 50)
    (piece,) = pieces(field.round().astype(np.uint16))
    assert piece.left <= 163
    assert piece.left + piece.width >= 178
    assert piece.top <= 143
    assert piece.top + piece.height >= 158


def test_boxes_whose_windows_would_overlap_are_one() -> None:
    one, near, far = Window(0, 0, 10, 10), Window(30, 0, 10, 10), Window(0, 90, 10, 10)
    assert set(merge_boxes([one, near, far], 0)) == {one, near, far}
    assert set(merge_boxes([one, near, far], 40)) == {Window(0, 0, 40, 10), far}
    # What is joined can meet a third.
    assert merge_boxes([one, Window(30, 30, 10, 10), Window(10, 5, 14, 20)], 25) == [Window(0, 0, 40, 40)]
