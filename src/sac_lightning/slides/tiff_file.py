"""TIFF files of any size: tiled, striped, pyramids, several pages; only the asked rows are decoded."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr
from tifffile import PHOTOMETRIC, TiffFile, TiffPage

from sac_lightning.core.errors import UserError, unreadable
from sac_lightning.data.tiff_file import BROKEN, SMALL_PIXELS, refuse_axes, refuse_claim
from sac_lightning.slides.pillow_file import read_with_pillow
from sac_lightning.slides.pixel_size import micrometres_of
from sac_lightning.slides.slide import Pixels, Slide, refuse_one_piece, refuse_page, whole_slide

# The largest slides that are scanned, and then some.
MAX_PIXELS, MAX_WIDTH = 2**35, 2**18
RGB = (PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR)
GREY = (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE)


@contextmanager
def open_tiff(path: Path, page: int = 1) -> Iterator[Slide]:
    """Open a page of the file's first image at its full resolution.

    Args:
        path: Of the file.
        page: Counted from 1. QuPath, too, shows the first plane of a stack or a hyperstack first.

    Raises:
        UserError: The file cannot be read, claims too much, or has no such page; while it is read, too.
    """
    with ExitStack() as stack:
        try:
            slide = _open_page(stack, path, page)
        except BROKEN as error:
            raise unreadable(path, error) from error
        yield slide


def _open_page(stack: ExitStack, path: Path, page: int) -> Slide:
    file = stack.enter_context(TiffFile(path))
    pages = file.series[0].levels[0].pages
    refuse_page(page, len(pages), path)
    chosen = pages[page - 1]
    if not isinstance(chosen, TiffPage):
        chosen = chosen.aspage() if chosen is not None else None
    if chosen is None:
        raise UserError(f"{path} has no data for page {page}: choose another page")
    _refuse_bomb(chosen, path)
    micrometres = micrometres_of(file)
    if chosen.photometric not in RGB + GREY or chosen.bitspersample == 1:
        # Palettes, CMYK, black and white: Pillow knows what they look like.
        return whole_slide(read_with_pillow(path, chosen.index + 1), micrometres)
    values = _values(chosen, path)

    def read(top: int, bottom: int) -> Pixels:
        try:
            rows = values[:, top:bottom] if chosen.axes == "SYX" else values[top:bottom]
            return _colours(np.asarray(rows), chosen)
        except BROKEN as error:
            raise unreadable(path, error) from error

    piece = 1 if isinstance(values, np.ndarray) else _piece(chosen)[0]
    return Slide(chosen.imagelength, chosen.imagewidth, read, micrometres, piece)


def _values(page: TiffPage, path: Path) -> Any:
    """Return an array of the page's samples, decoded at once or, if it is large, part by part when indexed."""
    if page.imagewidth * page.imagelength <= SMALL_PIXELS:  # Cheaper than its parts, some of them twice.
        return page.asarray()
    if page.is_memmappable:
        return tifffile.memmap(path, page=page.index, mode="r")
    rows, columns = _piece(page)
    refuse_one_piece(rows * columns, path)
    if rows >= page.imagelength and columns >= page.imagewidth:
        return page.asarray()
    return zarr.open_array(page.aszarr(), mode="r")


def _piece(page: TiffPage) -> tuple[int, int]:
    """Return how many rows and columns are compressed together."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip, page.imagelength), page.imagewidth


def _colours(rows: Pixels, page: TiffPage) -> Pixels:
    """Return samples of a page as (n, W) grey or (n, W, 3) RGB, without alpha or further channels."""
    if page.axes == "SYX":
        rows = np.moveaxis(rows, 0, 2)
    if rows.ndim == 3:
        rows = rows[:, :, :3] if page.photometric in RGB else rows[:, :, 0]
    if page.photometric == PHOTOMETRIC.MINISWHITE and rows.dtype.kind == "u":
        rows = np.invert(rows)
    return np.ascontiguousarray(rows)


def _refuse_bomb(page: TiffPage, path: Path) -> None:
    """Raise UserError, before anything is decoded, if a page is none, or larger than its file or any slide."""
    refuse_axes(page, path)
    if page.imagewidth * page.imagelength > MAX_PIXELS or page.imagewidth > MAX_WIDTH:
        raise UserError(
            f"{path} claims {page.imagewidth:,}x{page.imagelength:,} pixels, more than a slide has: "
            "cut it into regions"
        )
    refuse_claim(page, path)
