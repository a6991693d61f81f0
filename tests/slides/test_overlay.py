"""The overlay: the picture of the whole image, however it comes, and a reduced one of a large image."""

import numpy as np
import pytest

from sac_lightning.inference.colouring import PALETTE, colour_nuclei
from sac_lightning.inference.drawing import POSITIVE_RGB, overlay_nuclei
from sac_lightning.slides import overlay as module
from sac_lightning.slides.overlay import Overlay, overlay_in_parts

NO_POINTS = np.zeros((0, 2), np.float32), np.zeros(0, np.int64)


@pytest.fixture
def image() -> np.ndarray:
    """Random colours."""
    return np.random.default_rng(0).integers(0, 200, (90, 47, 3), dtype=np.uint8)


@pytest.fixture
def labels() -> np.ndarray:
    """Two nuclei that touch."""
    labels = np.zeros((90, 47), np.int32)
    labels[10:60, 5:20], labels[10:60, 20:40] = 1, 2
    return labels


def test_in_parts_it_is_the_same(image: np.ndarray, labels: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 7)
    whole = overlay_nuclei(image, labels, colour_nuclei(labels))
    assert np.array_equal(overlay_in_parts(image, labels), whole)
    overlay = Overlay(90, 47, is_large=False)
    for top in range(0, 90, 13):
        overlay.append(image[top : top + 13], labels[top : top + 13])
    assert np.array_equal(overlay.draw(*NO_POINTS), whole)


def test_nuclei_that_touch_have_an_outline_and_a_colour_each(image: np.ndarray, labels: np.ndarray) -> None:
    picture = overlay_in_parts(image, labels)
    left, right = picture[30, 19:21]
    assert {tuple(left), tuple(right)} == set(PALETTE[:2])
    assert tuple(picture[30, 30]) not in PALETTE, "only tinted"
    assert np.array_equal(picture[labels == 0], image[labels == 0])


def test_a_large_one_is_reduced_whatever_the_strips(
    image: np.ndarray, labels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REDUCED_PIXELS", 90 * 47 // 9)
    pictures = []
    for step in (1, 4, 90):
        overlay = Overlay(90, 47, is_large=True)
        for top in range(0, 90, step):
            overlay.append(image[top : top + step], labels[top : top + step])
        pictures.append(overlay.draw(np.array([[31.0, 76.0]], np.float32), np.array([1])))
    assert pictures[0].shape == (30, 15, 3)
    assert all(np.array_equal(picture, pictures[0]) for picture in pictures)
    assert tuple(pictures[0][25, 10]) == POSITIVE_RGB
    assert np.abs(pictures[0][0, 0] - image[:3, :3].mean(axis=(0, 1))).max() < 1
