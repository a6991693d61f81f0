"""Where in an image there is something: tissue on glass, or signal in a dark field.

Something is there where means of a few pixels differ by more than noise does, within about 50 pixels. This asks
for no colour and no brightness, so that it holds for stains, fluorescence and unstained cells, and slow changes of
illumination do not count. It looks at nothing that is far away: a piece of tissue is the same alone and in glass.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.filters import apply_hysteresis_threshold
from skimage.measure import label
from skimage.segmentation import clear_border

from sac_lightning.core.view import Window
from sac_lightning.images.background import BRIGHT, full_scale
from sac_lightning.images.cells import CELL, Cells, measure_cells
from sac_lightning.images.rim import Rim, find_inside, find_rim
from sac_lightning.images.slide import Slide

# All from here on are our choice, for which docs/image-files.md gives figures. The paper has no slides.
# How much stands out, as a multiple of the noise in the quietest cells, in fine means and in coarse ones, which
# have half of it; and at least, as a part of the range in bright field (stains are strong, and JPEG makes blocks),
# in counts in the dark.
NOISES = (3.0, 1.5)
QUIETEST = 5  # percent of the cells
LEAST_BRIGHT = 12 / 255
LEAST_DARK = 3.0
# What stands out so many times more makes a piece; what stands out less is only its surroundings.
CORE = 1.6
# The percentile of the core's contrasts that is of the stronger things, and not yet of a fibre that shines.
STRONG = 75
# What stands out so many times more than the next weaker thing is no tissue, if the others are this share.
GLARE = 4.0
LEAST_SHARE = 0.05
# The light is what five times so many cells a side have in the middle. What changes by more than so many times the
# least is not the light, but an edge.
LIGHT_CELLS = 4
LIGHT = 3
# Gaps of so many cells to each side are closed: lumens, and the ground between neighbours.
CLOSED = 6
# Enclosed holes of up to so many cells are filled, as the lumen of a gland; so are gaps at the edge of an image of
# which more than this share is tissue.
HOLE_CELLS = 600
MOSTLY = 0.6
# What differs from glass by less than half of the least, or so many times the noise, is not told from it.
UNSEEN = 4.0
# A field is dark, however bright its ground, if it reaches so many times further above the ground than below.
TAIL = 3.0


@dataclass(frozen=True)
class Tissue:
    """Where in an image there is something.

    Attributes:
        core: (h, w) bool, the cells of CELL pixels a side in which something stands out, and is no glare.
        mask: (h, w) bool, these with their surroundings; outside there is no nucleus.
        contrast: How much the stronger things stand out, in the image's numbers. 0 without a core.
        noise: Standard deviation from pixel to pixel in the quietest cells.
        bright: Whether the image is of bright field. Tissue that is too dark for it alone is so in glass, too.
        highest: The highest number of an image of more than 8 bits, and the one below it.
        rim: The cells at the edge of the core; None of what a person has drawn.
    """

    core: NDArray[np.bool_]
    mask: NDArray[np.bool_]
    contrast: float
    noise: float
    bright: bool
    highest: tuple[float, float]
    rim: Rim | None = None

    @property
    def share(self) -> float:
        """The part of the image that the mask covers."""
        return float(self.mask.mean())

    def meets(self, window: Window) -> bool:
        """Return whether any of a window of the image is tissue."""
        top, left = max(window.top, 0) // CELL, max(window.left, 0) // CELL
        bottom, right = -(-(window.top + window.height) // CELL), -(-(window.left + window.width) // CELL)
        return bool(self.mask[top:bottom, left:right].any())


def find_tissue(slide: Slide) -> Tissue:
    """Find where in an image there is something, strip by strip.

    Raises:
        UserError: It holds numbers that are infinite.
    """
    cells = measure_cells(slide)
    first = slide.read(0, 1)
    noisy = cells.noise[cells.noise > 0]
    noise = float(np.percentile(noisy, QUIETEST)) if noisy.size else 0.0
    low, middle, high = _levels(cells)
    full = full_scale(high, first.dtype, first.ndim == 3)
    least = LEAST_DARK if first.dtype.kind in "iu" else LEAST_DARK / 255 * (high - low)
    least = max(least, float(np.finfo(np.float32).tiny))
    # A camera adds a ground of any height to a grey image: there only noise tells what is too little to be a tail.
    shortest = LEAST_BRIGHT * full if cells.colour else max(least, NOISES[1] * noise)
    tail = max(TAIL * (middle - low), shortest)
    dark = min(low, 0) + BRIGHT * (full - min(low, 0))
    bright = middle >= dark and high - middle <= tail
    least = LEAST_BRIGHT * full if bright else least
    slope = _slope(cells.level, LIGHT * least)
    fine, coarse = (
        _standing_out(contrast, slope, max(least, noises * noise))
        for contrast, noises in zip((cells.fine, cells.coarse), NOISES, strict=True)
    )
    found = fine | coarse
    core = _without_glare(_without_rim(found), cells.fine)
    inside = find_inside(core)
    return Tissue(
        core=core,
        mask=_surround(found),
        contrast=float(np.percentile(cells.fine[inside], STRONG)) if core.any() else 0.0,
        noise=noise,
        bright=bool(bright and (not core.any() or np.median(cells.level[inside]) >= dark)),
        highest=cells.highest,
        rim=find_rim(core, found, cells.level, max(least / 2, UNSEEN * noise)),
    )


def _standing_out(contrast: NDArray[np.float32], slope: NDArray[np.float32], least: float) -> NDArray[np.bool_]:
    """Return the cells (h, w) in pieces that stand out, but for what the light changes by itself."""
    result: NDArray[np.bool_] = apply_hysteresis_threshold(contrast - slope, least, CORE * least)
    return result


def _without_rim(core: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the core without its rim, where only a neighbour stands out; the image's edge is none."""
    inner = cv2.erode(core.astype(np.uint8), np.ones((3, 3), dtype=np.uint8), borderValue=1) > 0
    return inner if inner.any() else core


