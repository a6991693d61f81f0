"""Files and folders that are written whole or not at all."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from sac_lightning.core.errors import UserError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a path to write to, which replaces ``path`` if the block succeeds.

    After an error ``path`` is unchanged and nothing is left beside it. After a crash of the machine it is the old
    file or the new one, as the new one is on the disk before it gets the name. If several processes write it at
    once, on whichever machine, the last one wins.

    Args:
        path: The file; its folder exists.
    """
    partial = _partial_path(path)
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


def _partial_path(path: Path) -> Path:
    """Return a name beside a path for what is written meanwhile; long names are cut, as 255 bytes are the most."""
    return path.with_name(f".{path.name[:50]}.{uuid.uuid4().hex[:8]}.part")


def _flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def refuse_unwritable(folder: Path, named: str) -> None:
    """Make a folder; raise UserError if no file can be made in it.

    Args:
        folder: Made together with the missing folders above it.
        named: How the error calls it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{named} cannot be written ({error.strerror}): name a folder that can be") from error


def claim_folder(folder: Path) -> Path:
    """Make a folder that nobody else has, and return it: with a number behind its name if the name is taken.

    Args:
        folder: Missing folders above it are made, too.
    """
    for number in count(1):
        claimed = folder if number == 1 else folder.with_name(f"{folder.name}_{number}")
        try:
            claimed.mkdir(parents=True)
            return claimed
        except FileExistsError:
            continue
    raise AssertionError("numbers do not end")


def existing_part(folder: Path) -> Path:
    """Return the folder as an absolute path, or the nearest one above it that exists."""
    absolute = folder.absolute()
    return next(place for place in (absolute, *absolute.parents) if place.exists())


def cache_folder() -> Path | None:
    """Return the folder for what can be computed again.

    It is ``$SAC_CACHE``, else ``sac_lightning`` in the user's folder of caches. None if SAC_CACHE is empty, or the
    user has no home: nothing is kept then.
    """
    default = os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "sac_lightning")
    named = os.path.expanduser(os.environ.get("SAC_CACHE", default))
    return None if not named or named.startswith("~") else Path(named).absolute()


def remove_partial_files(folder: Path) -> None:
    """Remove the files that a process killed within ``whole_file`` left in a folder."""
    for partial in folder.glob(".*.part"):
        partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path, replace: bool = False) -> Iterator[Path]:
    """Yield a new folder to write to, which is renamed to ``path`` if the block succeeds.

    Nothing is left of it after an error, or if ``path`` exists by then and is not to be replaced.

    Args:
        path: The folder; missing folders above it are made.
        replace: Whether it may exist, and is removed once the new one is whole.
    """
    partial, former = _partial_path(path), _partial_path(path)
    partial.mkdir(parents=True)
    try:
        yield partial
        if replace and path.exists():
            path.rename(former)
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(former, ignore_errors=True)
