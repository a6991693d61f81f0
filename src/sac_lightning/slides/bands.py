"""Strips of probability joined to bands in which every nucleus is complete.

A nucleus that reaches the last row that is known waits for the next strip, so that none is cut at a seam; of an
image that is small enough nothing is labelled before all is there.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sac_lightning.scores import THRESHOLD
from sac_lightning.separation.labels import Maps
from sac_lightning.slides.slide import Pixels
from sac_lightning.slides.strips import Strip

# A band is closed when it has so many pixels; and whatever is in it, when it has so many. Only a connected region
# that is taller than that is cut: 3,300 rows of an image 20,000 pixels wide, which no nucleus reaches.
BAND_PIXELS = 2**24
MOST_PIXELS = 2**26


@dataclass
class Band:
    """Rows of an image. The next band begins with those that are not ``final`` here.

    Attributes:
        top: The image's row that is the first here.
        final: How many rows, from the first, are as they will stay.
        raw: (n, W) or (n, W, 3) in the file's own numbers.
        rgb: (n, W, 3) uint8.
        probability: (n, W) float32.
        labels: (n, W) int32, all nuclei that are complete; numbered on from band to band.
        new: (n, W) int32, those of them that no band before had.
    """

    top: int
    final: int
    raw: Pixels
    rgb: NDArray[np.uint8]
    probability: NDArray[np.float32]
    labels: NDArray[np.int32]
    new: NDArray[np.int32]


def joined(
    strips: Iterable[Strip],
    size: tuple[int, int],
    label: Callable[[Maps], NDArray[np.int32]],
    band_pixels: int,
    most_pixels: int,
    threshold: float = THRESHOLD,
) -> Iterator[Band]:
    """Labels the nuclei of an image that comes in strips.

    Args:
        strips: From top to bottom, all the width.
        size: Height and width of the image.
        label: Maps to labels; a nucleus of its must lie in one connected region of the mask.
        band_pixels: From how many pixels on a band is closed; such as BAND_PIXELS.
        most_pixels: How many are waited for at most until a nucleus is complete; such as MOST_PIXELS.
        threshold: The mask is where the probability is greater.
    """
    waiting: list[Strip] = []
    height, width = size
    labels = np.zeros((0, width), dtype=np.int32)  # of the waiting rows, as far as they have been labelled
    top = count = 0
    for strip in strips:
        waiting.append(strip)
        rows = sum(len(strip.raw) for strip in waiting)
        is_last = top + rows == height
        if rows * width < band_pixels and not is_last:
            continue
        raw, rgb, probability = (
            np.concatenate([getattr(strip, name) for strip in waiting]) for name in ("raw", "rgb", "probability")
        )
        generated = [strip.generator_probability for strip in waiting if strip.generator_probability is not None]
        generator = np.concatenate(generated) if generated else None
        known = np.zeros((rows, width), dtype=np.int32)
        known[: len(labels)] = labels
        mask = (probability > threshold) & (known == 0)
        final = rows
        if not is_last and rows * width < most_pixels:
            final = _without_open_regions(mask)
        new = label(Maps(mask, probability, generator))
        new = np.where(new > 0, new + count, 0).astype(np.int32)
        count = max(count, int(new.max(initial=0)))
        known += new
        yield Band(top, final, raw, rgb, probability, known, new)
        labels, top = known[final:], top + final
        below = None if generator is None else generator[final:]
        waiting = [Strip(raw[final:], rgb[final:], probability[final:], below, strip.points[:0], strip.labels[:0])]


def _without_open_regions(mask: NDArray[np.bool_]) -> int:
    """Clears the connected regions that reach the last row; gives the number of rows above them."""
    _, regions, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    open_regions = np.unique(regions[-1])
    open_regions = open_regions[open_regions > 0]
    if len(open_regions) == 0:
        return len(mask)
    is_open = np.zeros(len(statistics), dtype=bool)
    is_open[open_regions] = True
    mask &= ~is_open[regions]
    return int(statistics[open_regions, cv2.CC_STAT_TOP].min())
