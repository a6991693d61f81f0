"""A checkpoint tested once more, under any prompt setting, on any data set."""

from pathlib import Path

from hydra.utils import instantiate
from lightning import seed_everything
from omegaconf import DictConfig

from sac_lightning.checkpoint import load_checkpoint
from sac_lightning.configuration import plain
from sac_lightning.features import keep_features
from sac_lightning.precision import chosen
from sac_lightning.predictions import TestPredictions
from sac_lightning.results import provenance
from sac_lightning.task import SegmentationTask
from sac_lightning.testing import tested_and_recorded
from sac_lightning.training import make_data
from sac_lightning.view import View
from sac_lightning.wandb_view import WandbView, make_loggers


def evaluate(cfg: DictConfig) -> None:
    """Tests a checkpoint; what the configuration leaves open (null) is as in training."""
    config = plain(cfg)
    path = Path(cfg.checkpoint)
    prompts = {key: value for key, value in config["prompts"].items() if value is not None}
    loaded = load_checkpoint(path, prompts, cfg.weights)
    settings = loaded.settings
    keep_features(loaded.model, settings["model"]["name"], cfg.features)
    settings["view"] |= {key: value for key, value in config["view"].items() if value is not None}
    if "data" in config:
        settings["data"] = config["data"]
    if cfg.seed is not None:
        settings["seed"] = cfg.seed
    seed_everything(settings["seed"], workers=True, verbose=False)
    data = make_data(settings)
    data.read("test")
    task = SegmentationTask(
        model=loaded.model,
        view=View(**settings["view"]),
        settings=settings,
        base=loaded.base,
        batch_size=settings["data"]["batch_size"],
    )
    wanted = cfg.trainer.precision or settings["precision"]
    settings["precision"] = chosen(wanted, cfg.trainer.accelerator)
    evaluated = settings | {"trainer": config["trainer"]}
    trainer = instantiate(
        cfg.trainer,
        precision=settings["precision"],
        callbacks=[WandbView(), TestPredictions(Path(cfg.output_dir) / "test")],
        logger=make_loggers(cfg.logger, evaluated),
    )
    about = {"checkpoint": str(path.absolute()), **provenance(evaluated)}
    tested_and_recorded(trainer, task, data, Path(cfg.output_dir), about)
