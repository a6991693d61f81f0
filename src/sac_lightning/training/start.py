"""What a training goes on from: its own checkpoint after an interruption, or another run's, if that can be."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import Callback

from sac_lightning.core.errors import UserError
from sac_lightning.core.processes import is_first_process
from sac_lightning.model.checkpoint import read_checkpoint
from sac_lightning.model.checkpoint_file import KEY, read_without_running
from sac_lightning.model.registered import sha256_of
from sac_lightning.training.changes import OF_THE_RATE, Change, find_changes
from sac_lightning.training.early_stopping import EarlyStopping, has_stopped
from sac_lightning.training.resuming import Resuming, Start

STATE: dict[str, type] = {
    "epoch": int,
    "global_step": int,
    "state_dict": dict,
    "loops": dict,
    "callbacks": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
}
"""What a checkpoint holds from which a training goes on, more than the one of weights alone."""
SETTINGS = ("model", "view", "data", "seed")
"""What a checkpoint of a former version holds of the configuration."""


def find_start(
    resume: Path | None, interrupted: Path | None, config: Mapping[str, Any], callbacks: list[Callback]
) -> Start | None:
    """Return what a training goes on from, and print it; None if it begins.

    Args:
        resume: The checkpoint of another run.
        interrupted: This run's own, after an interruption; it comes first, as it is further on.
        config: Of this run, see changes.with_contents.
        callbacks: Of this run.

    Raises:
        UserError: It is no checkpoint to go on from, it is of another training, or there is nothing left to do.
    """
    if interrupted is not None:
        return Start(interrupted, read_checkpoint(interrupted))
    if resume is None:
        return None
    content = read_checkpoint(resume)
    refuse_incomplete(content, resume)
    changes = _find_changes(content, config, resume)
    _refuse_finished(content, config["trainer"], callbacks, resume)
    return start_with(changes, content, resume)


def find_pretraining_start(resume: Path, config: Mapping[str, Any]) -> Start:
    """Return what a pre-training goes on from, and print it; see find_start.

    It may have all of its epochs behind it: what was lost then is the evaluation at the end.
    """
    content = read_without_running(resume)
    refuse_incomplete(content, resume)
    return start_with(_find_changes(content, config, resume), content, resume)


def start_with(changes: list[Change] | None, content: dict[str, Any], path: Path) -> Start:
    """Return the start with some changes from another run's checkpoint, and print it.

    Args:
        changes: None: the checkpoint, of a former version, does not say what it was trained with.
        content: Of the checkpoint.
        path: Path of the checkpoint.
    """
    named = changes or []
    start = Start(
        path=path,
        content=content,
        rate_changes=changes is None or any(change.concerns(OF_THE_RATE) for change in changes),
        resumed={
            "from": str(path),
            "sha256": sha256_of(path),
            "epochs": int(content["epoch"]) + 1,
            "changes": {change.key: [change.before, change.after] for change in named},
        },
    )
    if is_first_process():
        changed = f" with {', '.join(map(str, named))}" if named else ""
        print(f"Goes on from {path} after epoch {start.epochs}{changed}.")
    return start


def _find_changes(content: Mapping[str, Any], config: Mapping[str, Any], path: Path) -> list[Change] | None:
    """Return what is changed; None where the checkpoint, of a former version, does not hold a configuration."""
    theirs = _stored_config(content["callbacks"], path)
    if theirs is not None:
        return find_changes(theirs, config, path)
    if KEY in content:
        settings = content[KEY]["settings"]
        find_changes({key: settings[key] for key in SETTINGS}, {key: config[key] for key in SETTINGS}, path)
    return None


def refuse_incomplete(content: Any, path: Path) -> None:
    """Raise UserError if a checkpoint is not the state of a whole training after an epoch.

    Args:
        content: What the file holds.
        path: Path of the checkpoint.
    """
    if not isinstance(content, dict) or any(not isinstance(content.get(key), kind) for key, kind in STATE.items()):
        raise UserError(
            f"{path} holds weights alone, and no state of an optimiser to go on with: give a last.ckpt, or give "
            "this file as init= instead of resume=, to start a new training from its weights"
        )
    callbacks = content["callbacks"]
    bests = [Path(state["best_model_path"]).name for state in callbacks.values() if state.get("monitor")]
    if path.name in bests:
        raise UserError(
            f"{path} is the best epoch of its run, and not where it stopped: give {path.with_name('last.ckpt')}, "
            "or give this file as init= instead of resume=, to start a new training from its weights"
        )
    epochs = content["loops"]["fit_loop"]["epoch_progress"]["current"]
    if epochs["processed"] < epochs["ready"]:
        raise UserError(
            f"{path} was written within epoch {epochs['ready']}, where no training can go on exactly: give one "
            "that was written after an epoch, as last.ckpt is"
        )


def _stored_config(states: Mapping[str, Any], path: Path) -> Mapping[str, Any] | None:
    """Return the configuration in a checkpoint, by its callbacks' states; None in one of a former version."""
    config = states.get(Resuming.__qualname__, {"config": None})["config"]
    if config is not None and not isinstance(config, Mapping):
        raise UserError(f"{path} holds no configuration where it should: it is damaged, give another")
    return config


def _refuse_finished(
    content: Mapping[str, Any], limits: Mapping[str, Any], callbacks: list[Callback], path: Path
) -> None:
    """Raise UserError if a training has already come to its end, by this run's limits and callbacks."""
    for limit, done in (("max_epochs", content["epoch"] + 1), ("max_steps", content["global_step"])):
        wanted = limits.get(limit)
        if wanted is not None and 0 <= wanted <= done:
            raise UserError(
                f"{path} has {done} {limit.removeprefix('max_')} behind it and trainer.{limit} is {wanted}, so "
                f"there is nothing to do: raise trainer.{limit}, or test best.ckpt by sac_lightning.evaluate"
            )
    for callback in callbacks:
        state = content["callbacks"].get(callback.state_key)
        if isinstance(callback, EarlyStopping) and state and has_stopped(state, callback.patience):
            raise UserError(
                f"{path} is of a run that early stopping ended after {state['wait_count']} validations without a "
                "better one: raise callbacks.early_stopping.patience to go on"
            )
