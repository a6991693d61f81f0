"""How a model sees an image: input size, whole or in overlapping windows, contrast stretched or not."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sac_lightning.core.errors import UserError

STRETCH_PERCENTILES = (0.5, 99.5)


@dataclass(frozen=True)
class Window:
    """A rectangle of an image, in pixels; it may reach beyond the image, where the image is mirrored."""

    left: int
    top: int
    width: int
    height: int

    def move(self, right: int = 0, down: int = 0) -> "Window":
        """Return the window of the same size that lies so many pixels further right and down."""
        return replace(self, left=self.left + right, top=self.top + down)

    def clip(self, height: int, width: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Return rows and columns of the part that lies within an image: in the image, and in the window."""
        top, left = max(self.top, 0), max(self.left, 0)
        bottom, right = min(self.top + self.height, height), min(self.left + self.width, width)
        in_window = (slice(top - self.top, bottom - self.top), slice(left - self.left, right - self.left))
        return (slice(top, bottom), slice(left, right)), in_window


@dataclass(frozen=True)
class View:
    """The part of an image that the model gets at a time; stored in every checkpoint.

    Attributes:
        image_size: Side in pixels of the model's square input, to which a window (or the whole image) is
            resized. None: the image is not resized (networks that take any size).
        crop: Side in image pixels of a window: random ones in training, overlapping ones otherwise.
            None: the whole image. Stretching it to a square is our choice, as MedSAM's: the paper is silent.
        overlap: Smallest fraction of a window's side that it shares with its neighbour, in [0, 1).
        stretch: Stretch the contrast of each image between two percentiles (fluorescence is often nearly
            black).
    """

    image_size: int | None
    crop: int | None = None
    overlap: float = 0.25
    stretch: bool = False

    def __post_init__(self) -> None:
        """Raise UserError if a size or the overlap is out of its range."""
        if self.image_size is not None and self.image_size < 1:
            raise UserError(f"view.image_size is {self.image_size}: choose a number of pixels")
        if self.crop is not None and self.crop < 1:
            raise UserError(f"view.crop is {self.crop}: choose a number of pixels, or null for whole images")
        if not 0 <= self.overlap < 1:
            raise UserError(f"view.overlap is {self.overlap}: choose a part of the window in [0, 1)")

    def windows(self, height: int, width: int) -> list[Window]:
        """Return the windows that cover an image, row by row."""
        if self.crop is None:
            return [Window(0, 0, width, height)]
        return [
            Window(left, top, self.crop, self.crop)
            for top in _starts(height, self.crop, self.overlap)
            for left in _starts(width, self.crop, self.overlap)
        ]

    def prepare(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the image (H, W, 3) as the model sees it: stretched, if the view says so."""
        return stretch_contrast(image) if self.stretch else image


def _starts(length: int, window: int, overlap: float) -> list[int]:
    """Return the first pixels of the fewest evenly spread windows that cover ``length`` with ``overlap``."""
    if length <= window:
        return [(length - window) // 2]
    step = max(1, int(window * (1 - overlap) + 1e-6))  # 100 * (1 - 0.9) is 9.99999...
    count = 1 + -(-(length - window) // step)
    return [round(i * (length - window) / (count - 1)) for i in range(count)]


def stretch_contrast(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Stretch an image (H, W, 3): its 0.5th percentile to 0, its 99.5th to 255, all channels alike.

    One scale for the three channels keeps the hues of a stain.
    """
    result: NDArray[np.uint8] = stretch_table(np.bincount(image.ravel(), minlength=256))[image]
    return result


def stretch_table(counts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return what stretch_contrast makes of each of the 256 values of an image, (256,).

    The percentiles are those of ``np.percentile``, taken from the histogram: every training window asks for those
    of a whole image.

    Args:
        counts: (256,), how many pixels and channels of the image have each value.
    """
    cumulated = np.cumsum(counts)
    limits = []
    for percent in STRETCH_PERCENTILES:
        rank = percent / 100 * (int(cumulated[-1]) - 1)
        below, above = (
            int(np.searchsorted(cumulated, index, side="right")) for index in (int(rank), math.ceil(rank))
        )
        limits.append(below + (above - below) * (rank - int(rank)))
    low, high = limits
    scale = 255 / max(high - low, 1)
    table: NDArray[np.uint8] = (
        np.clip((np.arange(256, dtype=np.float32) - low) * scale, 0, 255).round().astype(np.uint8)
    )
    return table