def _without_glare(core: NDArray[np.bool_], contrast: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return the core without what stands out very much more than all else, as a fibre that shines."""
    strengths = np.sort(contrast[core])
    first = max(1, int(len(strengths) * LEAST_SHARE))
    jumps = np.flatnonzero(strengths[first:] > GLARE * strengths[first - 1 : -1])
    if not jumps.size:
        return core
    result: NDArray[np.bool_] = core & (contrast < strengths[first + jumps[0]])
    return result


def _levels(cells: Cells) -> tuple[float, float, float]:
    """Return the lowest, middle and highest level of the cells that hold more than one number."""
    levels = cells.level[cells.noise > 0]
    if not levels.size:
        levels = cells.level
    return float(levels.min()), float(np.median(levels)), float(levels.max())


def _slope(level: NDArray[np.float32], most: float) -> NDArray[np.float32]:
    """Return how much the light changes over a cell and its neighbours (h, w), by what lies far around them.

    What changes by more than ``most`` is an edge, beside which nothing is known of the light.
    """
    height, width = level.shape
    size = max(1, width // LIGHT_CELLS), max(1, height // LIGHT_CELLS)
    far = cv2.medianBlur(cv2.resize(level, size, interpolation=cv2.INTER_AREA), 5).reshape(size[::-1])
    far = np.pad(far, 1, mode="edge")
    steps = np.abs(far[2:, 1:-1] - far[:-2, 1:-1]) + np.abs(far[1:-1, 2:] - far[1:-1, :-2])
    steps *= 3 / (2 * LIGHT_CELLS)
    edges = cv2.dilate((steps > most).astype(np.uint8), np.ones((3, 3), dtype=np.uint8)) > 0
    steps[edges.reshape(steps.shape)] = 0
    slope = cv2.resize(steps, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(slope, dtype=np.float32).reshape(height, width)


def _surround(core: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the core with its surroundings, and its gaps and holes where they are small."""
    grown = cv2.dilate(core.astype(np.uint8), np.ones((3, 3), dtype=np.uint8))
    side = 2 * CLOSED + 1
    padded = np.pad(grown, side, mode="edge")
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    mask = closed[side:-side, side:-side] > 0
    gaps = label(~mask, connectivity=1)
    if mask.mean() < MOSTLY:
        gaps = clear_border(gaps)
    small = np.bincount(gaps.ravel()) <= HOLE_CELLS
    small[0] = False
    result: NDArray[np.bool_] = mask | small[gaps]
    return result
