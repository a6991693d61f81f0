"""Lightning's trainer with the configured callbacks and loggers, made before any data is read."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from lightning import Trainer
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    Callback,
    Checkpoint,
    LearningRateFinder,
    ModelCheckpoint,
)
from omegaconf import DictConfig

from sac_lightning.core.errors import UserError
from sac_lightning.core.limits import refuse_test_metric
from sac_lightning.model.precision import resolve_precision
from sac_lightning.training.averaging import refuse_lost_average
from sac_lightning.training.checkpoints import LastCheckpoint, WholeCheckpoints
from sac_lightning.training.console import progress
from sac_lightning.training.devices import refuse_missing_gpu
from sac_lightning.training.loggers import make_loggers
from sac_lightning.training.wandb_login import refuse_missing_login

HALF_WEIGHTS = ("16-true", "bf16-true")


def make_trainer(
    cfg: DictConfig, precision: str, config: Mapping[str, Any], callbacks: Sequence[Callback]
) -> Trainer:
    """Make the trainer of a training, a test or a pre-training.

    Args:
        cfg: The configuration, with ``trainer`` and ``logger``.
        precision: As in ``trainer.precision``.
        config: What the loggers note of the run.
        callbacks: All but the one that shows the progress.

    Raises:
        UserError: There is no such device, it cannot multiply in this precision, or W&B has no login. What
            Lightning refuses is raised as Hydra's InstantiationException.
    """
    refuse_missing_gpu(cfg.trainer)
    refuse_missing_login(cfg.logger)
    trainer: Trainer = instantiate(
        cfg.trainer,
        precision=resolve_precision(precision, cfg.trainer.accelerator),
        callbacks=[*callbacks, *progress(cfg.trainer)],
        logger=make_loggers(cfg.logger, config),
        plugins=[*instantiate(cfg.trainer.get("plugins", [])), WholeCheckpoints()],
        enable_progress_bar=False,  # ``progress`` is our own.
        # Without one of ours, Lightning would add its own and write where nobody looks.
        enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
    )
    if trainer.precision in HALF_WEIGHTS and isinstance(trainer.accelerator, CPUAccelerator):
        raise UserError(f"trainer.precision={trainer.precision} is for a GPU: choose bf16-mixed or 32-true")
    return trainer


def refuse_unrecorded(callbacks: Sequence[Callback], output_dir: Path) -> None:
    """Raise UserError if callbacks would make the record of a run wrong.

    Args:
        callbacks: Of a training.
        output_dir: The folder of the run.
    """
    for callback in callbacks:
        if isinstance(callback, BatchSizeFinder | LearningRateFinder):
            raise UserError(
                f"{type(callback).__name__} changes a setting that the record would not name: find its value "
                "once, and give it as data.batch_size= or optimizer.lr="
            )
        folder = callback.dirpath if isinstance(callback, ModelCheckpoint) else None
        if folder is not None and not Path(folder).resolve().is_relative_to(output_dir.resolve()):
            raise UserError(
                f"{type(callback).__name__} would write into {folder}, where other runs may write, too: leave its "
                "dirpath out, as each run keeps its checkpoints in its own folder"
            )


def make_callbacks(cfg: DictConfig) -> list[Callback]:
    """Return the configured callbacks, but for those that are null; ``save_last`` means after every epoch.

    Raises:
        UserError: One of them would choose by a test metric, would lose its average, or make the record wrong.
    """
    wanted = {name: callback for name, callback in (cfg.callbacks or {}).items() if callback is not None}
    callbacks = [instantiate(callback, _convert_="all") for callback in wanted.values()]
    for callback in callbacks:
        refuse_test_metric(type(callback).__name__, getattr(callback, "monitor", None))
    refuse_lost_average(callbacks)
    refuse_unrecorded(callbacks, Path(cfg.output_dir))
    saving = [callback for callback in callbacks if isinstance(callback, ModelCheckpoint) and callback.save_last]
    for callback in saving:
        callback.save_last = False
    return callbacks + [LastCheckpoint(Path(str(callback.dirpath)) / "last.ckpt") for callback in saving]
