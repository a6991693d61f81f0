"""Rows of which some pixels are not there, as their alpha says: these become background."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_lightning.images.background import cover, find_background, full_scale

# Returns the rows from the first number to before the second.
Reader = Callable[[int, int], NDArray[Any]]


def cover_rows(
    read: Reader,
    sampled: range,
    take_samples: Callable[[NDArray[Any]], NDArray[Any]],
    find_alpha: Callable[[NDArray[Any]], NDArray[Any]],
    premultiplied: bool = False,
) -> Reader:
    """Return a reader of rows with background where their alpha is 0.

    Args:
        read: Returns rows with all of their samples.
        sampled: The rows that tell the background.
        take_samples: Returns of such rows those that are read, (n, W) or (n, W, 3).
        find_alpha: Returns the alpha (n, W) of such rows.
        premultiplied: Whether colours were multiplied by alpha.
    """

    @cache
    def find() -> tuple[float, float] | None:
        """Return the background and what alpha is opaque, by some rows; None: alpha is 0 in all of them.

        Then it hides nothing. Of a camera of 12 bits in a file of 16, alpha may have 12 bits, too.
        """
        visible, highest, dtype = [], 0.0, np.dtype(np.uint8)
        for top in sampled:
            strip = read(top, top + 1)
            alpha = find_alpha(strip)
            visible.append(take_samples(strip)[alpha != 0])
            highest, dtype = max(highest, float(alpha.max())), alpha.dtype
        values = np.concatenate(visible)
        return (find_background(values), full_scale(highest, dtype, colour=True)) if len(values) else None

    def read_covered(top: int, bottom: int) -> NDArray[Any]:
        strip = read(top, bottom)
        values, alpha = take_samples(strip), find_alpha(strip)
        if strip.size == 0 or ((alpha != 0).all() and not premultiplied):
            return values
        found = find()
        if found is None:
            return values
        background, opaque = found
        return cover(values, alpha, background, opaque if premultiplied else None)

    return read_covered
