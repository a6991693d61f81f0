"""What the pre-trainings have in common: a trainer that can go on where an interrupted one stopped."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from lightning import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from omegaconf import DictConfig
from torch.utils.data import DataLoader

from sac_lightning.model.checkpoint import read_without_running
from sac_lightning.training.checkpoints import WholeCheckpoints
from sac_lightning.training.console import progress
from sac_lightning.training.history import History
from sac_lightning.training.precision import resolve_precision
from sac_lightning.training.wandb_view import make_loggers


def fit(
    cfg: DictConfig,
    config: Mapping[str, Any],
    task: LightningModule,
    data: LightningDataModule | DataLoader[Any],
    history: History,
) -> Trainer:
    """Trains a task in place; ``last.ckpt`` is there to go on from after every epoch.

    Args:
        cfg: With ``trainer``, ``logger``, ``resume`` and ``output_dir``.
        config: The same, plain and resolved, for the loggers.
        task: What trains.
        data: What it trains on, with what it is validated on, if it is.
        history: Gets a row for each epoch.

    Raises:
        UserError: The checkpoint to go on from cannot be read, or would run code.
    """
    if cfg.resume is not None:
        read_without_running(Path(cfg.resume))  # Lightning reads it again, and says less.
    last = ModelCheckpoint(dirpath=cfg.output_dir, filename="last", enable_version_counter=False)
    trainer = instantiate(
        cfg.trainer,
        precision=resolve_precision(cfg.trainer.precision, cfg.trainer.accelerator),
        callbacks=[last, history, *progress(cfg.trainer)],
        logger=make_loggers(cfg.logger, config),
        plugins=[WholeCheckpoints()],
        enable_progress_bar=False,  # ``progress`` is our own.
    )
    assert isinstance(trainer, Trainer)
    trainer.fit(task, data, ckpt_path=cfg.resume, weights_only=True)
    return trainer
