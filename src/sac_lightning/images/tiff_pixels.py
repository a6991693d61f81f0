"""The samples of a page of a TIFF file, of any size: only the asked rows are decoded."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import EXTRASAMPLE, PHOTOMETRIC, TiffFile, TiffPage, TiffPageSeries

from sac_lightning.core.errors import UserError
from sac_lightning.images.background import find_background
from sac_lightning.images.refusals import refuse_one_piece
from sac_lightning.images.slide import Pixels

# Up to this size an image is decoded at once: cheaper than its parts, some of them twice.
SMALL_PIXELS = 2**24
# How many tiles or strips that are there tell what stands for those that are missing.
SAMPLED_PIECES = 16


@dataclass(frozen=True)
class TiffRows:
    """The rows of a page.

    Attributes:
        height: In pixels.
        width: In pixels.
        read: Returns the rows from the first number to before the second, (n, W) or (n, W, S) with S samples.
        piece: How many rows are decoded together.
    """

    height: int
    width: int
    read: Callable[[int, int], Pixels]
    piece: int


def count_alphas(page: TiffPage) -> int:
    """Return how many samples of each pixel the file calls alpha."""
    return sum(int(extra) in (EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA) for extra in page.extrasamples)


def find_page(series: TiffPageSeries, number: int, path: Path) -> TiffPage:
    """Return a page of an image; of a stack that one page describes, that one.

    Raises:
        UserError: The file has no data for it.
    """
    page = series[number if number < len(series) else 0]
    if page is not None and not isinstance(page, TiffPage):
        page = page.aspage()
    if page is None:
        raise UserError(f"{path} has no data for page {number + 1}: choose another page")
    return page


def open_rows(file: TiffFile, series: TiffPageSeries, number: int, path: Path) -> TiffRows:
    """Return the rows of a page, whose size and claims have been looked at.

    Args:
        file: The open file.
        series: The image.
        number: Of the page within it, from 0.
        path: Of the file.
    """
    page = find_page(series, number, path)
    # ImageJ's tag inverts what is shown, and not the numbers.
    inverted = page.photometric == PHOTOMETRIC.MINISWHITE and not file.is_imagej
    missing = _has_missing_pieces(page)
    if missing:
        page.nodata = _find_nodata(page, inverted)
    values, piece = _open_values(file, series, page, number, path, missing)
    if values.shape != page.shape or values.size == 0:
        raise UserError(f"{path} has no data for its pixels: get it again")
    few_levels = page.bitspersample < 8 and page.photometric in (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE)

    def read(top: int, bottom: int) -> Pixels:
        rows = np.asarray(values[:, top:bottom] if page.axes == "SYX" else values[top:bottom])
        rows = rows.astype(rows.dtype.newbyteorder("="), copy=False)
        if page.axes == "SYX":
            rows = np.moveaxis(rows, 0, 2)
        if few_levels:
            rows = rows * np.uint8(255 // (2**page.bitspersample - 1))  # spread over 0..255
        return _invert(rows, page.samplesperpixel - count_alphas(page)) if inverted else rows

    return TiffRows(page.imagelength, page.imagewidth, read, piece)


def _open_values(
    file: TiffFile, series: TiffPageSeries, page: TiffPage, number: int, path: Path, missing: bool
) -> tuple[Any, int]:
    """Return an array of the page's samples, decoded at once or, if it is large, when indexed; rows of a piece."""
    if number >= len(series):
        if series.dataoffset is None:
            raise UserError(f"{path} has no data for page {number + 1}: choose another page")
        return _map(file, page, path, series.dataoffset + number * page.nbytes), 1
    if not missing and page.imagewidth * page.imagelength <= SMALL_PIXELS:
        return page.asarray(), 1
    if not missing and page.is_memmappable:
        return _map(file, page, path, page.dataoffsets[0]), 1
    rows, columns = _piece(page)
    refuse_one_piece(rows * columns, path)
    if not missing and rows >= page.imagelength and columns >= page.imagewidth:
        return page.asarray(), 1
    import zarr  # takes half a second, which no small image should cost

    return zarr.open_array(page.aszarr(), mode="r"), rows


def _map(file: TiffFile, page: TiffPage, path: Path, offset: int) -> NDArray[Any]:
    """Return the samples of a page that lie in the file as they are."""
    dtype = np.dtype(page.dtype).newbyteorder(file.byteorder)
    return np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=page.shape)


def _piece(page: TiffPage) -> tuple[int, int]:
    """Return how many rows and columns are compressed together."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip, page.imagelength), page.imagewidth


def _has_missing_pieces(page: TiffPage) -> bool:
    """Return whether tiles or strips are left out, as scanners do where there is no tissue."""
    return 0 in page.dataoffsets or 0 in page.databytecounts


def _find_nodata(page: TiffPage, inverted: bool) -> int | float:
    """Return the number that stands for what is missing, by some of the pieces that are there."""
    there = [
        index
        for index, (offset, count) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=True))
        if offset and count
    ]
    sample = []
    for index in there[:: max(1, len(there) // SAMPLED_PIECES)]:
        page.parent.filehandle.seek(page.dataoffsets[index])
        encoded = page.parent.filehandle.read(page.databytecounts[index])
        piece = page.decode(encoded, index, jpegtables=page.jpegtables, jpegheader=page.jpegheader)[0]
        if piece is not None:
            sample.append(piece.reshape(-1, piece.shape[-1]))
    values = np.concatenate(sample) if sample else np.zeros((0, page.samplesperpixel), page.dtype)
    if inverted:
        values = _invert(values)
    in_colour = page.photometric in (PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR) and values.shape[1] >= 3
    found = find_background(values[:, :3] if in_colour else values[:, 0])
    number = np.asarray(found).astype(page.dtype)
    return (_invert(number) if inverted else number).item()  # type: ignore[no-any-return] # of one number


def _invert(rows: Pixels, values: int = 1) -> Pixels:
    """Return numbers of which 0 is white as such of which 0 is black.

    Args:
        rows: Of a page, (n, W) or (n, W, S) with S samples; or others of any shape.
        values: How many of the samples are brightness; alpha, which follows them, stays as it is.
    """
    turn = np.negative if rows.dtype.kind == "f" else np.invert
    if rows.ndim < 3 or values >= rows.shape[2]:
        return np.asarray(turn(rows))
    return np.concatenate([turn(rows[:, :, :values]), rows[:, :, values:]], axis=2)
