"""Of tissue in two stains the haematoxylin alone, which is in nuclei whatever the other one shows.

Colour deconvolution (Ruifrok and Johnston 2001), with scikit-image's vectors of haematoxylin, eosin and DAB.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from skimage.color import hed2rgb, rgb2hed

from sac_lightning.core.errors import UserError
from sac_lightning.images.slide import Pixels, Slide

NAMES = ("haematoxylin", "hematoxylin")


def asks_haematoxylin(channel: int | str | None) -> bool:
    """Return whether a channel is the name of the stain."""
    return isinstance(channel, str) and channel.lower() in NAMES


def take_haematoxylin(slide: Slide) -> Slide:
    """Return a slide that looks as if it had been stained by haematoxylin alone.

    Args:
        slide: Rows (n, W, 3) of 8 bits; while rows are read, others raise UserError.
    """

    def read(top: int, bottom: int) -> Pixels:
        return unmix(slide.read(top, bottom))

    def open_level(level: int) -> Slide:
        assert slide.open_level is not None
        return take_haematoxylin(slide.open_level(level))

    return replace(slide, read=read, open_level=None if slide.open_level is None else open_level)


def unmix(pixels: Pixels) -> NDArray[np.uint8]:
    """Return the colours that pixels (..., 3) would have if there were no stain but haematoxylin.

    Raises:
        UserError: They are no colours of 8 bits.
    """
    if pixels.ndim < 3 or pixels.dtype != np.uint8:
        raise UserError(f"channel={NAMES[0]} is for stained tissue in colours of 8 bits: leave it out")
    stains = rgb2hed(pixels)
    stains[..., 1:] = 0
    return np.asarray(np.round(255 * np.clip(hed2rgb(stains), 0, 1)), np.uint8)
