"""Rows of an image that wait on disk until all are there, for files of images larger than memory."""

from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


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
