"""Files and folders that are written whole or not at all."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sac_lightning.core.errors import UserError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to, beside ``path``, that takes its place when the block ends well.

    After an error ``path`` is what it was before, and nothing is left beside it. After a crash of the machine it
    is the old one or the new one, as the new one is on the disk before it gets the name. Of several that write it
    at once, on whichever machine, the last to end stays.

    Args:
        path: Of the file; its folder exists.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        yield partial
        _flush(partial)
        os.replace(partial, path)
        _flush(path.parent)
    except OSError as error:
        # A person knows the file by its own name; of a full disk the system gives none at all.
        if error.errno is not None and error.filename in (None, str(partial), partial):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        partial.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def refuse_unwritable(folder: Path, named: str) -> None:
    """Makes a folder, and refuses by a UserError one in which no file can be made.

    Args:
        folder: Is made with those above it.
        named: What a person knows it by.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{named} cannot be written ({error.strerror}): name a folder that can be") from error


def existing_part(folder: Path) -> Path:
    """The folder, absolute, or the first one above it that is there."""
    absolute = folder.absolute()
    return next(place for place in (absolute, *absolute.parents) if place.exists())


def remove_partial_files(folder: Path) -> None:
    """Removes what a process that was killed in the middle of ``whole_file`` has left in a folder."""
    for partial in folder.glob(".*.part"):
        partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder to write to, beside ``path``, that gets its name when the block ends well.

    After an error nothing is left of it, nor is anything if ``path`` is there by then.

    Args:
        path: Of the folder, which does not exist; folders above it are made.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
