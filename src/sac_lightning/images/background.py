"""What stands for what is not there: glass in bright field, the ground in the dark, never a black nucleus."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# From this part of the range on, an image is of bright field: dense tissue has its median at .4 to .8, a field of
# fluorescence below .2.
BRIGHT = 0.35
# The ground of a dark image, past single dead pixels; and the end of a bright one, past hot ones.
GROUND_PERCENTILE = 1
END_PERCENTILE = 99.9
# Dyes absorb of all colours, and of one most: there is light in each channel's darkest pixels, as a part of that
# of its brightest, and the channels' means differ by a part. Of lights one channel is dark where another is
# bright, or all are equal.
LEAST_LIGHT = 0.05
TINT = 0.02
# A grey image is dark, however bright its ground, if it reaches so many times further above the middle than below.
TAIL = 5.0


def find_background(visible: NDArray[Any]) -> float:
    """Return the number of all channels of a pixel where nothing is.

    In bright field this is white, which is 255 of 8 bits and else the highest number that is there: a camera of 12
    bits does not reach what 16 can hold. In the dark it is the ground.

    Args:
        visible: (n,) or (n, C) pixels that are there, or a sample of them.
    """
    if visible.size == 0:
        # Nothing is there at all: an empty slide is white, an empty field is dark.
        return 255.0 if visible.ndim == 2 and visible.dtype == np.uint8 else 0.0
    brightness = visible if visible.ndim == 1 else visible.mean(axis=1)
    stained = is_stained(visible) if visible.ndim == 2 else is_bright(visible) and not _has_tail(visible)
    if stained:
        return 255.0 if visible.dtype == np.uint8 else float(visible.max())
    ground = float(np.percentile(brightness, GROUND_PERCENTILE))
    return ground if visible.dtype.kind == "f" else float(round(ground))


def is_bright(visible: NDArray[Any]) -> bool:
    """Return whether pixels (n,) or (n, C) are of bright field: stained on white, and not bright on black."""
    low = min(0.0, float(visible.min()))
    # A single hot pixel does not make a dark field of it.
    high = full_scale(float(np.percentile(visible, END_PERCENTILE)), visible.dtype, visible.ndim == 2)
    brightness = visible if visible.ndim == 1 else visible.mean(axis=1)
    return high > low and float(np.median(brightness)) - low >= BRIGHT * (high - low)


def is_stained(visible: NDArray[Any]) -> bool:
    """Return whether pixels (n, 3) are of bright field, even where all are dark: of dense tissue, or weak light.

    They are measured by what is brightest among them, if they have the colours of dyes.
    """
    if is_bright(visible):
        return True
    means = visible.mean(axis=0)
    least, ends = (np.percentile(visible, each, axis=0) for each in (GROUND_PERCENTILE, END_PERCENTILE))
    if means.max() <= 0 or np.ptp(means) < TINT * means.max() or (least < LEAST_LIGHT * ends).any():
        return False
    return bool(np.median(visible.mean(axis=1)) >= BRIGHT * ends.mean())


def _has_tail(visible: NDArray[Any]) -> bool:
    """Return whether numbers (n,) reach far above their middle and hardly below it, as lights on a ground do."""
    ground, middle, end = np.percentile(visible, (GROUND_PERCENTILE, 50, END_PERCENTILE))
    return bool(end - middle > TAIL * (middle - ground))


def full_scale(highest: float, dtype: "np.dtype[Any]", colour: bool) -> float:
    """Return the number that stands for white: of a camera of 12 bits in a file of 16 it is 4095.

    Args:
        highest: The highest number that is there, but for hot pixels.
        dtype: Of the numbers.
        colour: Whether there are three channels. A grey image of few counts is no image of 8 bits.
    """
    if dtype == np.uint8:
        return 255.0
    if dtype.kind == "f" and highest <= 1.05:  # resampling overshoots a little
        return 1.0
    least = 255 if colour or dtype.kind == "f" else 1023
    return float(max(2 ** int(max(highest, 0)).bit_length() - 1, least))


def cover(
    colours: NDArray[Any], alpha: NDArray[Any], background: float, opaque: float | None = None
) -> NDArray[Any]:
    """Return pixels (n, W) or (n, W, 3) with background where alpha (n, W) is 0.

    What is half transparent stays as it is: programs write that at the edges of what is there. Colours that were
    multiplied by alpha have black mixed in, which becomes background.

    Args:
        colours: The pixels.
        alpha: Of each.
        background: See find_background.
        opaque: The alpha of what is not transparent, if colours were multiplied by it.
    """
    if opaque is not None:
        rest = (1 - alpha.astype(np.float32) / opaque) * background
        mixed = colours + (rest if colours.ndim == 2 else rest[:, :, None])
        if colours.dtype.kind in "iu":
            mixed = np.minimum(np.round(mixed), np.iinfo(colours.dtype).max)
        return np.where(alpha[..., None] < opaque if colours.ndim == 3 else alpha < opaque, mixed, colours).astype(
            colours.dtype
        )
    hidden = alpha == 0
    if not hidden.any():
        return colours
    result = colours.copy()
    result[hidden] = background
    return result


def cover_transparent(colours: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """Return a whole image (H, W) or (H, W, 3) with background where its alpha (H, W) is 0.

    An alpha that is 0 everywhere was never filled in, and hides nothing.
    """
    visible = alpha != 0
    return cover(colours, alpha, find_background(colours[visible])) if visible.any() else colours
