"""Image files that are not read: broken ones, and those that claim more than they can hold."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tifffile import TiffPage

from sac_lightning.core.errors import UserError, unreadable

# What is decoded in one piece at most, 800 MB of 16-bit RGB. A header can claim more than any memory holds.
MAX_WHOLE_PIXELS = 2**27
# Up to this size a header that claims too much takes little memory.
SMALL_CLAIM = 2**24
# The largest slides that are scanned, and then some.
MAX_PIXELS, MAX_WIDTH = 2**35, 2**18
# How many bytes a byte of a file may stand for; an empty slide in the best of the codecs stays below.
MAX_COMPRESSION = 2**14
# tifffile has no exception of its own for a file that is broken beyond its header; codecs raise RuntimeError.
BROKEN = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RuntimeError,
    ArithmeticError,
    MemoryError,
    struct.error,
)


@contextmanager
def tell_broken(path: Path) -> Iterator[None]:
    """Make one sentence of whatever a library raises over a file: each has exceptions of its own.

    Raises:
        UserError: Something was raised.
    """
    try:
        yield
    except Exception as error:
        raise unreadable(path, error) from error


def name_file(path: Path, error: UserError) -> UserError:
    """Return an error that names the file it is about."""
    return error if str(path) in str(error) else UserError(f"{path}: {error}")


def refuse_no_file(path: Path) -> None:
    """Raise UserError over what is no file: a link to nothing, a folder, a pipe, on which reading would wait."""
    if path.is_symlink() and not path.exists():
        raise UserError(
            f"{path} cannot be read as an image (it is a link to a file that is not there): mend or remove it"
        )
    if not path.exists():
        raise UserError(f"{path} cannot be read as an image (it is not there): it may have been moved meanwhile")
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "a pipe or a device"
        raise UserError(f"{path} cannot be read as an image (it is {kind}): remove or rename it")


def refuse_one_piece(pixels: int, path: Path) -> None:
    """Raise UserError if a piece to be decoded has more than MAX_WHOLE_PIXELS."""
    if pixels > MAX_WHOLE_PIXELS:
        raise UserError(
            f"{path} holds {pixels:,} pixels that can only be read in one piece, more than {MAX_WHOLE_PIXELS:,}: "
            "save it as a tiled TIFF, which is read in parts"
        )


def refuse_claims(page: TiffPage, path: Path) -> None:
    """Raise UserError, before anything is decoded, if a header claims what its file cannot hold."""
    if page.axes not in ("YX", "YXS", "SYX"):
        raise UserError(f"{path} is not a flat image (its axes are {page.axes}): save it as one plane")
    if np.dtype(page.dtype).kind not in "buif":
        raise UserError(f"{path} holds numbers of the type {page.dtype}: save it with 8 or 16 bits")
    pixels = page.imagewidth * page.imagelength
    if pixels > MAX_PIXELS or page.imagewidth > MAX_WIDTH:
        raise UserError(
            f"{path} claims {page.imagewidth:,}x{page.imagelength:,} pixels, more than a slide has: "
            "cut it into regions"
        )
    if pixels > SMALL_CLAIM and page.nbytes > MAX_COMPRESSION * path.stat().st_size:
        raise UserError(
            f"{path} claims {page.nbytes:,} bytes of pixels in a file of {path.stat().st_size:,}: get it again"
        )
