"""The history of a training: losses, validation figures and seconds of each epoch."""

import time
from typing import Any

from lightning import Callback, LightningModule, Trainer


class History(Callback):
    """Keep one row per epoch, also across an interruption, as the rows are part of the checkpoint.

    ``train_seconds`` is the time of the training batches alone, without the validation between the epochs.
    """

    def __init__(self) -> None:
        """Start without epochs."""
        self.rows: list[dict[str, float]] = []
        self._started = 0.0
        self._train_seconds = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._started = time.perf_counter()
        self._train_seconds = 0.0

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock of the training batches."""
        self._train_seconds = time.perf_counter() - self._started

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the row of this epoch."""
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if "/" in name}
        seconds = self._train_seconds or time.perf_counter() - self._started
        self.rows.append({"epoch": trainer.current_epoch, "train_seconds": seconds, **metrics})

    def state_dict(self) -> dict[str, Any]:
        """Return the rows, for a checkpoint."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the rows from a checkpoint."""
        self.rows = list(state_dict["rows"])

    @property
    def seconds_per_epoch(self) -> float | None:
        """Mean seconds of the training batches of an epoch; None if nothing was trained."""
        return sum(row["train_seconds"] for row in self.rows) / len(self.rows) if self.rows else None
