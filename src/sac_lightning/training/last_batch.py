"""A last batch of one window, on which a network with batch normalisation may not be able to train."""

import torch
from lightning import Trainer
from torch import nn

from sac_lightning.core.errors import UserError
from sac_lightning.data.base import NucleiDataModule
from sac_lightning.data.sample import TrainingBatch
from sac_lightning.training.task import SegmentationTask

WHOLE_IMAGE_SIDE = 256
"""In pixels, to try a model on that takes images as they are."""


def leave_out_single_window(trainer: Trainer, task: SegmentationTask, data: NucleiDataModule) -> None:
    """Leave out the last window of every epoch where it is alone in its batch and the network cannot train on it.

    Raises:
        UserError: Every batch has one window, and the network cannot train on it.
    """
    windows = -(-len(data.samples.train) * data.crops_per_image // trainer.world_size)
    if windows % data.batch_size != (1 if data.batch_size > 1 else 0) or can_train_on_one(task):
        return
    name = task.settings["model"]["name"]
    if data.batch_size == 1 or windows == 1:
        raise UserError(
            f"{name} normalises over a batch and cannot train on one window: choose a data.batch_size of at least "
            "2, and data.crops_per_image so that an epoch has as many windows"
        )
    data.leave_out_single = True
    if trainer.is_global_zero:
        print(f"The last batch of an epoch would be one window, on which {name} cannot train: it is left out.")


def can_train_on_one(task: SegmentationTask) -> bool:
    """Return whether a forward pass on one window goes through; the model is as it was afterwards."""
    model, side = task.model, task.view.image_size or WHOLE_IMAGE_SIDE
    if not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules()):
        return True
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    batch: TrainingBatch = {
        "images": torch.zeros(1, 3, side, side),
        "masks": torch.zeros(1, 1, side, side),
        "instances": torch.zeros(1, 1, side, side, dtype=torch.int32),
        "expert_coords": torch.zeros(1, 0, 2),
        "expert_labels": torch.zeros(1, 0),
        "seeds": torch.zeros(1, dtype=torch.long),
        "names": [""],
    }
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            model.train()
            task.losses(batch)
    except ValueError:  # Expected more than 1 value per channel when training
        return False
    finally:
        for module, training in modes.items():
            module.training = training
        for name, buffer in model.named_buffers():
            buffer.copy_(buffers[name])
    return True
