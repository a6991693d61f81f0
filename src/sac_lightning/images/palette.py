"""Tables of colours: whether they colour a measurement for the eye, or hold the colours of a picture."""

import numpy as np
from numpy.typing import NDArray

# Of a table for the eye, neighbouring numbers differ by less than this in each channel ...
SMOOTH_STEP = 16
# ... but for some that mark the ends of the range.
MOST_JUMPS = 4
# How near to black and white the ends of a ramp of grey are.
RAMP_END = 4
# How far a colour may be from a part of the brightest one, as its numbers are rounded.
ROUNDED = 2


def is_display_table(colours: NDArray[np.uint8]) -> bool:
    """Return whether the indices of an image are its measurement, and its table (n, 3) only colours them.

    So ImageJ saves an image of 8 bits with a look-up table: "Blue", "Fire", an inverted ramp. The table then runs
    smoothly over all 256 numbers. The table of a picture in few colours jumps, or leaves some of them out.
    """
    if len(colours) < 256:
        return False
    colours = colours[:: len(colours) // 256]  # of 16 bits, as many as of 8
    steps = np.abs(np.diff(colours.astype(int), axis=0)).max(axis=1)
    if (steps >= SMOOTH_STEP).sum() > MOST_JUMPS or len(np.unique(colours, axis=0)) < len(colours) // 2:
        return False
    if (colours == colours[:, :1]).all():
        # Greys that do not run from end to end are those of a picture.
        ends = sorted((int(colours[0, 0]), int(colours[-1, 0])))
        return ends[0] <= RAMP_END and ends[1] >= 255 - RAMP_END
    return True


def read_brightness(colours: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Return the brightness (n,) of the colours (n, 3) of a table, if all are shades of one; else None.

    Programs leave out of a table what the image does not have, and number it anew: so GIF has that of a dye.
    """
    if not len(colours):
        return None
    brightness = colours.max(axis=1)
    hue = colours[brightness.argmax()] / max(1, int(brightness.max()))
    return brightness if (np.abs(colours - brightness[:, None] * hue) <= ROUNDED).all() else None
