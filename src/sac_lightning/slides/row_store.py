"""Rows of an image that wait on disk until all are there, for files of images larger than memory."""

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import tifffile
from numpy.typing import DTypeLike, NDArray

TILE = 512


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

    def write_tiff(self, path: Path, dtype: DTypeLike, micrometres: tuple[float, float] | None = None) -> None:
        """Write a tiled, losslessly compressed TIFF.

        Args:
            path: Of the file.
            dtype: Of its numbers; all must fit.
            micrometres: Width and height of a pixel, for the file's metadata.
        """
        resolution: dict[str, Any] = {}
        if micrometres is not None:
            resolution = {
                "resolution": (1e4 / micrometres[0], 1e4 / micrometres[1]),
                "resolutionunit": "CENTIMETER",
            }
        tifffile.imwrite(
            path,
            self._tiles(np.dtype(dtype)),
            shape=(self.height, self.width),
            dtype=dtype,
            tile=(TILE, TILE),
            photometric="minisblack",
            compression="zlib",
            predictor=np.dtype(dtype).kind != "f",
            bigtiff=self.height * self.width * np.dtype(dtype).itemsize > 2**31,
            metadata=None,
            **resolution,
        )

    def _tiles(self, dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
        for top in range(0, self.height, TILE):
            rows = self.read(top, min(top + TILE, self.height)).astype(dtype)
            for left in range(0, self.width, TILE):
                yield rows[:, left : left + TILE]
