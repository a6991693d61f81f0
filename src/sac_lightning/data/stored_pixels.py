"""The numbers that a file of a truth stores, as they are stored: nothing is scaled, turned round or coloured."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


def opaque_alpha(dtype: np.dtype[Any]) -> int:
    """Return the value that alpha of a type has where nothing shines through."""
    return int(np.iinfo(dtype).max) if dtype.kind in "iu" else 1


@dataclass(frozen=True)
class StoredPixels:
    """The planes of a file.

    Attributes:
        planes: Each (H, W) numbers or (H, W, C) with C channels: grey, grey and alpha, RGB or RGBA.
        palette: (n, 4) uint8, red, green, blue and alpha of each number, if the numbers stand for colours.
        lossy: Whether the file's compression changes values.
    """

    planes: Sequence[NDArray[Any]]
    palette: NDArray[np.uint8] | None = None
    lossy: bool = False
