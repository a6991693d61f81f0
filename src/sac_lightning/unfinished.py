"""Runs that were interrupted: the same command, started again, goes on with them.

Every run notes in its folder which configuration and which version of the code it is of, and holds a lock there as
long as it lives. A run without a record whose lock is free, and that has a checkpoint, was interrupted.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sac_lightning.code_version import code_version
from sac_lightning.errors import UserError
from sac_lightning.run_identity import config_hash
from sac_lightning.whole_file import remove_partial_files, whole_file

# What torchrun, Lightning and Slurm tell each process of a distributed run; the first that is there counts.
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")
IDENTITY, LOCK, RECORD = "run.json", "run.lock", "results.json"
LAST = Path("checkpoints") / "last.ckpt"


def is_first_process() -> bool:
    """Whether this process is alone, or the first of a distributed run."""
    told = [os.environ[name] for name in RANKS if name in os.environ]
    return not told or told[0] == "0"


def identity_of(config: Mapping[str, Any]) -> dict[str, str]:
    """What two runs share that give the same numbers: their configuration's hash and the code's."""
    return {"config_hash": config_hash(config), "code_version": code_version()}


def unfinished_run(folder: Path, config: Mapping[str, Any]) -> Path | None:
    """The newest run below a folder that was interrupted and is of this configuration and this code.

    Args:
        folder: Whose folders are runs.
        config: Of ``plain``.
    """
    notes = sorted(folder.glob(f"*/{IDENTITY}"), key=lambda note: note.stat().st_mtime, reverse=True)
    if not notes:
        return None
    identity = identity_of(config)
    return next((note.parent for note in notes if is_unfinished(note.parent, identity)), None)


def is_unfinished(run: Path, identity: Mapping[str, str]) -> bool:
    """Whether a run of this identity was interrupted after its first epoch, and nobody is at it."""
    if _last(run, identity) is None:
        return False
    with held(run / LOCK) as lock:
        return lock is not None


@contextmanager
def begun(run: Path, config: Mapping[str, Any]) -> Iterator[Path | None]:
    """Holds a run's folder for as long as it goes on. Of a distributed run, the first process does.

    Args:
        run: Its folder; made if it is not there.
        config: Of ``plain``.

    Returns:
        The checkpoint to go on from, where this very run was interrupted in this folder.

    Raises:
        UserError: Another process is at it.
    """
    identity = identity_of(config)
    if not is_first_process():
        yield _last(run, identity)
        return
    run.mkdir(parents=True, exist_ok=True)
    with held(run / LOCK) as lock:
        if lock is None:
            raise UserError(f"another process is at {run}: wait for it, or choose another output_dir")
        for folder in (run, run / LAST.parent, run / "test"):
            remove_partial_files(folder)
        last = _last(run, identity)
        with whole_file(run / IDENTITY) as partial:
            partial.write_text(json.dumps(identity), encoding="utf-8")
        yield last


def _last(run: Path, identity: Mapping[str, str]) -> Path | None:
    """The checkpoint to go on from, of a run of this identity that has no record yet."""
    if (run / RECORD).exists() or not (run / LAST).exists() or _read(run / IDENTITY) != identity:
        return None
    return run / LAST


@contextmanager
def held(path: Path) -> Iterator[int | None]:
    """Holds a lock file and gives its descriptor, or None at once where someone else holds it.

    A lock of the operating system goes with its last holder: nothing is left behind by a process that was killed.
    """
    with path.open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield file.fileno()


def _read(path: Path) -> Any:
    """The content of a JSON file; None where there is none, or half of one."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
