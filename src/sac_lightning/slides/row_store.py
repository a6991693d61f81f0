"""Rows of an image that wait on disk until all are there, for files of images larger than memory."""

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import DTypeLike, NDArray

TILE = 512
STRIP_BYTES = 2**18
# A TIFF file that is no BigTIFF has offsets of 32 bits; some are left for tables, and strips that do not shrink.
MOST_BYTES = 2**32 - 2**26
# ImageJ keeps a plane in one array of Java.
MOST_PIXELS = 2**31 - 1


class RowStore:
    """An image (H, W) on disk that is filled from top to bottom."""

    def __init__(self, file: IO[bytes], width: int, dtype: DTypeLike) -> None:
        """Args: file: empty, for the raw numbers; width: of the image; dtype: of its numbers."""
        self.file, self.width, self.dtype = file, width, np.dtype(dtype)
        self.height = 0

    def append(self, rows: NDArray[Any]) -> None:
        """Add rows (n, W) below those that are there."""
        self.file.write(np.ascontiguousarray(rows, dtype=self.dtype).data)
        self.height += len(rows)

    def read(self, top: int, bottom: int) -> NDArray[Any]:
        """Return the rows from ``top`` to before ``bottom``."""
        row_bytes = self.width * self.dtype.itemsize
        self.file.seek(top * row_bytes)
        content = self.file.read((bottom - top) * row_bytes)
        return np.frombuffer(content, dtype=self.dtype).reshape(-1, self.width)

    def read_reduced(self, top: int, bottom: int, factor: int) -> NDArray[Any]:
        """Return each row and column whose number is a multiple of ``factor``, of the rows as in ``read``.

        Args:
            top: A multiple of the factor.
            bottom: The row before which it ends, at most the height.
            factor: 1 or more.
        """
        if factor == 1:
            return self.read(top, bottom)
        return np.concatenate([self.read(row, row + 1)[:, ::factor] for row in range(top, bottom, factor)])

    def write_tiff(self, path: Path, dtype: DTypeLike, micrometres: tuple[float, float] | None = None) -> None:
        """Write a losslessly compressed TIFF: in strips where ImageJ opens it by itself, else as tiled BigTIFF.

        Of compressions ImageJ knows LZW and Deflate, but the predictor long with LZW alone: with Deflate, 1.53t
        shows other numbers and says nothing. Integers of 32 bits become floats in it, exact up to 16,777,216. It
        leaves tiles and BigTIFF to Bio-Formats.

        Args:
            path: Of the file.
            dtype: Of its numbers; all must fit.
            micrometres: Width and height of a pixel, for the file's metadata.
        """
        dtype = np.dtype(dtype)
        is_float = dtype.kind == "f"
        options: dict[str, Any] = {"compression": "zlib" if is_float else "lzw", "predictor": not is_float}
        if opens_in_imagej(self.height, self.width, dtype):
            rows = max(1, STRIP_BYTES // (self.width * dtype.itemsize))
            options |= {"rowsperstrip": rows, "bigtiff": False}
            parts: Iterator[Any] = self._strips(rows, dtype)
        else:
            options |= {"tile": (TILE, TILE), "bigtiff": True}
            parts = self._tiles(dtype)
        if micrometres is not None:
            # ImageJ makes micrometres of centimetres that are this small.
            options["resolution"] = (1e4 / micrometres[0], 1e4 / micrometres[1])
            options["resolutionunit"] = "CENTIMETER"
        tifffile.imwrite(
            path,
            parts,
            shape=(self.height, self.width),
            dtype=dtype,
            photometric="minisblack",
            metadata=None,
            **options,
        )

    def _strips(self, step: int, dtype: np.dtype[Any]) -> Iterator[bytes]:
        """Yield strips as they lie in the file: of rows as arrays tifffile would want all at once."""
        for top in range(0, self.height, step):
            rows = self.read(top, min(top + step, self.height)).astype(dtype)
            if dtype.kind == "f":
                yield bytes(imagecodecs.zlib_encode(rows.tobytes()))
            else:
                yield bytes(imagecodecs.lzw_encode(imagecodecs.delta_encode(rows, axis=1).tobytes()))

    def _tiles(self, dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
        for top in range(0, self.height, TILE):
            rows = self.read(top, min(top + TILE, self.height)).astype(dtype)
            for left in range(0, self.width, TILE):
                yield rows[:, left : left + TILE]


def opens_in_imagej(height: int, width: int, dtype: DTypeLike) -> bool:
    """Return whether an image (height, width) is small enough for a TIFF file that ImageJ opens by itself."""
    pixels = height * width
    return pixels <= MOST_PIXELS and pixels * np.dtype(dtype).itemsize <= MOST_BYTES
