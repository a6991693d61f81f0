"""Keep what libraries say about files to themselves from the console: what matters becomes our own sentence."""

import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LOGGERS = (
    "tifffile",
    "imagecodecs",
    "zarr",
    "PIL",
    "openslide",
    "wsidicom",
    "pydicom",
    "fsspec",
    "asyncio",
    "roifile",
)
# As systems number it.
STANDARD_ERROR = 2
_REDIRECTING = threading.RLock()


@contextmanager
def silence_libraries() -> Iterator[None]:
    """Ignore warnings and log lines of the libraries that read image files."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextmanager
def silence_errors() -> Iterator[None]:
    """Keep what C code writes to standard error by itself: libtiff, in Pillow, tells of broken files there.

    One thread at a time: of two that overlap, the second would take nothing for the console and leave it so.
    """
    with _REDIRECTING:
        try:
            console = os.dup(STANDARD_ERROR)
        except OSError:  # it is closed
            yield
            return
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), STANDARD_ERROR)
        try:
            yield
        finally:
            os.dup2(console, STANDARD_ERROR)
            os.close(console)
