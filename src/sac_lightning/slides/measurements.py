"""Measurements of every nucleus, by scikit-image's definitions, of all nuclei at once."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_lightning.images.slide import Pixels
from sac_lightning.slides.convex_area import convex_areas

SHAPE = (
    "label",
    "area",
    "centroid_x",
    "centroid_y",
    "major_axis",
    "minor_axis",
    "solidity",
    "mean_intensity",
)
LENGTHS = ("area_um2", "centroid_x_um", "centroid_y_um", "major_axis_um", "minor_axis_um")
Measurements = dict[str, float]
Values = NDArray[np.float64]


def columns(micrometres: tuple[float, float] | None) -> list[str]:
    """Return the names of the measurements, with those in micrometres if the size of a pixel is known."""
    return [*SHAPE, *(LENGTHS if micrometres else ())]


def measure_nuclei(
    labels: NDArray[np.int32], raw: Pixels, top: int = 0, micrometres: tuple[float, float] | None = None
) -> list[Measurements]:
    """Measure every nucleus of some rows of an image.

    Args:
        labels: (n, W), 0 = background.
        raw: (n, W) or (n, W, 3) in the file's own numbers; of colours, the mean of the three is the intensity.
        top: The image's row that is the first here.
        micrometres: Width and height of a pixel.

    Returns:
        A row per nucleus, by label, with the names of ``columns``. In pixels, the centre of the first pixel is
        (0, 0); in micrometres, centroids are counted from there, too.
    """
    y, x = np.nonzero(labels)
    if not len(y):
        return []
    numbers, nuclei = _number_pixels(labels[y, x])
    count = len(numbers)
    values = raw[y, x].astype(np.float64)
    grey = values if values.ndim == 1 else values.mean(axis=1)
    area = np.bincount(nuclei).astype(np.float64)
    centre_x, centre_y, mean = (np.bincount(nuclei, weights) / area for weights in (x, y, grey))
    across, down = x - centre_x[nuclei], y - centre_y[nuclei]
    spread_x, spread_y, shared = (
        np.bincount(nuclei, product) / area for product in (across**2, down**2, across * down)
    )
    major, minor = _axes(spread_x, spread_y, shared)
    solidity = area / convex_areas(nuclei, y, x, count)
    centre_y += top
    table: list[NDArray[Any]] = [numbers, area, centre_x, centre_y, major, minor, solidity, mean]
    if micrometres is not None:
        width, height = micrometres
        major, minor = _axes(spread_x * width**2, spread_y * height**2, shared * width * height)
        table += [area * width * height, centre_x * width, centre_y * height, major, minor]
    names = columns(micrometres)
    return [dict(zip(names, row, strict=True)) for row in zip(*(column.tolist() for column in table), strict=True)]


def _number_pixels(labels: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return which labels (N,) there are among those of pixels (P,), and the place (P,) of each pixel's there."""
    is_there = np.bincount(labels) > 0
    numbers = np.flatnonzero(is_there).astype(np.int32)
    return numbers, (np.cumsum(is_there) - 1)[labels]


def _axes(spread_x: Values, spread_y: Values, shared: Values) -> tuple[Values, Values]:
    """Return the axes of the ellipses that have these variances and covariances."""
    middle = (spread_x + spread_y) / 2
    half = np.hypot((spread_x - spread_y) / 2, shared)
    return 4 * np.sqrt(middle + half), 4 * np.sqrt(np.maximum(middle - half, 0))
