"""The best checkpoint so far of a run that another goes on with: it is still the one to beat."""

import shutil
from pathlib import Path
from typing import Any

from lightning import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from sac_lightning.core.files import whole_file
from sac_lightning.model.checkpoint import read_checkpoint

PATHS = ("best_model_path", "kth_best_model_path", "last_model_path")


def adopt_best(trainer: Trainer, states: dict[str, Any], path: Path, epoch: int) -> None:
    """Copy the best checkpoints of a run into this run's folder, and make the callbacks' states say so.

    Lightning would forget their scores where the folder is another, and take the next epoch for the best, however
    bad.

    Args:
        trainer: Of this run.
        states: Of the callbacks by their keys, as the checkpoint to go on from holds them; changed in place.
        path: Path of that checkpoint; where its folder was moved, the best ones lie beside it.
        epoch: Its epoch, from 0. A best checkpoint of a later one is none of what is gone on with.
    """
    for callback in trainer.checkpoint_callbacks:
        state = states.get(callback.state_key)
        if not isinstance(callback, ModelCheckpoint) or not state or state["dirpath"] == callback.dirpath:
            continue
        if state["monitor"] is None:
            del states[callback.state_key]  # It keeps the newest, and has nothing to beat.
            continue
        found = {old: _find(Path(old), path, epoch) for old in state["best_k_models"]}
        copies = {old: Path(str(callback.dirpath), file.name) for old, file in found.items() if file is not None}
        if copies.keys() != found.keys() or state["best_model_path"] not in copies:
            del states[callback.state_key]
            if trainer.is_global_zero:
                print(f"The best epoch so far is not beside {path}: the best of those to come will be tested.")
            continue
        for old, copy in copies.items():
            if trainer.is_global_zero:
                _copy(found[old], copy)
        state["dirpath"] = callback.dirpath
        state["best_k_models"] = {str(copies[old]): score for old, score in state["best_k_models"].items()}
        for name in PATHS:
            state[name] = str(copies.get(state[name], ""))


def _find(best: Path, path: Path, epoch: int) -> Path | None:
    """Return where a best checkpoint of no later epoch lies: where it was written, or beside the last."""
    for file in (best, path.with_name(best.name)):
        if file.is_file() and read_checkpoint(file)["epoch"] <= epoch:
            return file
    return None


def _copy(file: Path | None, copy: Path) -> None:
    assert file is not None
    copy.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(copy) as partial:
        shutil.copyfile(file, partial)
