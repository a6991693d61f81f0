"""A training from end to end: fit, test the best checkpoint, write ``results.json``."""

import logging
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from lightning import Trainer, seed_everything
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from omegaconf import DictConfig
from rich.console import Console
from torch import nn

from sac_lightning.baselines.imagenet import start_from_imagenet
from sac_lightning.baselines.mdm import MDM
from sac_lightning.baselines.network import Network
from sac_lightning.core.configuration import resolve_config
from sac_lightning.core.errors import UserError
from sac_lightning.core.limits import refuse_test_metric
from sac_lightning.core.view import View
from sac_lightning.data.base import NucleiDataModule
from sac_lightning.data.build import make_data
from sac_lightning.model.build import base_weights, build_model, load_base
from sac_lightning.model.checkpoint import KEY, PREFIX, load_trained_state, read_checkpoint
from sac_lightning.model.counting import METHODS, count
from sac_lightning.model.features import keep_features, refuse_features_of_training
from sac_lightning.model.segment_any_cell import SAC
from sac_lightning.model.summary import training_table
from sac_lightning.runs.record import record_header, record_provenance, write_record
from sac_lightning.runs.unfinished import claim_run_folder
from sac_lightning.training.checkpoints import LastCheckpoint, WholeCheckpoints
from sac_lightning.training.history import History
from sac_lightning.training.precision import resolve_precision
from sac_lightning.training.predictions import TestPredictions
from sac_lightning.training.task import SegmentationTask
from sac_lightning.training.testing import test_and_record
from sac_lightning.training.tuning import tune_checkpoint
from sac_lightning.training.wandb_view import WandbView, make_loggers

log = logging.getLogger(__name__)


def train(cfg: DictConfig) -> None:
    """Trains, tests and records what the configuration describes."""
    config = resolve_config(cfg)
    if cfg.count_only:
        record_counts(config, Path(cfg.output_dir))
        return
    with claim_run_folder(Path(cfg.output_dir), config) as interrupted:
        if interrupted is not None and cfg.resume is None:
            log.info("Going on from %s", interrupted)
            cfg.resume = str(interrupted)
        run(cfg, config)


def run(cfg: DictConfig, config: Mapping[str, Any]) -> None:
    """Trains, tests and records.

    Args:
        cfg: The configuration.
        config: The same, plain, as the record has it.
    """
    if cfg.features is not None:
        refuse_features_of_training(config)
    seed_everything(cfg.seed, workers=True, verbose=False)
    callbacks = make_callbacks(cfg)
    settings = {key: config[key] for key in ("model", "view", "data", "seed")}
    settings["precision"] = resolve_precision(cfg.trainer.precision, cfg.trainer.accelerator)
    if cfg.resume is not None:
        refuse_other_settings(Path(cfg.resume), settings)
    data = make_data(settings)
    data.read("train", "val", "test")  # Bad data shows here, before the weights are fetched.
    model = build_model(settings["model"])
    base = (
        load_base(model, settings["model"]) if base_weights(settings["model"]) and isinstance(model, SAC) else None
    )
    settings["imagenet_weights"] = load_imagenet_weights(cfg, model)
    if isinstance(model, MDM) and model.frozen and cfg.resume is None:
        model.load_weights(Path(settings["model"]["weights"]))
    keep_features(model, settings["model"]["name"], cfg.features)
    if cfg.activation_checkpointing:
        checkpoint_activations(model, settings["model"]["name"])
    task = make_task(cfg, model, settings, base)
    history = History()
    callbacks += [history, WandbView(), TestPredictions(Path(cfg.output_dir) / "test")]
    trainer = instantiate(
        cfg.trainer,
        precision=settings["precision"],
        callbacks=callbacks,
        logger=make_loggers(cfg.logger, config),
        plugins=[*instantiate(cfg.trainer.get("plugins", [])), WholeCheckpoints()],
    )
    if trainer.is_global_zero:
        announce(model, settings)
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
    """Writes the record of a model that is counted and not trained: its parameters as Table 6 counts them."""
    model = config["model"]
    if model["name"] not in METHODS:
        raise UserError(f"count_only counts {', '.join(METHODS)}: not {model['name']}")
    row = count(model["name"], instantiate(model["backbone"], _convert_="all"))
    record = record_header(config) | {"metrics": {}, "prompt_quality": {}, "images": [], "history": []}
    record |= {"parameters": row.table6, "parameters_as_trained": row.ours} | record_provenance(config)
    write_record(output_dir / "results.json", record)
    console = Console()
    console.print(f"{model['name']}: {', '.join(f'{number:,} {name}' for name, number in row.table6.items())}")
    console.print(f"record     {output_dir / 'results.json'}", soft_wrap=True)


