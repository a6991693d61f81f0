"""An image in cells of some pixels: how much stands out in each, how bright and how noisy it is.

A cell's numbers depend only on what lies around it: a piece of tissue has the same ones alone and in a slide.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sac_lightning.core.errors import UserError
from sac_lightning.images.slide import Pixels, Slide

CELL = 16
"""Pixels of a cell's side: about a nucleus."""
# Means of so many pixels a side are compared: in the finer ones noise is down to a quarter, and small nuclei are
# still there; in the coarser ones it is down to an eighth, for nuclei that hardly stand out from it.
FINE, COARSE = 4, 8
# What is lower than all and higher than all, where nothing is to be compared.
NOWHERE = np.float32(1e30)
# From the mean difference of neighbours to the standard deviation of normal noise.
TO_DEVIATION = np.sqrt(np.pi) / 2


@dataclass(frozen=True)
class Cells:
    """What is measured of each cell; the last ones of a row or column may reach beyond the image.

    Attributes:
        fine: (h, w) float32, the greatest difference between means of FINE pixels a side in the cell and its eight
            neighbours, of the channel where it is greatest. Cells that hold one number only (a dead border, a
            missing tile) are left out.
        coarse: (h, w) float32, the same of COARSE pixels.
        level: (h, w) float32, the middle of the cell's means.
        noise: (h, w) float32, standard deviation from pixel to pixel; 0 of a cell that holds one number only.
        colour: Whether its channels differ anywhere.
        highest: The highest number and the one below it, of an image of more than 8 bits.
    """

    fine: NDArray[np.float32]
    coarse: NDArray[np.float32]
    level: NDArray[np.float32]
    noise: NDArray[np.float32]
    colour: bool
    highest: tuple[float, float]


def measure_cells(slide: Slide) -> Cells:
    """Measure an image cell by cell, strip by strip. Single hot pixels, lines and columns do not count.

    Raises:
        UserError: It holds numbers that are infinite.
    """
    contrasts, levels, noises = [], [], []
    low = high = np.zeros((0, 0, 0), dtype=np.float32)
    colour, highest = False, (-np.inf, -np.inf)
    for rows in _whole_cells(slide):
        new_low, new_high, level, noise = _measure_rows(rows)
        colour = colour or bool((rows[:, :, 1:] != rows[:, :, :-1]).any())
        if rows.dtype != np.uint8:
            highest = _two_highest(rows, highest)
        levels.append(level)
        noises.append(noise)
        # The last row waits for the one below it.
        start = max(len(low) - 1, 0)
        low, high = (np.concatenate([a, b]) if len(a) else b for a, b in ((low, new_low), (high, new_high)))
        contrasts.append(_contrast(low, high)[start:-1])
        low, high = low[-2:], high[-2:]
    contrasts.append(_contrast(low, high)[-1:])
    fine, coarse = np.split(np.concatenate(contrasts), 2, axis=2)
    return Cells(
        fine.max(axis=2), coarse.max(axis=2), np.concatenate(levels), np.concatenate(noises), colour, highest
    )


def _two_highest(rows: NDArray[Any], before: tuple[float, float]) -> tuple[float, float]:
    """Return the two highest numbers of rows and of two from before."""
    highest = rows.max()
    below = rows[rows < highest]
    found = {*before, float(highest), float(below.max()) if below.size else -np.inf}
    second, first = sorted(found)[-2:] if len(found) > 1 else (-np.inf, *found)
    return first, second


def _whole_cells(slide: Slide) -> Iterator[NDArray[Any]]:
    """Yield all rows (n, W, C) in strips of whole cells; at the right and lower edge pixels are mirrored.

    Repeated ones would be without noise. The last strip may be too low for that: a row of cells waits for it.
    """
    rest = slide.read(0, 0)
    bottom = 0
    for strip in slide.strips():
        bottom += len(strip)
        rows = np.concatenate([rest, strip])
        whole = len(rows) if bottom == slide.height else max(0, len(rows) // CELL - 1) * CELL
        rest = rows[whole:]
        if whole:
            rows = rows[:whole].reshape(whole, slide.width, -1)
            yield np.pad(rows, ((0, -whole % CELL), (0, -slide.width % CELL), (0, 0)), mode="symmetric")


def _measure_rows(rows: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
    """Return the lowest and highest mean of cells (h, w, 2 C), fine ones first, and level and noise (h, w)."""
    if rows.dtype not in (np.uint8, np.uint16):
        rows = rows.astype(np.float32)
        if not np.isfinite(rows).all():
            raise UserError("it holds values that are infinite or NaN: save it with 8 or 16 bits")
    steps = np.zeros(rows.shape, dtype=rows.dtype)
    steps[:, 1:] = cv2.absdiff(rows[:, 1:], rows[:, :-1]).reshape(rows[:, 1:].shape)
    noise = _shrink(steps, CELL).max(axis=2) * TO_DEVIATION
    means = _shrink(cv2.medianBlur(rows, 3).reshape(rows.shape), FINE)
    fine, coarse = _split(means, CELL // FINE), _split(_shrink(means, COARSE // FINE), CELL // COARSE)
    low, high = (
        np.concatenate([ends(fine, axis=(1, 3)), ends(coarse, axis=(1, 3))], axis=2) for ends in (np.min, np.max)
    )
    level = _shrink(means, CELL // FINE).mean(axis=2)
    absent = (noise == 0) & (high == low).all(axis=2)
    low[absent], high[absent], noise[absent] = NOWHERE, -NOWHERE, 0
    return low, high, level, noise.astype(np.float32)


def _split(pixels: NDArray[Any], side: int) -> NDArray[Any]:
    """Return pixels (n, W, C) as (n / side, side, W / side, side, C)."""
    return pixels.reshape(pixels.shape[0] // side, side, pixels.shape[1] // side, side, pixels.shape[2])


def _shrink(pixels: Pixels, side: int) -> NDArray[np.float32]:
    """Return the means of squares of some pixels, (n / side, W / side, C)."""
    size = pixels.shape[1] // side, pixels.shape[0] // side
    means = cv2.resize(pixels.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.asarray(means, dtype=np.float32).reshape(size[1], size[0], pixels.shape[2])


def _contrast(low: NDArray[np.float32], high: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the greatest difference (h, w, 2 C) in each cell and its neighbours."""
    around = np.ones((3, 3), dtype=np.uint8)
    greatest, least = cv2.dilate(high, around).reshape(high.shape), cv2.erode(low, around).reshape(low.shape)
    difference: NDArray[np.float32] = np.maximum(greatest - least, 0)
    return difference
