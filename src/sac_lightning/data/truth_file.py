"""Read the file of a truth, of any format, as one plane of stored numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from sac_lightning.core.errors import UserError, unreadable
from sac_lightning.data.array_file import ARRAY_ENDINGS, read_array
from sac_lightning.data.stored_pixels import StoredPixels, opaque_alpha
from sac_lightning.data.tiff_file import read_tiff
from sac_lightning.images.formats import is_tiff
from sac_lightning.images.pillow_file import open_with_pillow

PNG_GREY, PNG_PALETTE = 0, 3
# JPEG 2000 and AVIF can be lossless, which a file does not tell for certain.
LOSSY = ("JPEG", "MPO", "JPEG2000", "AVIF")
# How many colours a sentence names.
NAMED_COLOURS = 4
# By how much the channels of a grey pixel may differ after lossy compression.
LOSSY_TINT = 16


@dataclass(frozen=True)
class StoredTruth:
    """One plane of a file of a truth.

    Attributes:
        values: (H, W) bool, whole or floating numbers, as stored, all of them finite.
        palette: (n, 4) uint8, red, green, blue and alpha of each number, if the numbers stand for colours.
        lossy: Whether the file's compression changes values.
    """

    values: NDArray[Any]
    palette: NDArray[np.uint8] | None
    lossy: bool


def read_truth(path: Path) -> StoredTruth:
    """Read a label map or mask.

    Three equal channels are grey, opaque alpha is dropped, and transparent pixels are background.

    Raises:
        UserError: The file cannot be read, is in colour, or has pages that differ or values that are no numbers.
    """
    pixels = _read_pixels(path)
    values = _join_channels(_choose_plane(pixels.planes, path), path, pixels.lossy)
    if values.dtype.kind not in "biuf":
        raise UserError(f"{path} holds values of the type {values.dtype}: save whole numbers")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise UserError(f"{path} holds values that are infinite or NaN: save it with 0 as the background")
    if values.size == 0:
        raise UserError(f"{path} holds no pixel: replace or remove it")
    return StoredTruth(values, pixels.palette, pixels.lossy)


def _read_pixels(path: Path) -> StoredPixels:
    if path.suffix.lower() in ARRAY_ENDINGS:
        return read_array(path)
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise unreadable(path, error) from error
    if is_tiff(head):
        return read_tiff(path)
    with open_with_pillow(path) as image:
        lossy = image.format in LOSSY or (image.format == "WEBP" and b"VP8L" not in head)
        if image.format == "PNG":
            return _read_png(path, image, bits=head[24], colour_type=head[25])
        if image.mode == "P":
            return StoredPixels(_read_frames(image), _read_palette(image))
        return StoredPixels(_read_frames(image), lossy=lossy)


def _read_png(path: Path, image: Image.Image, bits: int, colour_type: int) -> StoredPixels:
    if bits == 16 and colour_type != PNG_GREY:
        # Pillow keeps the high byte of 16-bit colour. OpenCV reads BGR, or BGRA.
        stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if stored is None:
            raise UserError(f"{path} cannot be read as an image: replace or remove it")
        return StoredPixels([stored[:, :, [2, 1, 0, *range(3, stored.shape[2])]]])
    palette = _read_palette(image) if colour_type == PNG_PALETTE else None
    frames = _read_frames(image)
    if colour_type == PNG_GREY and bits in (2, 4):
        # Pillow spreads few levels of grey over 0..255.
        frames = [frame // (255 // (2**bits - 1)) for frame in frames]
    return StoredPixels(frames, palette)


def _read_frames(image: Image.Image) -> list[NDArray[Any]]:
    """Return all frames of an image; of a palette, its indices."""
    if image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        return [np.array(image.convert("RGB"))]
    if image.mode == "PA":
        return [np.array(image.convert("RGBA"))]
    if getattr(image, "n_frames", 1) == 1:
        return [np.array(image)]
    return [np.array(frame) for frame in ImageSequence.Iterator(image)]


def _read_palette(image: Image.Image) -> NDArray[np.uint8] | None:
    """Return the colours of the indices of an image with a palette."""
    if image.mode != "P":
        return None
    copy = image.copy()
    copy.apply_transparency()
    colours = copy.getpalette("RGBA") or []
    return np.array(colours, np.uint8).reshape(-1, 4)


def _choose_plane(planes: Sequence[NDArray[Any]], path: Path) -> NDArray[Any]:
    if not planes:
        raise UserError(f"{path} holds no image: replace or remove it")
    first: NDArray[Any] = planes[0]
    if any(not np.array_equal(first, other) for other in planes[1:]):
        raise UserError(
            f"{path} holds {len(planes)} pages that differ: save the one with the truth as a file of its own, or, "
            "if each page is one nucleus, one label map with a number for each"
        )
    return first


def _join_channels(pixels: NDArray[Any], path: Path, lossy: bool) -> NDArray[Any]:
    """Return the one plane (H, W) that grey, grey and alpha, RGB or RGBA stand for."""
    if pixels.ndim == 2:
        return pixels
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * 255
    channels = pixels.shape[2]
    if channels > 4:
        raise UserError(
            f"{path} has {channels} channels: save the one with the nuclei, or one label map with a number for "
            "each nucleus"
        )
    colours = pixels[:, :, : channels - 1] if channels in (2, 4) else pixels
    if channels in (2, 4):
        visible = _read_alpha(pixels[:, :, -1], path)
        if not visible.all():
            return _blank_transparent(colours, visible, path)
    if np.ptp(colours, axis=2).max(initial=0) <= (LOSSY_TINT if lossy else 0):
        return np.asarray(colours[:, :, 0])
    found = find_colours(colours)
    if len(found) == 2 and not found[0].any():
        coloured: NDArray[np.bool_] = np.any(colours != 0, axis=2)
        return coloured
    raise UserError(
        f"{path} is in colour ({name_colours(found)}): save it in grey, as a label map or with nuclei white on "
        "black"
    )


def _blank_transparent(colours: NDArray[Any], visible: NDArray[np.bool_], path: Path) -> NDArray[Any]:
    """Return the plane of an image whose transparent pixels are background."""
    found = find_colours(colours[visible])
    if len(found) == 1:
        return visible  # Nuclei of one colour on nothing, whatever the colour.
    if len(found) == 0 and len(find_colours(colours)) > 1:
        raise UserError(f"{path} is transparent everywhere: save it in grey, without transparency")
    if (found == found[:, :1]).all():
        return np.where(visible, colours[:, :, 0], np.zeros((), colours.dtype))
    raise UserError(
        f"{path} is in colour ({name_colours(found)} and transparent): save it in grey, as a label map or with "
        "nuclei white on black"
    )


def _read_alpha(alpha: NDArray[Any], path: Path) -> NDArray[np.bool_]:
    """Return which pixels are opaque; raise UserError if some are half transparent."""
    visible: NDArray[np.bool_] = alpha == opaque_alpha(alpha.dtype)
    if not (visible | (alpha == 0)).all():
        raise UserError(f"{path} is half transparent in places: save it in grey, without transparency")
    return visible


def find_colours(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the different colours (n, C) of pixels (..., C), sorted, black first."""
    colours = pixels.reshape(-1, pixels.shape[-1])
    if colours.dtype != np.uint8:
        return np.unique(colours, axis=0)
    weights = 256 ** np.arange(colours.shape[1], dtype=np.int64)[::-1]
    return colours[np.unique(colours @ weights, return_index=True)[1]]


def name_colours(colours: NDArray[Any]) -> str:
    """Return the first few of some colours (n, 3 or more) as text, such as ``#000000, #ff0000 and 2 more``."""
    if colours.dtype != np.uint8:
        return f"{len(colours)} colours"
    named = ["#" + "".join(f"{channel:02x}" for channel in colour[:3]) for colour in colours[:NAMED_COLOURS]]
    more = len(colours) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")
