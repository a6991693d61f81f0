"""What a training goes on from: its own checkpoint after an interruption, or another run's, if that can be."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import Callback

from sac_lightning.core.errors import UserError
from sac_lightning.core.processes import is_first_process
from sac_lightning.model.checkpoint import KEY, read_checkpoint
from sac_lightning.model.weights import sha256_of
from sac_lightning.training.changes import OF_THE_RATE, find_changes
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
        config: Of this run, resolved.
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
    theirs = _stored_config(content["callbacks"], resume)
    if theirs is None:
        settings = content[KEY]["settings"]
        changes = find_changes(*({key: all_of[key] for key in SETTINGS} for all_of in (settings, config)), resume)
    else:
        changes = find_changes(theirs, config, resume)
    _refuse_finished(content, config["trainer"], callbacks, resume)
    start = Start(
        path=resume,
        content=content,
        # A checkpoint of a former version does not say what it was trained with.
        rate_changes=theirs is None or any(change.concerns(OF_THE_RATE) for change in changes),
        resumed={
            "from": str(resume),
            "sha256": sha256_of(resume),
            "epochs": int(content["epoch"]) + 1,
            "changes": {change.key: [change.before, change.after] for change in changes},
        },
    )
    if is_first_process():
        changed = f" with {', '.join(map(str, changes))}" if changes else ""
        print(f"Goes on from {resume} after epoch {start.epochs}{changed}.")
    return start


def refuse_incomplete(content: Mapping[str, Any], path: Path) -> None:
    """Raise UserError if a checkpoint is not the state of a whole training after an epoch.

    Args:
        content: See checkpoint.read_checkpoint.
        path: Path of the checkpoint.
    """
    if any(not isinstance(content.get(key), kind) for key, kind in STATE.items()):
        raise UserError(
            f"{path} holds weights alone, and no state of an optimiser to go on with: give a last.ckpt, or give "
            "this file as init= instead of resume=, to start a new training from its weights"
        )
    callbacks = content["callbacks"]
    bests = [Path(state["best_model_path"]) for state in callbacks.values() if state.get("best_model_path")]
    if path.name in [best.name for best in bests]:
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
