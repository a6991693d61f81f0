"""Whether the device that a configuration asks for is there."""

import torch
from omegaconf import DictConfig

from sac_lightning.core.errors import UserError


def refuse_missing_gpu(trainer_cfg: DictConfig) -> None:
    """Raise UserError if the trainer asks for a GPU, or more of them, than this machine has.

    Args:
        trainer_cfg: The configuration's ``trainer``.
    """
    accelerator, asked = trainer_cfg.get("accelerator"), trainer_cfg.get("devices")
    if accelerator == "gpu" and torch.backends.mps.is_available():
        return
    if accelerator not in ("gpu", "cuda"):
        return
    if not torch.cuda.is_available():
        raise UserError("trainer.accelerator asks for a GPU and torch sees none: choose trainer=cpu")
    there = torch.cuda.device_count()
    if isinstance(asked, int) and asked > there:
        raise UserError(f"trainer.devices asks for {asked} GPUs and there are {there}: choose at most {there}")
