"""Lightning's checkpoints, written whole or not at all, and a last one after every epoch."""

from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from sac_lightning.core.errors import UserError
from sac_lightning.core.files import whole_file


class WholeCheckpoints(TorchCheckpointIO):
    """Write a checkpoint beside the old one, flush it and rename it: a killed process never leaves half of one."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Args:
            checkpoint: What Lightning saves.
            path: The file; missing folders are made.
            storage_options: For remote file systems, which are not supported.

        Raises:
            UserError: The file cannot be written; the checkpoint before it is unchanged.
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
    """Write the checkpoint from which a run can go on, after every epoch.

    ModelCheckpoint's ``save_last`` writes it only together with a new best one: a run that is killed could lose as
    many epochs as early stopping waits for.
    """

    def __init__(self, path: Path) -> None:
        """Write to ``path``."""
        self.path = path

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop if the run had already stopped early; Lightning restores that state but goes on training."""
        if any(callback.stopped_epoch > 0 for callback in trainer.early_stopping_callbacks):
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, after the callback of the best checkpoint, whose state is saved, too."""
        trainer.save_checkpoint(self.path, weights_only=False)  # what a run goes on from is more than weights
