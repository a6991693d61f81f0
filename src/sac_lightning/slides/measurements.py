"""Measurements of every nucleus, by scikit-image's definitions."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import regionprops_table

from sac_lightning.images.slide import Pixels

SHAPE = {
    "label": "label",
    "area": "area",
    "centroid-1": "centroid_x",
    "centroid-0": "centroid_y",
    "axis_major_length": "major_axis",
    "axis_minor_length": "minor_axis",
    "solidity": "solidity",
    "intensity_mean": "mean_intensity",
}
LENGTHS = {
    "area": "area_um2",
    "centroid-1": "centroid_x_um",
    "centroid-0": "centroid_y_um",
    "axis_major_length": "major_axis_um",
    "axis_minor_length": "minor_axis_um",
}
Measurements = dict[str, float]


def columns(micrometres: tuple[float, float] | None) -> list[str]:
    """Return the names of the measurements, with those in micrometres if the size of a pixel is known."""
    return [*SHAPE.values(), *(LENGTHS.values() if micrometres else ())]


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
    grey = raw if raw.ndim == 2 else raw.mean(axis=2, dtype=np.float32)
    table = _table(labels, grey, SHAPE)
    table["centroid_y"] = table["centroid_y"] + top
    if micrometres is not None:
        width, height = micrometres
        table |= _table(labels, None, LENGTHS, spacing=(height, width))
        table["centroid_y_um"] = table["centroid_y_um"] + top * height
    values = [column.tolist() for column in table.values()]
    return [dict(zip(table, row, strict=True)) for row in zip(*values, strict=True)]


def _table(
    labels: NDArray[np.int32], grey: Pixels | None, names: dict[str, str], **options: Any
) -> dict[str, Any]:
    properties = list(dict.fromkeys(name.split("-")[0] for name in names))
    with warnings.catch_warnings():
        # A nucleus of a pixel or a line has no convex hull to compute: its solidity is then 1 by definition.
        warnings.simplefilter("ignore")
        table = regionprops_table(labels, grey, properties=properties, **options)
    return {names[name]: table[name] for name in names}
