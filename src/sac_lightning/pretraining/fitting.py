"""The shared part of all pre-trainings: a trainer that can resume an interrupted run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from omegaconf import DictConfig
from torch.utils.data import DataLoader

from sac_lightning.runs.contents import read_contents
from sac_lightning.training.changes import with_contents
from sac_lightning.training.history import History
from sac_lightning.training.resuming import Resuming
from sac_lightning.training.start import find_pretraining_start
from sac_lightning.training.trainer import make_trainer


def fit(
    cfg: DictConfig,
    config: Mapping[str, Any],
    task: LightningModule,
    data: LightningDataModule | DataLoader[Any],
    history: History,
) -> tuple[Trainer, dict[str, Any]]:
    """Train a task in place, and save ``last.ckpt``, from which a run can resume, after every epoch.

    Args:
        cfg: The configuration, with ``trainer``, ``logger``, ``resume`` and ``output_dir``.
        config: The same as a plain, resolved mapping, for the loggers.
        task: The task to train.
        data: Training data, with validation data if the task validates.
        history: Receives a row for each epoch.

    Returns:
        The trainer, and what the record says of a checkpoint that it went on from.

    Raises:
        UserError: The checkpoint to resume from cannot be read, would run code, or is of another pre-training.
    """
    compared = with_contents(config, read_contents(config))
    start = None if cfg.resume is None else find_pretraining_start(Path(cfg.resume), compared)
    resuming = Resuming(compared, start)
    last = ModelCheckpoint(dirpath=cfg.output_dir, filename="last", enable_version_counter=False)
    trainer = make_trainer(cfg, cfg.trainer.precision, config, [last, history, resuming])
    trainer.fit(task, data, ckpt_path=cfg.resume, weights_only=True)
    return trainer, resuming.record()
