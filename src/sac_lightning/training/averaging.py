"""Averaged weights in checkpoints, as Lightning's WeightAveraging (an exponential moving average) makes them."""

from typing import Any

from lightning import LightningModule
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, StochasticWeightAveraging, WeightAveraging

from sac_lightning.core.errors import UserError

CURRENT = "current_model_state"
"""Lightning's key of the weights that train, where ``state_dict`` holds their average."""
AVERAGING = "averaging_state"


def take_averaged_weights(module: LightningModule, checkpoint: dict[str, Any]) -> None:
    """Put the weights into a checkpoint that is about to be written: the averaged ones, where there are any.

    Lightning does so itself only for a checkpoint from which a training can go on: one of weights alone would hold
    those of the last step (Lightning 2.6.6), while the validation that chose it saw their average.

    Args:
        module: What trains.
        checkpoint: As Lightning hands it to ``on_save_checkpoint``; may lack ``state_dict``.
    """
    checkpoint.setdefault("state_dict", module.state_dict())
    trainer = module._trainer
    if trainer is None or "optimizer_states" in checkpoint:
        return
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, WeightAveraging):
            callback.on_save_checkpoint(trainer, module, checkpoint)
    for key in (CURRENT, AVERAGING):
        checkpoint.pop(key, None)


def refuse_lost_average(callbacks: list[Callback]) -> None:
    """Raise UserError if an average that is only there after the last epoch would be lost to the best epoch."""
    kinds = [type(callback) for callback in callbacks]
    if StochasticWeightAveraging in kinds and ModelCheckpoint in kinds:
        raise UserError(
            "StochasticWeightAveraging has its average after the last epoch, and the best epoch would take its "
            "place: choose lightning.pytorch.callbacks.EMAWeightAveraging, or add callbacks.best=null"
        )
