"""NaN in images of floating numbers stands for what is not there, as stitching and masking programs write it."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache

import numpy as np

from sac_lightning.images.background import cover, find_background
from sac_lightning.images.slide import Pixels, Slide

# So many rows tell the background.
SAMPLED_ROWS = 64


def cover_nan(slide: Slide) -> Slide:
    """Return a slide with background in place of NaN, in all of its resolutions."""

    @cache
    def find() -> float:
        """Return the background by some rows; by all, if there is nothing but NaN in them."""
        steps = range(0, slide.height, max(1, slide.height // SAMPLED_ROWS))
        values = _join_there(slide.read(top, top + 1) for top in steps)
        return find_background(values if len(values) else _join_there(slide.strips()))

    def open_level(level: int) -> Slide:
        assert slide.open_level is not None
        smaller = slide.open_level(level)
        return replace(smaller, read=_cover(smaller.read, find))

    return replace(
        slide,
        read=_cover(slide.read, find),
        open_level=None if slide.open_level is None else open_level,
    )


def _cover(read: Callable[[int, int], Pixels], find: Callable[[], float]) -> Callable[[int, int], Pixels]:
    def read_covered(top: int, bottom: int) -> Pixels:
        rows = read(top, bottom)
        if rows.dtype.kind != "f" or not np.isnan(rows).any():
            return rows
        return cover(rows, _is_there(rows), find())

    return read_covered


def _join_there(parts: Iterable[Pixels]) -> Pixels:
    """Return the pixels (n,) or (n, 3) of some rows that are there."""
    return np.concatenate([rows[_is_there(rows)] for rows in parts])


def _is_there(rows: Pixels) -> Pixels:
    there: Pixels = ~np.isnan(rows)
    return there if there.ndim == 2 else np.asarray(there.all(axis=2))
