"""Open an image file with Pillow; whatever is wrong with it is one sentence."""

import struct
import warnings
from pathlib import Path

from PIL import ExifTags, Image, UnidentifiedImageError

from sac_lightning.core.errors import unreadable


def open_with_pillow(path: Path) -> Image.Image:
    """Return a decoded image, in its own mode.

    Raises:
        UserError: The file cannot be read.
    """
    image = None
    try:
        image = Image.open(path)
        image.load()
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if image is not None:
            image.close()
        raise unreadable(path, error) from error
    return image


def read_orientation(path: Path) -> int:
    """Return by which of the eight orientations of EXIF a file says to show it: 1, as it is stored, by default."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of broken EXIF and large images, which reading the file finds.
            with Image.open(path) as image:
                # The base's, as that of PNG decodes the image.
                said = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    except (OSError, SyntaxError, ValueError, LookupError, TypeError, struct.error, Image.DecompressionBombError):
        return 1  # No image of Pillow's, such as an array, or a broken one, which reading it names.
    return said if said in range(2, 9) else 1
