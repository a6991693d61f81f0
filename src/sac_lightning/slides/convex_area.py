"""How many pixels the convex hull of each nucleus has, of all nuclei at once, in whole numbers."""

import cv2
import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


def convex_areas(nuclei: Numbers, rows: Numbers, columns: Numbers, count: int) -> Numbers:
    """Count the pixels whose centres lie in or on the convex hull of a nucleus, by scikit-image's definition.

    The hull is that of the middles of the four sides of every pixel.

    Args:
        nuclei: (P,) to which nucleus a pixel belongs, from 0 on.
        rows: (P,) of each pixel; those of a nucleus need not be neighbours.
        columns: (P,).
        count: How many nuclei there are, each with a pixel or more.

    Returns:
        (count,).
    """
    lines, owners = _spans(nuclei, rows, columns, count)
    starts, ends = _edges(lines, owners, count)
    first_row, offsets, total = _row_ranges(lines, owners, count)
    lowest, highest = np.full(total, np.iinfo(np.int64).max), np.full(total, -1)
    low, high = np.minimum(starts[:, 1], ends[:, 1]), np.maximum(starts[:, 1], ends[:, 1])
    # Coordinates are doubled: pixels' centres are even. An edge meets the even rows from low to high.
    low, high = low + low % 2, high - high % 2
    slanted = (starts[:, 1] != ends[:, 1]) & (low <= high)
    starts, ends, low, high = starts[slanted], ends[slanted], low[slanted], high[slanted]
    meets = (high - low) // 2 + 1
    edge = np.repeat(np.arange(len(starts)), meets)
    row = low[edge] + 2 * (np.arange(len(edge)) - np.repeat(np.cumsum(meets) - meets, meets))
    (x, y, owner), (end_x, end_y, _) = starts[edge].T, ends[edge].T
    # The column at which the edge crosses the row, as a fraction, by two: columns of pixels again.
    height = np.abs(end_y - y)
    crossing, scale = x * height + (end_x - x) * (row - y) * np.sign(end_y - y), 2 * height
    place = offsets[owner] + row // 2 - first_row[owner]
    np.minimum.at(lowest, place, -(-crossing // scale))
    np.maximum.at(highest, place, crossing // scale)
    inside = np.maximum(highest - lowest + 1, 0)
    areas: Numbers = np.add.reduceat(inside, offsets)
    return areas


def _spans(nuclei: Numbers, rows: Numbers, columns: Numbers, count: int) -> tuple[Numbers, Numbers]:
    """Return the first and the last column of each nucleus in each of its rows: (S, 3) row, first, last; (S,)."""
    height = int(rows.max()) + 1
    order = np.lexsort((columns, nuclei * height + rows))
    key, columns = (nuclei * height + rows)[order], columns[order]
    first = np.flatnonzero(np.diff(key, prepend=-1))
    last = np.append(first[1:], len(key)) - 1
    lines = np.stack([key[first] % height, columns[first], columns[last]], axis=1)
    return lines, key[first] // height


def _edges(lines: Numbers, owners: Numbers, count: int) -> tuple[Numbers, Numbers]:
    """Return the edges of the hulls: starts (E, 3), x and y in doubled pixels and the nucleus, and ends (E, 3)."""
    row, first, last = (2 * lines).T
    sides = [(first - 1, row), (last + 1, row), *((x, row + d) for x in (first, last) for d in (-1, 1))]
    points = np.stack([np.stack(each, axis=1) for each in sides], axis=1).astype(np.int32)  # (S, 6, 2)
    bounds = np.searchsorted(owners, np.arange(count + 1)).tolist()
    hulls = [cv2.convexHull(points[bounds[i] : bounds[i + 1]].reshape(-1, 2))[:, 0] for i in range(count)]
    corners = np.array([len(hull) for hull in hulls])
    starts = np.column_stack([np.concatenate(hulls), np.repeat(np.arange(count), corners)]).astype(np.int64)
    following = np.arange(1, len(starts) + 1)
    following[np.cumsum(corners) - 1] = np.cumsum(corners) - corners
    return starts, starts[following]


def _row_ranges(lines: Numbers, owners: Numbers, count: int) -> tuple[Numbers, Numbers, int]:
    """Return each nucleus's first row, where its rows begin in an array of all nuclei's rows, and their number."""
    begins = np.searchsorted(owners, np.arange(count))
    ends = np.append(begins[1:], len(owners)) - 1
    first, heights = lines[begins, 0], lines[ends, 0] - lines[begins, 0] + 1
    return first, np.cumsum(heights) - heights, int(heights.sum())
