"""The rim of tissue: cells that reach into the glass or dark field beside it, wherever the grid of cells lies."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sac_lightning.images.cells import CELL
from sac_lightning.images.slide import Pixels

AROUND = np.ones((3, 3), dtype=np.uint8)
# The level beside a cell is the mean of what lies outside within so many cells.
BESIDE = 3
# Of nuclei or cells that lie by themselves all is rim, and what is between them belongs to the picture: a piece of
# tissue has an inside, of at least this share (our choice).
INSIDE = 0.25


@dataclass(frozen=True)
class Rim:
    """The cells at the edge of the tissue, and what lies beside them.

    Attributes:
        cells: (h, w) bool.
        level: (h, w) float32, how bright it is beside each; NaN where there is no outside.
        tolerance: What differs by no more from that level is not told from it.
    """

    cells: NDArray[np.bool_]
    level: NDArray[np.float32]
    tolerance: float

    def hides(self, strip: Pixels, top: int) -> NDArray[np.bool_]:
        """Return the pixels (n, W) of rows from ``top`` on that lie in the rim and look like what is beside it."""
        cells = self.cells[np.arange(top, top + len(strip)) // CELL]
        if not cells.any():
            return np.zeros(strip.shape[:2], dtype=bool)
        hidden: NDArray[np.bool_] = np.repeat(cells, CELL, axis=1)[:, : strip.shape[1]]
        hidden &= ~self.differ(strip, top, 0)
        return hidden

    def differ(self, pixels: Pixels, top: int, left: int) -> NDArray[np.bool_]:
        """Return which pixels (n, w) of a part of the image differ from what is beside the tissue there."""
        rows, columns = (
            np.arange(first, first + count) // CELL
            for first, count in zip((top, left), pixels.shape[:2], strict=True)
        )
        # One array at a time: a strip of a slide is large.
        distance = self.level[np.ix_(rows, columns)]
        distance -= pixels if pixels.ndim == 2 else pixels.mean(axis=2, dtype=np.float32)
        alike: NDArray[np.bool_] = np.abs(distance, out=distance) <= self.tolerance
        return ~alike


def find_inside(core: NDArray[np.bool_], border: int = 1) -> NDArray[np.bool_]:
    """Return the cells (h, w) of the core that have only such neighbours; all of it, if that leaves too little.

    Args:
        core: (h, w).
        border: Whether what lies beyond the image counts as core: 1 or 0.
    """
    inside: NDArray[np.bool_] = cv2.erode(core.astype(np.uint8), AROUND, borderValue=border) > 0
    return inside if inside.sum() >= INSIDE * core.sum() else core


def find_rim(
    core: NDArray[np.bool_], found: NDArray[np.bool_], level: NDArray[np.float32], tolerance: float
) -> Rim:
    """Find the rim of what is the core of something.

    Args:
        core: (h, w), the cells in which something stands out.
        found: (h, w), these and the cells where something beside them stands out; the others are outside.
        level: (h, w), how bright each cell is.
        tolerance: See Rim.
    """
    outside = (~found).astype(np.float32)
    size = (2 * BESIDE + 1, 2 * BESIDE + 1)
    total, count = (
        cv2.boxFilter(each, -1, size, normalize=False, borderType=cv2.BORDER_CONSTANT).reshape(core.shape)
        for each in (level * outside, outside)
    )
    # At the image's edge there may be glass of less than a cell, and none that is beside it.
    far = np.median(level[~found]) if not found.all() else np.nan
    beside = np.where(count > 0.5, total / np.maximum(count, 1), far).astype(np.float32)
    return Rim(core & ~find_inside(core, border=0), beside, tolerance)
