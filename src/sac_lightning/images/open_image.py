"""Open an image file, whatever its format."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sac_lightning.core.errors import UserError, unreadable
from sac_lightning.images.formats import EXTRA_ENDINGS, FOLDER_ENDINGS, is_tiff, refuse_ending
from sac_lightning.images.pillow_file import open_picture
from sac_lightning.images.quiet import silence_libraries
from sac_lightning.images.refusals import name_file
from sac_lightning.images.selection import DEFAULT, Selection
from sac_lightning.images.slide import Pixels, Slide
from sac_lightning.images.tiff_file import open_tiff
from sac_lightning.images.tone import tone_of


@contextmanager
def open_image(path: Path, selection: Selection = DEFAULT) -> Iterator[Slide]:
    """Open an image file: a TIFF or slide of any kind and size, or what Pillow reads, as far as memory goes.

    Libraries are silent: what they would warn of is either read or one sentence.

    Args:
        path: Of the file, or of the folder of an OME-Zarr; the format of most follows from their first bytes.
        selection: Which image of the file. Of a pyramid, the full resolution is opened.

    Raises:
        UserError: The file cannot be read, is too large to be decoded in one piece, or lacks what is asked for;
            while rows are read, too.
    """
    with ExitStack() as stack:
        with silence_libraries():
            slide = _open(stack, path, selection)
        yield _silenced(slide)


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image as 8-bit RGB (H, W, 3), by the same reader and with the same numbers as predict.

    Grey becomes three equal channels, what is not there becomes background, and more than 8 bits are brought from
    the image's own minimum and maximum to 0..255.

    Raises:
        UserError: The file cannot be read, or holds infinite values or NaN.
    """
    try:
        with open_image(path) as slide:
            rgb = tone_of(slide, stretch=False).rgb(slide.read(0, slide.height))
            return rgb if rgb.flags.writeable else rgb.copy()
    except UserError as error:
        raise name_file(path, error) from error


def _open(stack: ExitStack, path: Path, selection: Selection) -> Slide:
    refuse_ending(path)
    ending = path.suffix.lower()
    if ending in FOLDER_ENDINGS and path.is_dir():
        from sac_lightning.images.zarr_folder import open_zarr

        return stack.enter_context(open_zarr(path, selection))
    if ending in EXTRA_ENDINGS:
        from sac_lightning.images.openslide_file import open_with_openslide

        return stack.enter_context(open_with_openslide(path, selection))
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError as error:
        raise unreadable(path, error) from error
    if is_tiff(head):
        return stack.enter_context(open_tiff(path, selection))
    return open_picture(path, selection)


def _silenced(slide: Slide) -> Slide:
    """Return a slide whose rows and levels are read without a word of the libraries."""

    def read(top: int, bottom: int) -> Pixels:
        with silence_libraries():
            return slide.read(top, bottom)

    def open_level(level: int) -> Slide:
        assert slide.open_level is not None
        with silence_libraries():
            return _silenced(slide.open_level(level))

    return replace(slide, read=read, open_level=None if slide.open_level is None else open_level)
