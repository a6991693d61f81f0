"""Read image files as 8-bit RGB or as label maps, and write PNG files, whole or not at all."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from sac_lightning.core.errors import UserError
from sac_lightning.core.files import whole_file

IMAGE_ENDINGS = (".png", ".webp", ".tif", ".tiff", ".bmp", ".jpg", ".jpeg")


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image as 8-bit RGB (H, W, 3).

    Grey becomes three equal channels, alpha is dropped, and grey of more than 8 bits is stretched from its own
    minimum and maximum to 0..255.

    Raises:
        UserError: The file cannot be read, or holds infinite values or NaN.
    """
    with _open_image(path) as image:
        if image.mode.startswith("I") or image.mode == "F":
            grey = np.asarray(image, dtype=np.float32)
            if not np.isfinite(grey).all():
                raise UserError(f"{path} holds values that are infinite or NaN: save it with 8 or 16 bits")
            span = max(float(grey.max() - grey.min()), 1e-6)
            grey8 = np.round((grey - grey.min()) / span * 255).astype(np.uint8)
            return np.repeat(grey8[:, :, None], 3, axis=2)
        # Pillow warns about a palette with transparency that does not become RGBA first.
        return np.array((image.convert("RGBA") if image.mode == "P" else image).convert("RGB"))


def read_instances(path: Path) -> NDArray[np.int32]:
    """Read a label map (H, W) from a grey image of 8 or 16 bits; 0 is background.

    Raises:
        UserError: The file cannot be read, is in colour, or has labels that are not whole numbers from 0 to 65535.
    """
    with _open_image(path) as image:
        values = np.array(image)
    if values.ndim != 2:
        raise UserError(f"{path} is in colour: a label map or mask is a grey image in which 0 is background")
    if values.dtype.kind == "f" and not (np.isfinite(values).all() and (values == np.floor(values)).all()):
        raise UserError(f"{path} holds labels that are not whole numbers: save it with 8 or 16 bits")
    if values.min() < 0 or values.max() > 65_535:
        raise UserError(f"{path} has labels from {values.min()} to {values.max()}: renumber them from 0 to 65535")
    return values.astype(np.int32)


def _open_image(path: Path) -> Image.Image:
    image = None
    try:
        image = Image.open(path)
        image.load()
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if image is not None:
            image.close()
        raise UserError(f"{path} cannot be read as an image ({error}): replace or remove it") from error
    return image


def refuse_name(path: Path) -> None:
    """Raise UserError if a file name is not valid UTF-8: records, tables and the console could not print it."""
    try:
        path.name.encode()
    except UnicodeEncodeError as error:
        name = os.fsencode(path.name).decode("ascii", "backslashreplace")
        raise UserError(f"the file name {name} is not in UTF-8: rename the file") from error


def write_image(path: Path, pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Write a PNG, whole or not at all: (H, W, 3) RGB, or (H, W) grey with 8 or 16 bits."""
    with whole_file(path) as partial:
        Image.fromarray(pixels).save(partial, format="PNG")
