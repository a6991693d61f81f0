"""Early stopping that keeps to the least number of epochs."""

from collections.abc import Mapping
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch import callbacks
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason


class EarlyStopping(callbacks.EarlyStopping):
    """End a training that has not become better for ``patience`` validations, but not before its least length.

    Lightning's notes a stop that comes before ``trainer.min_epochs`` and carries it out at that epoch, even where
    every epoch since was better. This one decides anew after each validation. It has Lightning's name, under which
    checkpoints keep its state.
    """

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Decide after an epoch."""
        asked_before = trainer.should_stop
        super().on_train_epoch_end(trainer, pl_module)
        self._withdraw_early(trainer, asked_before)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Decide after a validation, where there are several in an epoch or none in some."""
        asked_before = trainer.should_stop
        super().on_validation_end(trainer, pl_module)
        self._withdraw_early(trainer, asked_before)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting, with the patience of this run: a stop by a smaller one does not hold."""
        patience = self.patience
        super().load_state_dict(state_dict)
        self.patience = patience
        if not has_stopped(state_dict, patience):
            self.stopped_epoch = 0

    def _withdraw_early(self, trainer: Trainer, asked_before: bool) -> None:
        """Withdraw this callback's own request to stop where the training has not reached its least length."""
        epochs, steps = trainer.current_epoch + 1, trainer.global_step
        if trainer.should_stop and not asked_before:
            too_few = epochs < (trainer.min_epochs or 0) or steps < (trainer.min_steps or 0)
            if too_few:
                trainer.should_stop = False
                self.stopped_epoch = 0


def has_stopped(state: Mapping[str, Any], patience: int) -> bool:
    """Return whether a state says that early stopping ended the training, and it would with this patience, too."""
    by_patience = state.get("stopping_reason") == EarlyStoppingReason.PATIENCE_EXHAUSTED.value
    return state["stopped_epoch"] > 0 and not (by_patience and state["wait_count"] < patience)
