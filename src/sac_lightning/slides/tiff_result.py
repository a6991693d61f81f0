"""Label maps, masks and probabilities as TIFF files that ImageJ opens by itself, as far as it can."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import DTypeLike, NDArray

from sac_lightning.slides.row_store import RowStore

TILE = 512
STRIP_BYTES = 2**18
# A TIFF file that is no BigTIFF has offsets of 32 bits; some are left for tables, and strips that do not shrink.
MOST_BYTES = 2**32 - 2**26
# ImageJ keeps a plane in one array of Java.
MOST_PIXELS = 2**31 - 1


def opens_in_imagej(height: int, width: int, dtype: DTypeLike) -> bool:
    """Return whether an image (height, width) is small enough for a TIFF file that ImageJ opens by itself."""
    pixels = height * width
    return pixels <= MOST_PIXELS and pixels * np.dtype(dtype).itemsize <= MOST_BYTES


def write_tiff(
    store: RowStore, path: Path, dtype: DTypeLike, micrometres: tuple[float, float] | None = None
) -> None:
    """Write a losslessly compressed TIFF file: in strips where ImageJ opens it by itself, else a BigTIFF in tiles.

    Of compressions ImageJ knows LZW and Deflate, but the predictor only with LZW: with Deflate it shows other
    numbers and says nothing (1.53t). Integers of 32 bits become floats in it, which are exact up to 16,777,216.
    Tiles, and BigTIFF, it leaves to Bio-Formats.

    Args:
        store: The rows.
        path: Of the file.
        dtype: Of its numbers; all must fit.
        micrometres: Width and height of a pixel, for the file's metadata.
    """
    dtype = np.dtype(dtype)
    in_strips = opens_in_imagej(store.height, store.width, dtype)
    is_float = dtype.kind == "f"
    options: dict[str, Any] = {"compression": "zlib" if is_float else "lzw", "predictor": not is_float}
    if in_strips:
        rows = max(1, STRIP_BYTES // (store.width * dtype.itemsize))
        options |= {"rowsperstrip": rows, "bigtiff": False}
        parts: Iterator[Any] = _strips(store, rows, dtype)
    else:
        options |= {"tile": (TILE, TILE), "bigtiff": True}
        parts = _tiles(store, dtype)
    if micrometres is not None:
        # ImageJ makes micrometres of centimetres that are this small.
        options["resolution"] = (1e4 / micrometres[0], 1e4 / micrometres[1])
        options["resolutionunit"] = "CENTIMETER"
    tifffile.imwrite(
        path,
        parts,
        shape=(store.height, store.width),
        dtype=dtype,
        photometric="minisblack",
        metadata=None,
        **options,
    )


def _strips(store: RowStore, step: int, dtype: np.dtype[Any]) -> Iterator[bytes]:
    """Yield strips as they lie in the file: of rows as arrays tifffile would want all at once."""
    for top in range(0, store.height, step):
        rows = store.read(top, min(top + step, store.height)).astype(dtype)
        if dtype.kind == "f":
            yield bytes(imagecodecs.zlib_encode(rows.tobytes()))
        else:
            yield bytes(imagecodecs.lzw_encode(imagecodecs.delta_encode(rows, axis=1).tobytes()))


def _tiles(store: RowStore, dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    for top in range(0, store.height, TILE):
        rows = store.read(top, min(top + TILE, store.height)).astype(dtype)
        for left in range(0, store.width, TILE):
            yield rows[:, left : left + TILE]
