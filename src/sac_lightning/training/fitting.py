"""What makes the numbers of a training: data, model and task of a configuration, and the fit.

The code of a run (runs.code_version) is what this module imports and what its configuration names. What only shows
or stores a run, such as loggers, pictures and the record, belongs into training.run.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from lightning import Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from omegaconf import DictConfig
from torch import nn

from sac_lightning.baselines.imagenet import start_from_imagenet
from sac_lightning.baselines.network import Network
from sac_lightning.core.errors import UserError
from sac_lightning.core.processes import is_first_process
from sac_lightning.core.view import View
from sac_lightning.data.base import NucleiDataModule
from sac_lightning.data.build import make_data
from sac_lightning.model.build import base_weights, build_model, load_base
from sac_lightning.model.checkpoint import PREFIX, load_trained_state, read_checkpoint
from sac_lightning.model.image_encoder import image_encoder_of
from sac_lightning.model.precision import resolve_precision
from sac_lightning.model.registered import find_checkpoint
from sac_lightning.model.trunk_features import keep_features, refuse_features_of_training
from sac_lightning.model.trust import refuse_untrustable
from sac_lightning.model.warm_start import plan_warm_start
from sac_lightning.training.resuming import Start
from sac_lightning.training.same_model import refuse_other_model
from sac_lightning.training.task import SegmentationTask


def prepare_training(
    cfg: DictConfig, config: Mapping[str, Any], start: Start | None
) -> tuple[SegmentationTask, NucleiDataModule]:
    """Build what trains and what it trains on, with the random numbers seeded.

    Args:
        cfg: The configuration.
        config: The same, resolved.
        start: What the training goes on from; None if it begins.

    Raises:
        UserError: The data, the weights or the checkpoint to go on from do not suit the configuration.
    """
    if cfg.features is not None:
        refuse_features_of_training(config)
    refuse_untrustable(config["model"])
    seed_everything(cfg.seed, workers=True, verbose=False)
    settings = {key: config[key] for key in ("model", "view", "data", "seed")}
    settings["precision"] = resolve_precision(cfg.trainer.precision, cfg.trainer.accelerator)
    data = make_data(settings)
    data.read("train", "val", "test")  # Bad data shows here, before the weights are fetched.
    model = build_model(settings["model"])
    base = load_base(model, settings["model"]) if base_weights(settings["model"]) else None
    settings |= begin_weights(cfg, model, base) if start is None else start.provenance()
    keep_features(model, settings["model"]["name"], cfg.features)
    if cfg.activation_checkpointing:
        checkpoint_activations(model, settings["model"]["name"])
    task = make_task(cfg, model, settings, base)
    task.scale = data.measure_scale()
    if start is not None:
        refuse_other_model(start, task)
    return task, data


def begin_weights(cfg: DictConfig, model: nn.Module, base: Mapping[str, str] | None) -> dict[str, Any]:
    """Load the weights that a training begins with, but for the base weights.

    Args:
        cfg: The configuration.
        model: The model, its base weights loaded.
        base: Result of load_base.

    Returns:
        What the settings say of it: which ImageNet weights, and what was taken over from the checkpoint ``init``.
    """
    warm = (
        None
        if cfg.init is None
        else plan_warm_start(find_checkpoint(cfg.init, "init"), model, cfg.model.name, base)
    )
    imagenet = None
    if warm is not None and warm.is_whole:
        imagenet = warm.settings.get("imagenet_weights")
    elif isinstance(model, Network):
        model.load_pretrained()
        imagenet = start_from_imagenet(model) if cfg.imagenet else None
    if warm is None:
        return {"imagenet_weights": imagenet}
    warm.apply(model)
    if is_first_process():
        print(warm)
    return {"imagenet_weights": imagenet, "init": warm.provenance()}


def checkpoint_activations(model: nn.Module, name: str) -> None:
    """Make the image encoder keep less for the backward pass; raise UserError if the model has none."""
    encoder = image_encoder_of(model)
    if encoder is None:
        raise UserError(f"activation_checkpointing is for SAM's image encoder, and {name} has none: leave it out")
    encoder.checkpointing = True


def make_task(
    cfg: DictConfig, model: nn.Module, settings: dict[str, Any], base: Mapping[str, str] | None
) -> SegmentationTask:
    """Return the LightningModule of a run."""
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


def fit(
    trainer: Trainer, task: SegmentationTask, data: NucleiDataModule, cfg: DictConfig, start: Start | None
) -> Path:
    """Train, and leave the best epoch's weights in the task's model, or the last step's if none was chosen.

    Returns:
        The checkpoint of these weights; of a method with nothing to train, one is written all the same.
    """
    if any(parameter.requires_grad for parameter in task.model.parameters()):
        if start is not None:
            data.first_epoch = start.epochs
        trainer.fit(task, datamodule=data, ckpt_path=start.path if start is not None else None, weights_only=True)
        best = find_best(trainer)
        if best is None:
            if trainer.is_global_zero:
                print("No best epoch was chosen: the weights of the last step are tested.")
            path = Path(cfg.output_dir) / "checkpoints" / "final.ckpt"
            trainer.save_checkpoint(path, weights_only=True)
            return path
        state = read_checkpoint(best)["state_dict"]
        load_trained_state(task.model, {name.removeprefix(PREFIX): t for name, t in state.items()}, best)
        return best
    if trainer.is_global_zero:
        print(f"{task.settings['model']['name']} has nothing to train.")
    path = Path(cfg.output_dir) / "checkpoints" / "best.ckpt"
    trainer.strategy.connect(task)
    trainer.save_checkpoint(path, weights_only=True)
    return path


def find_best(trainer: Trainer) -> Path | None:
    """Return the checkpoint of the best epoch; None if none was chosen, as without a validation."""
    callbacks = [callback for callback in trainer.checkpoint_callbacks if isinstance(callback, ModelCheckpoint)]
    return next((Path(callback.best_model_path) for callback in callbacks if callback.best_model_path), None)
