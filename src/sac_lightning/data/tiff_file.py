"""TIFF files through tifffile, which returns the stored numbers; Pillow turns those of a MINISWHITE file round."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import COMPRESSION, PHOTOMETRIC, TiffFile, TiffPage

from sac_lightning.core.errors import UserError, unreadable
from sac_lightning.data.stored_pixels import StoredPixels, opaque_alpha
from sac_lightning.images.quiet import silence_libraries
from sac_lightning.images.refusals import BROKEN, refuse_claims

# Some of them can be lossless too, which the file does not tell for certain.
LOSSY = (
    COMPRESSION.OJPEG,
    COMPRESSION.JPEG,
    COMPRESSION.ALT_JPEG,
    COMPRESSION.JPEG_LOSSY,
    COMPRESSION.APERIO_JP2000_YCBC,
    COMPRESSION.APERIO_JP2000_RGB,
    COMPRESSION.JPEG_2000_LOSSY,
    COMPRESSION.JPEG2000,
    COMPRESSION.JPEGXR,
    COMPRESSION.JPEGXR_NDPI,
    COMPRESSION.JPEGXL,
    COMPRESSION.JPEGXL_DNG,
    COMPRESSION.JETRAW,
    COMPRESSION.LERC,
    COMPRESSION.WEBP,
    COMPRESSION.WEBP_DEPRECATED,
)
LEVELS_OF_GREY_OR_COLOUR = (
    PHOTOMETRIC.MINISWHITE,
    PHOTOMETRIC.MINISBLACK,
    PHOTOMETRIC.RGB,
    PHOTOMETRIC.YCBCR,
    PHOTOMETRIC.PALETTE,
)


def read_tiff(path: Path) -> StoredPixels:
    """Read all pages of a TIFF, without smaller copies of the same image.

    Raises:
        UserError: The file cannot be read, claims more than it can hold, or is neither grey nor RGB.
    """
    try:
        with silence_libraries(), TiffFile(path) as file:
            pages = [page for page in file.pages if isinstance(page, TiffPage) and not page.is_reduced]
            for page in pages:
                _refuse_page(page, path)
            planes = [plane for page in pages for plane in _read_planes(page)]
            lossy = any(page.compression in LOSSY for page in pages)
            return StoredPixels(planes, _read_palette(pages[0]), lossy)
    except (*BROKEN, MemoryError) as error:
        raise unreadable(path, error) from error


def _refuse_page(page: TiffPage, path: Path) -> None:
    refuse_claims(page, path)
    if page.photometric not in LEVELS_OF_GREY_OR_COLOUR:
        raise UserError(f"{path} is in colours that are no RGB ({page.photometric!r}): save it in grey")


def _read_planes(page: TiffPage) -> list[NDArray[Any]]:
    """Return the pixels of a page; of one that is four planes or two, each, unless the last is opaque alpha.

    So some programs store that many pages if nobody tells them what they are.
    """
    pixels = page.asarray()
    if page.axes != "SYX":
        return [pixels]
    if len(pixels) in (2, 4) and not (pixels[-1] == opaque_alpha(pixels.dtype)).all():
        return list(pixels)
    return [np.moveaxis(pixels, 0, 2)]


def _read_palette(page: TiffPage) -> NDArray[np.uint8] | None:
    if page.photometric != PHOTOMETRIC.PALETTE or page.colormap is None:
        return None
    colours = page.colormap.T  # 16 bits by the standard; some programs write 8.
    eight = (colours if colours.max() < 256 else colours >> 8).astype(np.uint8)
    return np.column_stack([eight, np.full(len(eight), 255, np.uint8)])
