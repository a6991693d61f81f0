"""Image files that Pillow reads: always whole, so their headers are looked at first."""

import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from sac_lightning.core.errors import unreadable
from sac_lightning.images.background import cover_transparent
from sac_lightning.images.choice import choose_channel, choose_page, choose_series
from sac_lightning.images.netpbm import read_deep_netpbm
from sac_lightning.images.palette import is_display_table, read_brightness
from sac_lightning.images.refusals import refuse_one_piece, tell_broken
from sac_lightning.images.selection import Candidate, Plane, Selection, describe_choice
from sac_lightning.images.slide import Pixels, Slide

PNG_GREY = 0
COLOURS = ("red", "green", "blue")
# imagecodecs raises RuntimeError.
BROKEN = (OSError, UnidentifiedImageError, SyntaxError, ValueError, RuntimeError, Image.DecompressionBombError)


def open_with_pillow(path: Path) -> Image.Image:
    """Return a decoded image, in its own mode.

    Raises:
        UserError: The file cannot be read.
    """
    image = None
    try:
        image = Image.open(path)
        image.load()
    except BROKEN as error:
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


def open_picture(path: Path, selection: Selection) -> Slide:
    """Read an image as grey (H, W) or RGB (H, W, 3), in the file's own numbers.

    Raises:
        UserError: The file cannot be read, claims more than MAX_WHOLE_PIXELS, or lacks what is asked for.
    """
    with tell_broken(path), Image.open(path) as image:
        pages = getattr(image, "n_frames", 1)
        candidates = (Candidate("", ((image.height, image.width),), pages),)
        choose_series(candidates, selection.series, path)
        page = choose_page(selection.page, pages, path)
        if page > 0:
            image.seek(page)
        refuse_one_piece(image.width * image.height, path)
        pixels = _read_pixels(image, path)
    if selection.channel is not None:
        pixels = _take_channel(pixels, selection.channel, path)
    note = describe_choice(candidates, 0, page, pages, None)
    height, width = pixels.shape[:2]
    plane = Plane(t=page) if pages > 1 else None
    return Slide(
        height, width, lambda top, bottom: pixels[top:bottom], candidates=candidates, plane=plane, note=note
    )


def _take_channel(pixels: Pixels, channel: int | str, path: Path) -> Pixels:
    if pixels.ndim == 2:
        choose_channel(channel, ("grey",), path)
        return pixels
    return np.ascontiguousarray(pixels[:, :, choose_channel(channel, COLOURS, path)])


def _read_pixels(image: Image.Image, path: Path) -> Pixels:
    deep = _read_deep_colours(image, path)
    if deep is not None:
        return _split_alpha(deep)
    if image.mode == "P":
        table = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
        if "transparency" not in image.info:
            if is_display_table(table):
                return np.array(image)
            brightness = read_brightness(table)
            if brightness is not None:
                return np.asarray(np.pad(brightness, (0, 256 - len(brightness)))[np.array(image)])
        # Pillow warns about a palette with transparency that does not become RGBA first.
        return _split_alpha(np.array(image.convert("RGBA")))
    if image.mode == "1":
        return np.array(image.convert("L"))
    if image.mode.startswith("I") or image.mode == "F":
        return _cover_number(np.array(image), image.info.get("transparency"))
    if image.mode == "L" and "transparency" not in image.info:
        return np.array(image)
    if image.mode in ("LA", "La", "L"):
        return _split_alpha(np.array(image.convert("LA")))
    if image.mode in ("RGBA", "RGBa", "PA") or (image.mode == "RGB" and "transparency" in image.info):
        return _split_alpha(np.array(image.convert("RGBA")))
    return np.array(image.convert("RGB"))


def _read_deep_colours(image: Image.Image, path: Path) -> NDArray[Any] | None:
    """Return colours of more than 8 bits, of which Pillow keeps the high byte; None if there are none."""
    if image.format == "PNG":
        with path.open("rb") as file:
            head = file.read(26)
        if head[24] == 16 and head[25] != PNG_GREY:
            from imagecodecs import png_decode

            return np.asarray(png_decode(path.read_bytes()))
    if image.format == "JPEG2000":
        from imagecodecs import jpeg2k_decode

        decoded = np.asarray(jpeg2k_decode(path.read_bytes()))
        if decoded.dtype != np.uint8:
            return decoded
    if image.format == "PPM":
        return read_deep_netpbm(path)
    return None


def _cover_number(pixels: Pixels, transparent: object) -> Pixels:
    """Return grey pixels with background where they have the number that a PNG of 16 bits says is transparent."""
    if not isinstance(transparent, int):
        return pixels
    return np.ascontiguousarray(cover_transparent(pixels, np.asarray(pixels != transparent)))


def _split_alpha(pixels: NDArray[Any]) -> Pixels:
    """Return grey or RGB of channels (H, W), (H, W, C), the last of 2 or 4 being alpha."""
    if pixels.ndim == 2 or pixels.shape[2] not in (2, 4):
        return pixels
    colours = pixels[:, :, 0] if pixels.shape[2] == 2 else pixels[:, :, :3]
    return np.ascontiguousarray(cover_transparent(colours, pixels[:, :, -1]))
