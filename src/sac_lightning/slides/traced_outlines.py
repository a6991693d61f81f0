"""The outlines of all nuclei of a band at once: from the corners of their pixels, in each direction two by two.

Where the boundary of a nucleus turns, a horizontal and a vertical side meet. Along any line of the grid of pixels'
corners, those of one nucleus are by turns the beginning and the end of a side.
"""

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import MultiPolygon, Polygon

from sac_lightning.slides.outlines import outline

Numbers = NDArray[np.int64]


def outline_nuclei(labels: NDArray[np.int32], top: int = 0) -> list[Polygon | MultiPolygon]:
    """Return the outline of every nucleus, by label, as outlines.outline has it.

    Args:
        labels: (n, W), 0 = background.
        top: The image's row that is the first here.
    """
    names, x, y, meets = _find_corners(labels)
    begins = np.flatnonzero(np.diff(names, prepend=0))
    numbers = names[begins]
    rings = _trace_rings(begins, _pair(names, y, x), _pair(names, x, y))
    is_whole = np.array([len(ring) for ring in rings], dtype=int) == np.diff(np.append(begins, len(names)))
    is_whole &= ~np.logical_or.reduceat(meets, begins) if len(begins) else True
    whole = [[*ring, ring[0]] for ring, whole in zip(rings, is_whole.tolist(), strict=True) if whole]
    shapes = np.empty(len(numbers), dtype=object)
    if whole:
        corners = np.concatenate(whole)
        points = np.stack([x[corners], y[corners] + top], axis=1).astype(np.float64)
        owners = np.repeat(np.arange(len(whole)), [len(ring) for ring in whole])
        shapes[is_whole] = shapely.polygons(shapely.linearrings(points, indices=owners))
    # Holes, and parts that meet at a corner or nowhere, are rare.
    ends = np.append(begins[1:], len(names))
    for place in np.flatnonzero(~is_whole).tolist():
        own = slice(begins[place], ends[place])
        left, upper = x[own].min(), y[own].min()
        mask = labels[upper : y[own].max(), left : x[own].max()] == numbers[place]
        shapes[place] = outline(mask, left, top + upper)
    return list(shapes)


def _find_corners(labels: NDArray[np.int32]) -> tuple[Numbers, Numbers, Numbers, NDArray[np.bool_]]:
    """Return where the boundaries of nuclei turn, by nucleus, from top to bottom and from left to right.

    Returns:
        (C,) the nucleus; x and y (C,) in pixels' corners; and (C,) whether two of its pixels meet at this corner
        alone.
    """
    around = np.pad(labels, 1)
    quarters = (around[:-1, :-1], around[:-1, 1:], around[1:, 1:], around[1:, :-1])  # clockwise
    differs = (quarters[0] != quarters[1]) | (quarters[2] != quarters[3]) | (quarters[0] != quarters[3])
    y, x = np.nonzero(differs)
    four = np.stack([quarter[y, x] for quarter in quarters])
    same = (four[:, None] == four[None]).sum(axis=0)  # how many of the four are of the nucleus of each
    opposite = (four == four[[2, 3, 0, 1]]) & (same == 2)
    is_corner = (four > 0) & ((same == 1) | (same == 3) | opposite)
    # Of the two or three quarters of one nucleus the first counts.
    is_corner[1] &= four[1] != four[0]
    is_corner[2] &= (four[2] != four[0]) & (four[2] != four[1])
    is_corner[3] &= (four[3] != four[0]) & (four[3] != four[1]) & (four[3] != four[2])
    _, place = np.nonzero(is_corner)
    names, meets = four[is_corner], opposite[is_corner]
    order = np.lexsort((x[place], y[place], names))
    order = np.repeat(order, 1 + meets[order])  # Where two pixels meet, two sides of a line do.
    place = place[order]
    return names[order].astype(np.int64), x[place], y[place], meets[order]


def _pair(names: Numbers, along: Numbers, across: Numbers) -> list[int]:
    """Return the other end of the side that begins at each corner, on the lines of equal ``along``."""
    order = np.lexsort((across, along, names))
    partner = np.arange(len(order))
    pairs = len(order) // 2 * 2
    partner[order[0:pairs:2]], partner[order[1:pairs:2]] = order[1:pairs:2], order[0:pairs:2]
    return partner.tolist()


def _trace_rings(begins: Numbers, level: list[int], upright: list[int]) -> list[list[int]]:
    """Return the corners of the ring that leads through the first corner of each nucleus, which begins level."""
    rings = []
    for first in begins.tolist():
        ring, corner = [], first
        while True:
            ring += [corner, level[corner]]
            corner = upright[level[corner]]
            if corner == first:
                break
        rings.append(ring)
    return rings
