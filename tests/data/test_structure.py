"""The size of nuclei and the coarseness of images, which go with magnification."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sac_lightning.core.scale import Scale
from sac_lightning.data.nuclear_size import LEAST_SPREAD, measure_diameters, measure_samples
from sac_lightning.data.sample import LoadedSample
from sac_lightning.data.structure import MOST_LAG, measure_structure


def discs(radius: int, side: int = 256, dark: bool = False) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """An image of discs on a grid, each a little off its place, and their label map."""
    rng = np.random.default_rng(radius)
    image, labels = np.full((side, side), 30, np.uint8), np.zeros((side, side), np.int32)
    step = 5 * radius
    for number, (row, column) in enumerate(np.ndindex(side // step, side // step), 1):
        y, x = (np.array([row, column]) + 0.5) * step + rng.uniform(-radius, radius, 2)
        inside = np.hypot(*(np.mgrid[:side, :side] - np.array([y, x])[:, None, None])) <= radius
        image[inside], labels[inside] = 200, number
    image = 255 - image if dark else image
    return np.repeat(image[:, :, None], 3, axis=2), labels


@pytest.mark.parametrize("dark", [False, True])
def test_structure_doubles_with_magnification_whatever_is_dark(dark: bool) -> None:
    image, _ = discs(8, dark=dark)
    measured = []
    for factor in (2, 1, 0.5):
        sized = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        structure = measure_structure(sized)
        assert structure is not None
        measured.append(structure / factor)
    assert np.ptp(measured) < 0.15 * measured[1], f"{measured} should be nearly equal"


def test_structure_does_not_depend_on_contrast() -> None:
    image, _ = discs(6)
    faint = (image // 10 + 100).astype(np.uint8)
    assert measure_structure(faint) == pytest.approx(measure_structure(image), rel=0.02)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 40, 3), (64, 64, 3), (2000, 3, 3)])
def test_an_empty_or_tiny_image_has_no_structure(shape: tuple[int, int, int]) -> None:
    assert measure_structure(np.full(shape, 240, np.uint8)) is None


def test_what_is_coarser_than_any_nucleus_is_none() -> None:
    ramp = np.repeat(np.linspace(0, 255, 8 * MOST_LAG).astype(np.uint8)[None, :, None], 300, axis=0)
    assert measure_structure(np.repeat(ramp, 3, axis=2)) is None


def test_diameters_are_those_of_discs_as_large() -> None:
    _, labels = discs(8)
    np.testing.assert_allclose(measure_diameters(labels), 16, rtol=0.05)
    assert len(measure_diameters(np.zeros((5, 5), np.int32))) == 0


def test_a_training_is_measured_at_its_own_magnification() -> None:
    samples = [LoadedSample(f"{radius}", *discs(radius)) for radius in (4, 8)]
    scale = measure_samples(samples, [0.5, 1.0], 0.25)  # the first at half the magnification of the second
    assert scale.micrometres == 0.25
    assert scale.diameter == pytest.approx(16, rel=0.1)
    assert scale.spread == LEAST_SPREAD, "both look alike at the training's magnification"


def test_a_training_without_nuclei_or_structure_has_no_size() -> None:
    empty = LoadedSample("empty", np.zeros((30, 30, 3), np.uint8), np.zeros((30, 30), np.int32))
    assert measure_samples([empty], [1.0], None) == Scale()
