"""Settings that only show to be wrong when they are used, used once before any data is read."""

import torch
from hydra.utils import instantiate
from lightning import Trainer
from omegaconf import DictConfig
from torch import nn

from sac_lightning.core.errors import UserError
from sac_lightning.training.schedulers import make_scheduler
from sac_lightning.training.task import SegmentationTask

STEPS = 100
OURS = ("lightning", "pytorch_lightning", "sac_lightning")


def rehearse_optimizer(cfg: DictConfig) -> None:
    """Make the optimiser and the schedule for one number, and step once.

    Raises:
        UserError: They refuse their settings.
    """
    if cfg.optimizer is None:
        return
    try:
        optimizer = instantiate(cfg.optimizer)([nn.Parameter(torch.zeros(1))])
    except (TypeError, ValueError) as error:
        raise UserError(f"optimizer cannot be made: {error}") from error
    if cfg.scheduler is None:
        return
    try:
        made = make_scheduler(instantiate(cfg.scheduler), optimizer, STEPS, [1.0])
        optimizer.step()
        made["scheduler"].step(*([0.0] if "monitor" in made else []))
    except UserError:
        raise
    except (TypeError, ValueError, ArithmeticError) as error:
        raise UserError(f"scheduler cannot be made: {error}") from error


def check_monitors(trainer: Trainer, task: SegmentationTask) -> None:
    """Raise UserError if a callback watches a figure that the training does not have.

    Where one's own callbacks are among them, which may log figures of their own, nothing is checked.
    """
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    if any(type(callback).__module__.partition(".")[0] not in OURS for callback in callbacks):
        return
    known = task.training_figures() + ([] if trainer.limit_val_batches == 0 else task.validation_figures())
    for callback in callbacks:
        monitor = getattr(callback, "monitor", None)
        if monitor is not None and monitor not in known:
            raise UserError(
                f"{type(callback).__name__} watches {monitor}, which this training does not have: choose one of "
                f"{', '.join(known)}, or switch the callback off, such as callbacks.early_stopping=null"
            )
