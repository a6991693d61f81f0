"""Image files that Pillow reads: always whole, so their headers are looked at first."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from sac_lightning.core.errors import unreadable
from sac_lightning.slides.slide import Pixels, refuse_one_piece, refuse_page


def read_with_pillow(path: Path, page: int = 1) -> Pixels:
    """Read an image as grey (H, W) if the file has more than 8 bits, else as 8-bit RGB (H, W, 3).

    Args:
        path: Of the file.
        page: Counted from 1.

    Raises:
        UserError: The file cannot be read, claims more than MAX_WHOLE_PIXELS, or has no such page.
    """
    try:
        with warnings.catch_warnings():
            # Our limit is the lower one, and comes as a sentence.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return _pixels(image, page, path)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise unreadable(path, error) from error


def _pixels(image: Image.Image, page: int, path: Path) -> Pixels:
    refuse_page(page, getattr(image, "n_frames", 1), path)
    if page > 1:
        image.seek(page - 1)
    refuse_one_piece(image.width * image.height, path)
    if image.mode.startswith("I") or image.mode == "F":
        return np.array(image)
    # Pillow warns about a palette with transparency that does not become RGBA first.
    return np.array((image.convert("RGBA") if image.mode == "P" else image).convert("RGB"))
