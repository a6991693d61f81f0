"""The record of a run whose folder another run is given, where it would stand beside the wrong files."""

from itertools import count
from pathlib import Path

from sac_lightning.core.errors import UserError
from sac_lightning.core.processes import is_first_process
from sac_lightning.runs.record import RECORD_FILE, find_record


def move_former_record(folder: Path) -> None:
    """Rename the record in a folder to the first free of ``results.1.json``, ``results.2.json``, and so on.

    Of a distributed run, the first process does. Without a record nothing happens.

    Args:
        folder: In which a run is about to write its own record.
    """
    record = folder / RECORD_FILE
    if not is_first_process() or not record.exists():
        return
    names = (record.with_suffix(f".{number}{record.suffix}") for number in count(1))
    kept = next(path for path in names if not path.exists())
    record.rename(kept)
    print(f"{folder} held a record of another run, which is kept as {kept.name}.")


def refuse_folder_of_training(folder: Path) -> None:
    """Raise UserError if a folder holds the record of a training, in whose place an evaluation's would come."""
    record = find_record(folder)
    if record is not None and "history" in record:
        raise UserError(f"{folder} holds the record of a training: choose another hydra.run.dir, or leave it out")
