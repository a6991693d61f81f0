"""A training from end to end: fit, test the best checkpoint, write ``results.json``."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from omegaconf import DictConfig
from rich.console import Console
from torch import nn

from sac_lightning.core.configuration import resolve_config
from sac_lightning.core.errors import UserError
from sac_lightning.core.limits import refuse_test_metric
from sac_lightning.core.processes import is_first_process
from sac_lightning.data.examination import Oddity
from sac_lightning.model.counting import METHODS, count
from sac_lightning.model.summary import training_table
from sac_lightning.runs.record import RECORD_FILE, record_header, record_provenance, write_record
from sac_lightning.runs.unfinished import claim_run_folder
from sac_lightning.training.checkpoints import LastCheckpoint, WholeCheckpoints
from sac_lightning.training.console import progress, quiet_lightning
from sac_lightning.training.fitting import fit, prepare_training
from sac_lightning.training.history import History
from sac_lightning.training.predictions import TestPredictions
from sac_lightning.training.testing import test_and_record
from sac_lightning.training.tuning import tune_checkpoint
from sac_lightning.training.wandb_view import WandbView, make_loggers


@quiet_lightning()
def train(cfg: DictConfig) -> None:
    """Train, test and record what a configuration describes."""
    config = resolve_config(cfg)
    if cfg.count_only:
        record_counts(config, Path(cfg.output_dir))
        return
    with claim_run_folder(Path(cfg.output_dir), config) as interrupted:
        if interrupted is not None and cfg.resume is None:
            if is_first_process():
                print(f"Going on with {cfg.output_dir}, which was interrupted. To start anew, remove it.")
            cfg.resume = str(interrupted)
        run(cfg, config)


def run(cfg: DictConfig, config: Mapping[str, Any]) -> None:
    """Train, test and write the record.

    Args:
        cfg: The configuration.
        config: The same, resolved, as the record has it.
    """
    callbacks = make_callbacks(cfg)
    task, data = prepare_training(cfg, config)
    history = History()
    callbacks += [history, *progress(cfg.trainer), WandbView(), TestPredictions(Path(cfg.output_dir) / "test")]
    trainer = instantiate(
        cfg.trainer,
        precision=task.settings["precision"],
        callbacks=callbacks,
        logger=make_loggers(cfg.logger, config),
        plugins=[*instantiate(cfg.trainer.get("plugins", [])), WholeCheckpoints()],
        enable_progress_bar=False,  # ``progress`` is our own.
    )
    if trainer.is_global_zero:
        announce(task.model, task.settings)
        announce_oddities(data.oddities)
    checkpoint = fit(trainer, task, data, cfg)
    # Before the record: a run that is killed while tuning has none, and the same command goes on with it.
    tune_checkpoint(checkpoint, "watershed", trainer, task, data)
    test_and_record(
        trainer,
        task,
        data,
        Path(cfg.output_dir),
        about={
            "seconds_per_epoch": history.seconds_per_epoch,
            "epochs": len(history.rows),
            "history": history.rows,
            # Lightning has resolved the links in the checkpoint's folder; a resumed run's may be another folder.
            "checkpoint": os.path.relpath(checkpoint.resolve(), Path(cfg.output_dir).resolve()),
            **record_provenance(config),
        },
    )


def record_counts(config: Mapping[str, Any], output_dir: Path) -> None:
    """Write the record of a model that is not trained: its parameters as Table 6 counts them."""
    model = config["model"]
    if model["name"] not in METHODS:
        raise UserError(f"count_only counts {', '.join(METHODS)}: not {model['name']}")
    row = count(model["name"], instantiate(model["backbone"], _convert_="all"))
    record = {
        **record_header(config),
        "metrics": {},
        "prompt_quality": {},
        "images": [],
        "history": [],
        "parameters": row.table6,
        "parameters_as_trained": row.ours,
        **record_provenance(config),
    }
    write_record(output_dir / RECORD_FILE, record)
    console = Console()
    console.print(f"{model['name']}: {', '.join(f'{number:,} {name}' for name, number in row.table6.items())}")
    console.print(f"record     {output_dir / RECORD_FILE}", soft_wrap=True)


def make_callbacks(cfg: DictConfig) -> list[Callback]:
    """Return the configured callbacks; ``save_last`` means after every epoch.

    Raises:
        UserError: One of them would choose by a test metric.
    """
    callbacks = list(instantiate(cfg.callbacks).values())
    for callback in callbacks:
        refuse_test_metric(type(callback).__name__, getattr(callback, "monitor", None))
    saving = [callback for callback in callbacks if isinstance(callback, ModelCheckpoint) and callback.save_last]
    for callback in saving:
        callback.save_last = False
    return callbacks + [LastCheckpoint(Path(str(callback.dirpath)) / "last.ckpt") for callback in saving]


def announce_oddities(oddities: Sequence[Oddity]) -> None:
    """Print what is odd in the data set, in one line."""
    if oddities:
        found = ", ".join(map(str, oddities))
        print(f"The data set has {found}: python -m sac_lightning.doctor, with the same arguments, shows them.")


def announce(model: nn.Module, settings: Mapping[str, Any]) -> None:
    """Print which parts train, and whether pre-trained weights are missing."""
    console = Console()
    console.print(training_table(model))
    backbone = settings["model"].get("backbone")
    if backbone and backbone["weights"] is None:
        what = (
            "stays as random as it is, so the figures of zero-shot SAM mean nothing"
            if settings["model"]["name"] == "sam"
            else "is trained in full"
        )
        console.print(f"{backbone['name']} has no pre-trained weights: its encoder {what}.")
