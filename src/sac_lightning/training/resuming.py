"""Going on with a training from its checkpoint: exactly where it stopped, or with changes that are stated.

Lightning restores weights, optimiser, schedule, callbacks and counters. Where the configuration is the same, that
is all, and the run ends as an undisturbed one does. Where it is not (see training.changes), what it says takes
effect: the optimiser keeps what it knows of each weight, but has the settings of this run, and the schedule is
made anew for the length that the training has now, and advanced to the epochs that are done. So it stands where it
would stand, had the training begun with it.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from sac_lightning.model.checkpoint_file import KEY
from sac_lightning.training.best_checkpoint import adopt_best

CARRIED = ("init", "resumed", "imagenet_weights")
"""Settings that say how a training began, and hold for all that go on with it."""


@dataclass
class Start:
    """A checkpoint that a training goes on from.

    Attributes:
        path: Its path.
        content: See checkpoint.read_checkpoint.
        rate_changes: Whether this run's optimiser or schedule has other settings than the checkpoint's.
        resumed: What the record says of it; None for a run's own checkpoint after an interruption.
    """

    path: Path
    content: dict[str, Any]
    rate_changes: bool = False
    resumed: dict[str, Any] | None = None

    @property
    def epochs(self) -> int:
        """The epochs that are done."""
        return int(self.content["epoch"]) + 1

    @property
    def history(self) -> list[dict[str, float]]:
        """The rows of these epochs, see training.history."""
        rows: list[dict[str, float]] = self.content["callbacks"].get("History", {}).get("rows", [])
        return rows

    def provenance(self) -> dict[str, Any]:
        """Return the settings that say how this training began."""
        theirs = self.content[KEY]["settings"]
        carried = {key: theirs[key] for key in CARRIED if key in theirs}
        if self.resumed is not None:
            carried["resumed"] = [*theirs.get("resumed", []), self.resumed]
        return carried


class Resuming(Callback):
    """Keep a run's configuration in its checkpoints, and carry out what another that goes on from one changes."""

    def __init__(self, config: Mapping[str, Any], start: Start | None) -> None:
        """Note the run's configuration, resolved, and what it goes on from."""
        self.config = config
        self.start = start

    def record(self) -> dict[str, list[dict[str, Any]]]:
        """Return what a record says of another run's checkpoint that this one goes on from; {} without one."""
        resumed = None if self.start is None else self.start.resumed
        return {} if resumed is None else {"resumed": [resumed]}

    def state_dict(self) -> dict[str, Any]:
        """Return the configuration, for a checkpoint."""
        return {"config": dict(self.config)}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Adapt what Lightning is about to restore."""
        if self.start is not None:
            adopt_best(trainer, checkpoint["callbacks"], self.start.path, self.start.epochs - 1)
            if self.start.rate_changes:
                checkpoint["lr_schedulers"] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give optimiser and schedule the settings of this run, if they are others."""
        if self.start is None:
            return
        if self.start.rate_changes:
            apply_rates(trainer, pl_module, self.start)
            return
        for config in trainer.lr_scheduler_configs:
            if isinstance(config.scheduler, ReduceLROnPlateau):
                # Lightning saves a checkpoint before it tells this one of the epoch.
                replay(config.scheduler, config.monitor, self.start.history[-1:])


def apply_rates(trainer: Trainer, task: LightningModule, start: Start) -> None:
    """Give a restored optimiser and its schedule the settings of this run.

    Args:
        trainer: With its optimiser restored.
        task: What it trains.
        start: With the epochs that are done, to which the schedule is advanced.
    """
    fresh: Any = task.configure_optimizers()
    made = fresh["optimizer"] if isinstance(fresh, dict) else fresh
    for config in trainer.lr_scheduler_configs:
        scheduler = fresh["lr_scheduler"]["scheduler"]
        if isinstance(scheduler, ReduceLROnPlateau):
            replay(scheduler, config.monitor, start.history)
        else:
            advance(scheduler, start.epochs * (steps_per_epoch(trainer) if config.interval == "step" else 1))
        config.scheduler.load_state_dict(scheduler.state_dict())
    for restored, wanted in zip(trainer.optimizers[0].param_groups, made.param_groups, strict=True):
        parameters = restored["params"]
        restored.clear()
        restored.update({**wanted, "params": parameters})


def steps_per_epoch(trainer: Trainer) -> int:
    """Return how many steps of the optimiser an epoch of this run has."""
    return -(-int(trainer.num_training_batches) // trainer.accumulate_grad_batches)


def advance(scheduler: LRScheduler, steps: int) -> None:
    """Advance a schedule that begins by some steps."""
    with warnings.catch_warnings():
        # torch wants the optimiser to step first, which it did, in the run that is gone on from.
        warnings.filterwarnings("ignore", r"Detected call of `lr_scheduler.step\(\)` before `optimizer.step\(\)`")
        for _ in range(min(steps, getattr(scheduler, "total_steps", steps))):
            scheduler.step()


def replay(scheduler: ReduceLROnPlateau, monitor: str | None, history: list[dict[str, float]]) -> None:
    """Tell a schedule that waits for a plateau of the epochs that are done."""
    for row in history:
        if monitor in row:
            scheduler.step(row[monitor])
