"""What a training or a test shows: a bar that moves and a line per epoch, and nothing that Lightning adds."""

import logging
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lightning import Callback, LightningModule, Trainer
from omegaconf import DictConfig
from torch import Tensor
from tqdm import tqdm

# These log the devices, the end of the fit and an advertisement, each at the level INFO.
LOGGERS = ("lightning.pytorch", "lightning.fabric")
# Warnings that a user can do nothing about.
POINTLESS = (
    # Lightning 2.6.6 calls torch 2.14's tree utilities in a way that they deprecate.
    r".*isinstance\(treespec, LeafSpec\)",
    # Our loaders are short of workers on purpose.
    ".*does not have many workers",
    # A run goes on in the folder that it began in.
    "Checkpoint directory .* exists and is not empty",
    # A run that goes on without a callback says so among its changes.
    "Be aware that when using `ckpt_path`",
)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silence Lightning's own messages but its warnings and errors; a function can be decorated with it."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in POINTLESS:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def progress(trainer_cfg: DictConfig) -> list[Callback]:
    """Return the callback that shows the progress; none with ``enable_progress_bar=false``."""
    return [Progress()] if trainer_cfg.get("enable_progress_bar", True) else []


class Progress(Callback):
    """Prints a line per epoch, and moves a bar of one line where standard error is a terminal."""

    def __init__(self) -> None:
        """Start without a bar."""
        self._bar: tqdm[Any] | None = None
        self._started = 0.0

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Begin an epoch; Lightning leaves ``on_train_epoch_start`` out where a run goes on."""
        if batch_idx == 0:
            self._started = time.perf_counter()
            self._open(trainer, _name_epoch(trainer), trainer.num_training_batches)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the bar and show the loss of the batch."""
        if self._bar is not None and not self._bar.disable:
            self._bar.set_postfix_str(f"loss {float(outputs['loss']):.4f}", refresh=False)
        self._advance()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print what the epoch came to."""
        self._close()
        if trainer.is_global_zero:
            seconds = time.perf_counter() - self._started
            figures = [f"loss {_total_loss(trainer.callback_metrics):.4f}", *_validation_figures(trainer)]
            print("  ".join([_name_epoch(trainer), *figures, f"{seconds:.1f} s"]), flush=True)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Replace the bar of the training batches by that of the validation."""
        self._open(trainer, "validating", sum(trainer.num_val_batches))

    def on_validation_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Move the bar."""
        self._advance()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove the bar."""
        self._close()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show a bar for the test."""
        self._open(trainer, "testing", sum(trainer.num_test_batches))

    def on_test_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Move the bar."""
        self._advance()

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove the bar."""
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Remove the bar, so that the error begins on a line of its own."""
        self._close()

    def _open(self, trainer: Trainer, name: str, total: float) -> None:
        self._close()
        # None: without a terminal there is no bar.
        disable = None if trainer.is_global_zero else True
        self._bar = tqdm(total=total, desc=name, leave=False, disable=disable, dynamic_ncols=True)

    def _advance(self) -> None:
        if self._bar is not None:
            self._bar.update()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _name_epoch(trainer: Trainer) -> str:
    """Return such as ``epoch 3/100``, as a person counts."""
    last = f"/{trainer.max_epochs}" if trainer.max_epochs is not None and trainer.max_epochs > 0 else ""
    return f"epoch {trainer.current_epoch + 1}{last}"


def _total_loss(metrics: Mapping[str, Tensor]) -> float:
    """Return the mean loss of an epoch: the sum of its parts where a task logs only these."""
    if "train/loss" in metrics:
        return float(metrics["train/loss"])
    return sum(float(value) for name, value in metrics.items() if name.startswith("train/"))


def _validation_figures(trainer: Trainer) -> list[str]:
    """Return what the task shows of its validation, such as ``val Dice 0.8123``."""
    shown = {
        name.replace("/", " ").replace("_", " ").replace("dice", "Dice").replace("iou", "IoU"): value
        for name, value in trainer.progress_bar_metrics.items()
        if name.startswith("val")
    }
    return [f"{name} {float(value):.4f}" for name, value in shown.items()]
