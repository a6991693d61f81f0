"""Which part of an image the predict command works on: its tissue, and the regions that a person has drawn."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sac_lightning.core.view import View, Window
from sac_lightning.data.label_maps import renumber_labels
from sac_lightning.images.cells import CELL
from sac_lightning.images.tissue import Tissue
from sac_lightning.slides.pieces import place_windows
from sac_lightning.slides.regions import Regions

# Around a point that a person gives, so many cells are tissue, whatever they look like.
POINT_CELLS = 4


@dataclass(frozen=True)
class Area:
    """A part of an image; without tissue and regions the whole of it.

    Attributes:
        tissue: Outside of its mask there is no nucleus.
        regions: Only nuclei whose centre lies in them are kept.
        pieces: The boxes of the tissue, of which each has windows of its own; empty: the image as a whole.
    """

    tissue: Tissue | None = None
    regions: Regions | None = None
    pieces: tuple[Window, ...] = ()

    def windows(self, view: View, height: int, width: int) -> list[Window]:
        """Return the windows that cover this area of an image, and some around it, from top to bottom."""
        if view.crop is None or not self.pieces:
            return view.windows(height, width)
        return place_windows(view, self.pieces)

    def meets(self, window: Window) -> bool:
        """Return whether any part of a window of the image is of this area."""
        if self.tissue is not None and not self.tissue.meets(window):
            return False
        return self.regions is None or self.regions.meet(window)

    def clear_glass(self, probability: NDArray[np.float32], top: int) -> None:
        """Set the probability (n, W) of rows from ``top`` on to 0 where there is no tissue."""
        if self.tissue is None:
            return
        rows = self.tissue.mask[np.arange(top, top + len(probability)) // CELL]
        if not rows.all():
            probability[~np.repeat(rows, CELL, axis=1)[:, : probability.shape[1]]] = 0

    def draw(self, top: int, bottom: int, width: int) -> NDArray[np.bool_]:
        """Draw this area in the rows of an image from ``top`` to before ``bottom``, (bottom - top, width)."""
        inside = np.ones((bottom - top, width), dtype=bool)
        if self.tissue is not None:
            rows = self.tissue.mask[np.arange(top, bottom) // CELL]
            inside &= np.repeat(rows, CELL, axis=1)[:, :width]
        if self.regions is not None and len(inside):
            inside &= self.regions.draw(top, bottom, width)
        return inside

    def keep(self, labels: NDArray[np.int32], probability: NDArray[np.float32], top: int) -> NDArray[np.int32]:
        """Return the nuclei (n, W) of rows from ``top`` on whose centres lie in the regions, renumbered.

        The probability (n, W) of the others is set to 0.
        """
        if self.regions is None or not labels.any():
            return labels
        y, x = np.nonzero(labels)
        numbers = labels[y, x]
        sizes = np.maximum(np.bincount(numbers), 1)
        centres = np.stack([np.bincount(numbers, x), np.bincount(numbers, y + top)], axis=1) / sizes[:, None]
        inside = self.regions.contain(centres)
        inside[0] = False
        kept = renumber_labels(np.where(inside[labels], labels, 0))
        probability[(labels > 0) & (kept == 0)] = 0
        return kept

    def clear_outside(self, probability: NDArray[np.float32], labels: NDArray[np.int32], top: int) -> None:
        """Set the probability (n, W) of rows to 0 where there is neither a region nor a nucleus."""
        if self.regions is not None and len(labels):
            inside = self.regions.draw(top, top + len(labels), labels.shape[1])
            probability[~inside & (labels == 0)] = 0


WHOLE = Area()


def take_drawn(tissue: Tissue, drawn: Regions) -> Tissue:
    """Return the tissue that a person has drawn in place of what was found."""
    mask = drawn.draw(0, len(tissue.mask), tissue.mask.shape[1], scale=CELL)
    core = tissue.core & mask
    return replace(tissue, core=core if core.any() else mask, mask=mask, rim=None)


def add_points(tissue: Tissue, points: NDArray[np.float32]) -> Tissue:
    """Return tissue with what lies around expert points (N, 3 or 5), xy in pixels and label."""
    if not len(points):
        return tissue
    mask = tissue.mask.copy()
    for x, y in (points[:, :2] / CELL).astype(int):
        mask[max(y - POINT_CELLS, 0) : y + POINT_CELLS + 1, max(x - POINT_CELLS, 0) : x + POINT_CELLS + 1] = True
    return replace(tissue, mask=mask)
