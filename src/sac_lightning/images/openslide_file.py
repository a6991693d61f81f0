"""Slides that OpenSlide reads, an extra: MIRAX, Ventana, Hamamatsu."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from openslide import OpenSlide

from sac_lightning.core.errors import UserError
from sac_lightning.images.background import cover, find_background
from sac_lightning.images.choice import choose_page, choose_series
from sac_lightning.images.lengths import Size, plausible
from sac_lightning.images.refusals import tell_broken
from sac_lightning.images.selection import Candidate, Selection, describe_choice
from sac_lightning.images.slide import Pixels, Slide, whole_slide

# What is asked of OpenSlide at a time is so wide.
COLUMNS = 4096
# How many pixels of the smallest level tell the background.
SAMPLED_PIXELS = 2**22


@contextmanager
def open_with_openslide(path: Path, selection: Selection) -> Iterator[Slide]:
    """Open a slide at its full resolution, within the bounds of what was scanned, as QuPath shows it.

    Args:
        path: Of the file.
        selection: The slide is series 1, its label, macro and thumbnail follow.

    Raises:
        UserError: The file cannot be read, or lacks what is asked for; while it is read, too.
    """
    with ExitStack() as stack:
        with tell_broken(path):
            slide = _open_image(stack.enter_context(OpenSlide(path)), path, selection)
        yield slide


def _open_image(slide: OpenSlide, path: Path, selection: Selection) -> Slide:
    left, top, width, height = _bounds(slide)
    pictures = sorted(slide.associated_images)
    levels = tuple((round(height / factor), round(width / factor)) for factor in slide.level_downsamples)
    candidates = (
        Candidate("slide", levels),
        *(Candidate(name, (slide.associated_images[name].size[::-1],), is_overview=True) for name in pictures),
    )
    index = choose_series(candidates, selection.series, path)
    choose_page(selection.page, 1, path)
    if selection.channel is not None:
        raise UserError(f"{path} is read as a picture in colour, without channels: leave out channel=")
    note = describe_choice(candidates, index, 0, 1, None)
    if index > 0:
        return whole_slide(np.array(slide.associated_images[pictures[index - 1]].convert("RGB")), note=note)
    find = cache(lambda: _find_background(slide, path))

    def open_level(level: int) -> Slide:
        high, wide = levels[level]
        size, factor = _size(slide), slide.level_downsamples[level]

        def read(first: int, last: int) -> Pixels:
            rows = range(first, max(first, min(last, high)))
            colours, alpha = _read_region(slide, level, (left, top), rows, wide, path)
            return np.ascontiguousarray(colours if alpha.all() else cover(colours, alpha, find()))

        scaled = None if size is None else (size[0] * factor, size[1] * factor)
        piece = int(slide.properties.get(f"openslide.level[{level}].tile-height", 1))
        return Slide(high, wide, read, scaled, piece)

    return replace(
        open_level(0),
        candidates=candidates,
        note=note,
        levels=levels,
        open_level=open_level if len(levels) > 1 else None,
    )


def _read_region(
    slide: OpenSlide, level: int, corner: tuple[int, int], rows: range, width: int, path: Path
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return colours (n, W, 3) and alpha (n, W) of rows of a level; the corner is in pixels of the largest."""
    factor = slide.level_downsamples[level]
    left, top = corner[0], corner[1] + round(rows.start * factor)
    pixels = np.zeros((len(rows), width, 4), np.uint8)
    with tell_broken(path):
        for x in range(0, width if len(rows) else 0, COLUMNS):
            size = (min(COLUMNS, width - x), len(rows))
            part = slide.read_region((left + round(x * factor), top), level, size)
            pixels[:, x : x + COLUMNS] = np.array(part)
    return pixels[:, :, :3], pixels[:, :, 3]


def _bounds(slide: OpenSlide) -> tuple[int, int, int, int]:
    """Return left, top, width and height of what was scanned."""
    width, height = slide.dimensions
    named = [slide.properties.get(f"openslide.bounds-{key}") for key in ("x", "y", "width", "height")]
    if any(value is None for value in named):
        return 0, 0, width, height
    left, top, wide, high = (int(value) for value in named if value is not None)
    return left, top, min(wide, width - left), min(high, height - top)


def _size(slide: OpenSlide) -> Size | None:
    try:
        return plausible((float(slide.properties["openslide.mpp-x"]), float(slide.properties["openslide.mpp-y"])))
    except (KeyError, ValueError):
        return None


def _find_background(slide: OpenSlide, path: Path) -> float:
    """Return what stands for what was not scanned, by the smallest level."""
    width, height = slide.level_dimensions[-1]
    rows = max(1, min(height, SAMPLED_PIXELS // width))
    top = int((height - rows) // 2 * slide.level_downsamples[-1])
    with tell_broken(path):
        sample: NDArray[np.uint8] = np.array(slide.read_region((0, top), slide.level_count - 1, (width, rows)))
    return find_background(sample[:, :, :3][sample[:, :, 3] > 0])
