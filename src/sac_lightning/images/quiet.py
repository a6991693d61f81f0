"""Keep what libraries say about files to themselves from the console: what matters becomes our own sentence."""

import logging
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
