"""Open an image file, whatever its format."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sac_lightning.core.errors import UserError, unreadable
from sac_lightning.images.formats import EXTRA_ENDINGS, is_dicom_folder, is_tiff, is_zarr, refuse_ending
from sac_lightning.images.haematoxylin import asks_haematoxylin, take_haematoxylin
from sac_lightning.images.not_a_number import cover_nan
from sac_lightning.images.pillow_file import open_picture
from sac_lightning.images.quiet import silence_libraries
from sac_lightning.images.refusals import name_file, refuse_no_file
from sac_lightning.images.selection import DEFAULT, Selection
from sac_lightning.images.slide import Pixels, Slide
from sac_lightning.images.tiff_file import open_tiff
from sac_lightning.images.tone import tone_of

Opener = Callable[[Path, Selection], AbstractContextManager[Slide]]


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
        unmixes = asks_haematoxylin(selection.channel)
        with silence_libraries():
            slide = _open(stack, path, replace(selection, channel=None) if unmixes else selection)
        slide = take_haematoxylin(slide) if unmixes else slide
        yield _silenced(cover_nan(slide))


def read_image(path: Path, selection: Selection = DEFAULT) -> NDArray[np.uint8]:
    """Read an image as 8-bit RGB (H, W, 3), by the same reader and with the same numbers as predict.

    Grey becomes three equal channels, what is not there becomes background, and more than 8 bits are brought to
    0..255 as tone.py says.

    Args:
        path: As of open_image.
        selection: As of open_image.

    Raises:
        UserError: The file cannot be read, or holds infinite values.
    """
    try:
        with open_image(path, selection) as slide:
            rgb = tone_of(slide, stretch=False).rgb(slide.read(0, slide.height))
            return rgb if rgb.flags.writeable else rgb.copy()
    except UserError as error:
        raise name_file(path, error) from error


def read_micrometres(path: Path, selection: Selection = DEFAULT) -> tuple[float, float] | None:
    """Return the width and height of a pixel as a file says them; of a format that does not say, nothing is read.

    Args:
        path: As of open_image.
        selection: As of open_image.

    Raises:
        UserError: The file cannot be read.
    """
    try:
        if not path.is_dir() and path.suffix.lower() not in EXTRA_ENDINGS:
            with path.open("rb") as file:
                if not is_tiff(file.read(4)):
                    return None
    except OSError as error:
        raise unreadable(path, error) from error
    with open_image(path, selection) as slide:
        return slide.micrometres


def _open(stack: ExitStack, path: Path, selection: Selection) -> Slide:
    refuse_ending(path)
    if is_zarr(path):
        from sac_lightning.images.zarr_folder import open_zarr

        return stack.enter_context(open_zarr(path, selection))
    if not is_dicom_folder(path):
        refuse_no_file(path)
    library = "wsidicom" if is_dicom_folder(path) else EXTRA_ENDINGS.get(path.suffix.lower())
    if library is not None:
        try:
            opener = _find_opener(library)
        except (ImportError, OSError) as error:
            raise UserError(
                f"{path} is read by {library}, which cannot be loaded ({error}): install it anew, "
                "pip install --force-reinstall 'sac-lightning[slides]'"
            ) from error
        return stack.enter_context(opener(path, selection))
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError as error:
        raise unreadable(path, error) from error
    if is_tiff(head):
        return stack.enter_context(open_tiff(path, selection))
    return open_picture(path, selection)


def _find_opener(library: str) -> Opener:
    """Return what opens files by a library, which is imported only now."""
    if library == "openslide":
        from sac_lightning.images.openslide_file import open_with_openslide

        return open_with_openslide
    if library == "wsidicom":
        from sac_lightning.images.dicom_folder import open_dicom

        return open_dicom
    if library == "pylibCZIrw":
        from sac_lightning.images.czi_file import open_czi

        return open_czi
    if library == "nd2":
        from sac_lightning.images.nd2_file import open_nd2

        return open_nd2
    from sac_lightning.images.lif_file import open_lif

    return open_lif


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
