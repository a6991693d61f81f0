"""Open an image file, whatever its format."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sac_lightning.core.errors import UserError
from sac_lightning.slides.pillow_file import read_with_pillow
from sac_lightning.slides.slide import Slide, whole_slide
from sac_lightning.slides.tiff_file import open_tiff

TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@contextmanager
def open_slide(path: Path, page: int = 1) -> Iterator[Slide]:
    """Open an image file: TIFF of any kind and size, or what Pillow reads, as far as it fits into memory.

    Args:
        path: Of the file; its format follows from its first bytes.
        page: Of a file with several of one size (planes, channels, time points), counted from 1. Of a pyramid,
            the full resolution.

    Raises:
        UserError: The file cannot be read, is too large to be decoded in one piece, or has no such page.
    """
    try:
        with path.open("rb") as file:
            is_tiff = file.read(4) in TIFF_SIGNATURES
    except OSError as error:
        raise UserError(f"{path} cannot be read as an image ({error}): replace or remove it") from error
    if is_tiff:
        with open_tiff(path, page) as slide:
            yield slide
    else:
        yield whole_slide(read_with_pillow(path, page))
