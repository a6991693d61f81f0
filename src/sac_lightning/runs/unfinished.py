"""Runs that were interrupted: the same command, started again, goes on with them.

Every run notes its identity in its folder (see runs.identity), and holds a lock there as long as it lives. A run
without a record whose lock is free, and that has a checkpoint, was interrupted.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sac_lightning.core.errors import UserError
from sac_lightning.core.files import refuse_unwritable, remove_partial_files, whole_file
from sac_lightning.core.processes import is_first_process
from sac_lightning.runs.former_record import move_former_record
from sac_lightning.runs.identity import Identity, identity_of, is_same_run
from sac_lightning.runs.record import RECORD_FILE

IDENTITY, LOCK = "run.json", "run.lock"
LAST = Path("checkpoints") / "last.ckpt"
FOREIGN = "foreign_checkpoint"
"""In the note: when the last.ckpt was written that lay there before the run began."""

_held: set[int] = set()


def unfinished_run(folder: Path, config: Mapping[str, Any]) -> Path | None:
    """The newest run below a folder that was interrupted and is the one that this configuration would begin.

    Args:
        folder: Whose folders are runs.
        config: Of ``resolve_config``.
    """
    notes = [note for note in folder.glob(f"*/{IDENTITY}") if not (note.parent / RECORD_FILE).exists()]
    if not notes:
        return None
    identity = identity_of(config)
    newest_first = sorted(notes, key=lambda note: note.stat().st_mtime, reverse=True)
    return next((note.parent for note in newest_first if is_unfinished(note.parent, identity)), None)


def is_unfinished(run: Path, identity: Identity) -> bool:
    """Whether a run of this identity was interrupted after its first epoch, and nobody is at it."""
    if _find_checkpoint(run, identity) is None:
        return False
    try:
        with try_lock(run / LOCK) as lock:
            return lock is not None
    except OSError:  # Somebody else's, which we may only read.
        return False


@contextmanager
def claim_run_folder(run: Path, identity: Identity) -> Iterator[Path | None]:
    """Claim a run's folder for as long as it goes on. Of a distributed run, the first process does.

    Args:
        run: Its folder; made if it is not there.
        identity: Of the run that begins.

    Returns:
        The checkpoint to go on from, where this very run was interrupted in this folder.

    Raises:
        UserError: Another process is at it, or it cannot be written to.
    """
    if not is_first_process():
        yield _find_checkpoint(run, identity)
        return
    refuse_unwritable(run, str(run))
    with try_lock(run / LOCK) as lock:
        if lock is None:
            raise UserError(f"another process is at {run}: wait for it, or choose another output_dir")
        for folder in (run, run / LAST.parent, run / "test"):
            remove_partial_files(folder)
        last = _find_checkpoint(run, identity)
        # A checkpoint of whoever had this folder before must not be taken for this run's later on.
        foreign = None if last is not None else _read_mtime(run / LAST)
        with whole_file(run / IDENTITY) as partial:
            partial.write_text(json.dumps({**identity, FOREIGN: foreign}), encoding="utf-8")
        move_former_record(run)
        yield last


def _find_checkpoint(run: Path, identity: Identity) -> Path | None:
    """Find the checkpoint to go on from, of a run of this identity that has no record yet."""
    note, written = _read(run / IDENTITY), _read_mtime(run / LAST)
    if (run / RECORD_FILE).exists() or written is None or not isinstance(note, dict):
        return None
    if note.pop(FOREIGN, None) == written or not is_same_run(identity, note):
        return None
    return run / LAST


def _read_mtime(path: Path) -> int | None:
    """Return when a file was written, in nanoseconds; None if there is none."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


@contextmanager
def try_lock(path: Path) -> Iterator[int | None]:
    """Lock a file and give its descriptor, or None at once if someone else holds it.

    A lock of the operating system goes with its last holder: nothing is left behind by a process that was killed.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        _held.add(descriptor)
        yield descriptor
    finally:
        _held.discard(descriptor)
        os.close(descriptor)


def _release_locks() -> None:
    """Release a forked process's locks: one that loads data lives seconds longer than a run that was killed."""
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_release_locks)


def _read(path: Path) -> Any:
    """The content of a JSON file; None where there is none, or half of one."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
