"""How a model sees an image: input size, whole or in overlapping windows, contrast stretched or not."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sac_lightning.core.errors import UserError


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
        stretch: Stretch the contrast of each image between two percentiles of its tissue or signal
            (fluorescence is often nearly black), see images/tone.py.
        flips: Segment each window's mirror images, too, and take the mean, see windows.add_mirrored.
    """

    image_size: int | None
    crop: int | None = None
    overlap: float = 0.25
    stretch: bool = False
    flips: bool = False

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

    def at_scale(self, factor: float) -> "View":
        """Return the view by which a model sees an image at the magnification of its training.

        The sides of its windows have so many times as many pixels and are resized to the same input. Of whole
        images there is no other view: their magnification follows from their size.

        Args:
            factor: Pixels of the image to one of the training: 0.5 for an image of 20x and a model of 40x.
        """
        if self.crop is None or factor == 1:
            return self
        return replace(self, crop=max(1, round(self.crop * factor)), image_size=self.image_size or self.crop)


def _starts(length: int, window: int, overlap: float) -> list[int]:
    """Return the first pixels of the fewest evenly spread windows that cover ``length`` with ``overlap``."""
    if length <= window:
        return [(length - window) // 2]
    step = max(1, int(window * (1 - overlap) + 1e-6))  # 100 * (1 - 0.9) is 9.99999...
    count = 1 + -(-(length - window) // step)
    return [round(i * (length - window) / (count - 1)) for i in range(count)]


def stretch_table(low: float, high: float) -> NDArray[np.uint8]:
    """Return what becomes of each of the 256 values (256,) where ``low`` becomes 0 and ``high`` 255.

    One table for the three channels keeps the hues of a stain.
    """
    scale = 255 / max(high - low, 1)
    stretched = np.clip((np.arange(256, dtype=np.float32) - low) * scale, 0, 255)
    table: NDArray[np.uint8] = stretched.round().astype(np.uint8)
    return table
