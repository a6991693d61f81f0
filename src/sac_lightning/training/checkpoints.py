"""Lightning's checkpoints, written whole or not at all, and the last one after every epoch."""

from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from sac_lightning.core.errors import UserError
from sac_lightning.core.files import whole_file


class WholeCheckpoints(TorchCheckpointIO):
    """Writes beside the old checkpoint, waits for the disk, renames: a killed process never leaves half of one."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Writes a checkpoint.

        Args:
            checkpoint: Lightning's.
            path: Of the file; folders above it are made.
            storage_options: Of a remote file system, which is not supported.

        Raises:
            UserError: It cannot be written; the one before it is as it was.
        """
        target = Path(path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(target) as partial:
                torch.save(checkpoint, partial)
        # torch reports a full disk by a RuntimeError without its reason.
        except (OSError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or "the disk may be full"
            raise UserError(
                f"{target} cannot be written ({reason}): make room and start the same command again, "
                "it goes on with the last epoch that was saved"
            ) from error


class LastCheckpoint(Checkpoint):
    """Writes what a run goes on from after every epoch.

    ModelCheckpoint's ``save_last`` writes it together with a new best one alone: with a patience of ten epochs, a
    run that is killed would lose as many.
    """

    def __init__(self, path: Path) -> None:
        """Args: path: of the file."""
        self.path = path

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Trains no further where the run had stopped early, which Lightning keeps in mind without stopping."""
        if any(callback.stopped_epoch > 0 for callback in trainer.early_stopping_callbacks):
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves, after the best checkpoint's callback, whose state belongs to it."""
        trainer.save_checkpoint(self.path, weights_only=False)  # what a run goes on from is more than weights
