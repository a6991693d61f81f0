"""TIFF files through tifffile, which returns the stored numbers; Pillow turns those of a MINISWHITE file round."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tifffile import COMPRESSION, PHOTOMETRIC, TiffFile, TiffPage

from sac_lightning.core.errors import UserError
from sac_lightning.data.stored_pixels import StoredPixels
from sac_lightning.images.quiet import silence_libraries
from sac_lightning.images.refusals import BROKEN, refuse_claims, unreadable

LOSSY = (COMPRESSION.OJPEG, COMPRESSION.JPEG, COMPRESSION.ALT_JPEG, COMPRESSION.JPEG_LOSSY)
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
            planes = [
                np.moveaxis(page.asarray(), 0, 2) if page.axes == "SYX" else page.asarray() for page in pages
            ]
            lossy = any(page.compression in LOSSY for page in pages)
            return StoredPixels(planes, _read_palette(pages[0]), lossy)
    except BROKEN as error:
        raise unreadable(path, error) from error


def _refuse_page(page: TiffPage, path: Path) -> None:
    refuse_claims(page, path)
    if page.photometric not in LEVELS_OF_GREY_OR_COLOUR:
        raise UserError(f"{path} is in colours that are no RGB ({page.photometric!r}): save it in grey")


def _read_palette(page: TiffPage) -> NDArray[np.uint8] | None:
    if page.photometric != PHOTOMETRIC.PALETTE or page.colormap is None:
        return None
    colours = page.colormap.T  # 16 bits by the standard; some programs write 8.
    eight = (colours if colours.max() < 256 else colours >> 8).astype(np.uint8)
    return np.column_stack([eight, np.full(len(eight), 255, np.uint8)])
