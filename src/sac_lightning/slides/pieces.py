"""The pieces of tissue in an image: where each begins and ends, to the pixel, so that windows begin there.

A piece has the same windows alone and anywhere in a slide of glass.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects
from skimage.measure import label

from sac_lightning.core.view import View, Window
from sac_lightning.images.cells import CELL
from sac_lightning.images.rim import Rim
from sac_lightning.images.slide import Slide
from sac_lightning.images.tissue import Tissue

# Two cells around what stands out are of the mask, so that it begins within the third at a side; and what is too
# faint to be seen pixel by pixel lies beyond the second.
AROUND = 2 * CELL
EDGE = 3 * CELL
# So many pixels of a row or column that differ from what is beside them are no noise.
LEAST_PIXELS = 4


def find_pieces(slide: Slide, tissue: Tissue) -> tuple[Window, ...]:
    """Return the boxes of an image's pieces of tissue, of which none overlap."""
    if tissue.mask.all():
        return (Window(0, 0, slide.width, slide.height),)
    boxes = [
        _to_pixels(rows, columns, slide) for rows, columns in find_objects(label(tissue.mask, connectivity=2))
    ]
    boxes = merge_boxes(boxes, 0)
    return tuple(boxes if tissue.rim is None else _trim(slide, tissue.rim, boxes))


def place_windows(view: View, boxes: tuple[Window, ...]) -> list[Window]:
    """Return the windows of some boxes, from top to bottom: of each box those that an image of its size has."""
    merged = merge_boxes(list(boxes), view.crop or 0)
    windows = [window.move(box.left, box.top) for box in merged for window in view.windows(box.height, box.width)]
    return sorted(windows, key=lambda window: (window.top, window.left))


def merge_boxes(boxes: list[Window], least: int) -> list[Window]:
    """Return boxes of which none overlap, each grown around its middle to ``least`` pixels a side; see _join."""
    waiting, result = list(boxes), list[Window]()
    while waiting:
        box = waiting.pop()
        hit = [other for other in result if _overlap(_grow(box, least), _grow(other, least))]
        if hit:
            result = [other for other in result if other not in hit]
            waiting.append(_join([box, *hit]))
        else:
            result.append(box)
    return result


def _grow(box: Window, least: int) -> Window:
    width, height = max(box.width, least), max(box.height, least)
    return Window(box.left + (box.width - width) // 2, box.top + (box.height - height) // 2, width, height)


def _overlap(one: Window, other: Window) -> bool:
    return (
        one.left < other.left + other.width
        and other.left < one.left + one.width
        and one.top < other.top + other.height
        and other.top < one.top + one.height
    )


def _join(boxes: list[Window]) -> Window:
    """Return the least box around all."""
    left, top = min(box.left for box in boxes), min(box.top for box in boxes)
    right, bottom = max(box.left + box.width for box in boxes), max(box.top + box.height for box in boxes)
    return Window(left, top, right - left, bottom - top)


def _to_pixels(rows: slice, columns: slice, slide: Slide) -> Window:
    left, top = columns.start * CELL, rows.start * CELL
    right, bottom = min(columns.stop * CELL, slide.width), min(rows.stop * CELL, slide.height)
    return Window(left, top, right - left, bottom - top)


def _trim(slide: Slide, rim: Rim, boxes: list[Window]) -> list[Window]:
    """Return the boxes without the rows and columns at their sides that look like what is beside them."""
    counts = [(np.zeros(box.height, np.int64), np.zeros(box.width, np.int64)) for box in boxes]
    for top, bottom in slide.strip_ends():
        within = [number for number, box in enumerate(boxes) if box.top < bottom and top < box.top + box.height]
        if not within:
            continue
        strip = slide.read(top, bottom)
        for number in within:
            box, (rows, columns) = boxes[number], counts[number]
            first, last = max(box.top, top), min(box.top + box.height, bottom)
            for left, right in _edges(box.left, box.width, box.left, box.left + box.width):
                seen = rim.differ(strip[first - top : last - top, left:right], first, left)
                columns[left - box.left : right - box.left] += seen.sum(axis=0)
            for start, stop in _edges(box.top, box.height, first, last):
                seen = rim.differ(
                    strip[start - top : stop - top, box.left : box.left + box.width], start, box.left
                )
                rows[start - box.top : stop - box.top] = seen.sum(axis=1)
    return [_cut(box, rows, columns, slide) for box, (rows, columns) in zip(boxes, counts, strict=True)]


def _edges(start: int, length: int, first: int, last: int) -> list[tuple[int, int]]:
    """Return the parts of first..last that lie at the two ends of a length, or the one where these meet."""
    ends = [(start, start + length)]
    if length > 2 * EDGE:
        ends = [(start, start + EDGE), (start + length - EDGE, start + length)]
    parts = [(max(low, first), min(high, last)) for low, high in ends]
    return [(low, high) for low, high in parts if low < high]


def _cut(box: Window, rows: NDArray[np.int64], columns: NDArray[np.int64], slide: Slide) -> Window:
    above = _first(rows, box.top == 0)
    below = _first(rows[::-1], box.top + box.height == slide.height)
    before = _first(columns, box.left == 0)
    after = _first(columns[::-1], box.left + box.width == slide.width)
    width, height = box.width - before - after, box.height - above - below
    if min(width, height) < CELL:
        return box
    return Window(box.left + before, box.top + above, width, height)


def _first(counts: NDArray[np.int64], at_edge: bool) -> int:
    """Return how many rows or columns are left out at a side; at the image's edge nothing that is faint."""
    seen = np.flatnonzero(counts[:EDGE] >= LEAST_PIXELS)
    return int(seen[0]) if seen.size else 0 if at_edge else AROUND