def make_callbacks(cfg: DictConfig) -> list[Callback]:
    """The configured callbacks, of which ``save_last`` is understood as after every epoch.

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


def checkpoint_activations(model: nn.Module, name: str) -> None:
    """Lets the image encoder keep less for the backward pass; UserError where the model has none."""
    if not isinstance(model, SAC):
        raise UserError(f"activation_checkpointing is for SAM's image encoder, and {name} has none: leave it out")
    model.image_encoder.checkpointing = True


def load_imagenet_weights(cfg: DictConfig, model: nn.Module) -> str | None:
    """Load ImageNet weights into a compared network; say which, also those of a run that is resumed."""
    if not isinstance(model, Network):
        return None
    if cfg.resume is not None:
        known: str | None = read_checkpoint(Path(cfg.resume))[KEY]["settings"].get("imagenet_weights")
        return known
    return start_from_imagenet(model) if cfg.imagenet else None


def make_task(
    cfg: DictConfig, model: nn.Module, settings: Mapping[str, Any], base: Mapping[str, str] | None
) -> SegmentationTask:
    """The LightningModule of a run."""
    return SegmentationTask(
        model=model,
        view=View(**settings["view"]),
        mask_loss=instantiate(cfg.loss),
        optimizer=instantiate(cfg.optimizer),
        scheduler=instantiate(cfg.scheduler),
        settings=settings,
        base=base,
        batch_size=cfg.data.batch_size,
    )


def refuse_other_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Raises UserError where a checkpoint to go on from is of another model than this run's."""
    theirs = read_checkpoint(path)[KEY]["settings"]["model"]
    ours = settings["model"]
    for key in ("name", "backbone", "prompts"):
        if theirs.get(key) != ours.get(key):
            named = [value["name"] if key == "backbone" else value for value in (theirs.get(key), ours.get(key))]
            raise UserError(
                f"{path} was trained with the {key} {named[0]}, this run has {named[1]}: make them the same"
            )


def announce(model: nn.Module, settings: Mapping[str, Any]) -> None:
    """Says what trains, and where the pre-training is missing."""
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


def fit(trainer: Trainer, task: SegmentationTask, data: NucleiDataModule, cfg: DictConfig) -> Path:
    """Trains and leaves the best epoch's weights in the task's model.

    Returns:
        The checkpoint of these weights; of a method without anything to train, one is written all the same.
    """
    if any(parameter.requires_grad for parameter in task.model.parameters()):
        if cfg.resume is not None:
            data.first_epoch = int(read_checkpoint(Path(cfg.resume))["epoch"]) + 1
        with warnings.catch_warnings():
            # Our loaders are short of workers on purpose, and a run goes on in the folder that it began in.
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            if cfg.resume is not None:
                warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
            trainer.fit(task, datamodule=data, ckpt_path=cfg.resume, weights_only=True)
        best = Path(trainer.checkpoint_callback.best_model_path)  # type: ignore[union-attr]
        state = read_checkpoint(best)["state_dict"]
        load_trained_state(task.model, {name.removeprefix(PREFIX): t for name, t in state.items()}, best)
        return best
    log.info("%s has nothing to train", task.settings["model"]["name"])
    path = Path(cfg.output_dir) / "checkpoints" / "best.ckpt"
    trainer.strategy.connect(task)
    trainer.save_checkpoint(path, weights_only=True)
    return path
