"""What QuPath's viewer shows, as it comes in a request: checked before it is decoded."""

import base64
import binascii
import io
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sac_lightning.qupath.refusal import TOO_LARGE, RefusalError

MOST_PIXELS = 2**24
"""More than a screen of 5120 x 2880 has."""
SMALLEST_SIDE = 16
# All others would be other readers for a stranger to try.
KINDS = ("PNG", "JPEG")
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")


def read_view(text: str) -> NDArray[np.uint8]:
    """Read an image (H, W, 3) RGB.

    Args:
        text: PNG or JPEG, in base64.

    Raises:
        RefusalError: It is something else, too large or too small.
    """
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusalError("b64img is not base64: send an image as PNG in base64") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # Our limit is the lower one.
            with Image.open(io.BytesIO(content), formats=KINDS) as image:
                refuse_size(*image.size)
                if image.mode not in MODES:
                    raise RefusalError(f"the image has pixels of the kind {image.mode}: send one of 8 bits")
                return np.array(image.convert("RGB"))
    except Image.DecompressionBombError as error:
        raise _too_large() from error
    except RefusalError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
        raise RefusalError("b64img is no PNG or JPEG, or a damaged one: send it again") from error


def refuse_size(width: float, height: float) -> None:
    """Raise RefusalError over the size of an image in pixels, as it is or as it will be for the model."""
    if width * height > MOST_PIXELS:
        raise _too_large()
    if min(width, height) < SMALLEST_SIDE:
        raise RefusalError(f"the image has {width:.0f} x {height:.0f} pixels: show more of it in the viewer")


def _too_large() -> RefusalError:
    return RefusalError(
        f"the image has more than {MOST_PIXELS:,} pixels, or would have where it is enlarged for the model: show "
        "less of it in the viewer, by zooming in",
        TOO_LARGE,
    )
