"""A run in the place of a recorded one (``redo=true``): the old record stays until the new one is whole."""

import shutil
from pathlib import Path

REDONE = ".redo"
FORMER = ".former"


def replace_run(new: Path, old: Path) -> None:
    """Put a run's folder in the place of another."""
    former = old.with_name(f"{old.name}{FORMER}")
    old.rename(former)
    new.rename(old)
    shutil.rmtree(former)


def finish_replacing(folder: Path) -> None:
    """Finish what a process that was killed within ``replace_run`` has left: one of the two runs is whole."""
    former = folder.with_name(f"{folder.name}{FORMER}")
    if former.exists() and folder.exists():
        shutil.rmtree(former)
    elif former.exists():
        former.rename(folder)
