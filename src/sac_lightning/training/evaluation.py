"""The test of a checkpoint under any prompt setting, on any data set."""

from pathlib import Path

from lightning import Callback, seed_everything
from omegaconf import DictConfig

from sac_lightning.core.configuration import resolve_config
from sac_lightning.core.errors import UserError
from sac_lightning.core.limits import read_picture_count
from sac_lightning.core.scale import OFF, Scale, check_mpp
from sac_lightning.core.view import View
from sac_lightning.data.build import make_data
from sac_lightning.inference.every_prompt import refuse_given_points, refuse_model
from sac_lightning.inference.magnification import refuse_mpp
from sac_lightning.inference.thresholds import Components, EveryPrompt, choose_separation, describe_separation
from sac_lightning.model.checkpoint import load_checkpoint
from sac_lightning.model.precision import resolve_precision
from sac_lightning.model.promptable import decodes_nuclei
from sac_lightning.model.registered import find_checkpoint
from sac_lightning.model.trunk_features import keep_features
from sac_lightning.model.trust import read_trusted, refuse_foreign_targets
from sac_lightning.runs.code_version import code_version
from sac_lightning.runs.contents import digest_path, read_contents
from sac_lightning.runs.former_record import refuse_folder_of_training
from sac_lightning.runs.identity import make_identity
from sac_lightning.runs.record import record_provenance
from sac_lightning.training.console import quiet_lightning
from sac_lightning.training.pictures import TestPictures
from sac_lightning.training.predictions import TestPredictions
from sac_lightning.training.prompted import refuse_prompted
from sac_lightning.training.task import SegmentationTask
from sac_lightning.training.testing import test_and_record
from sac_lightning.training.trainer import make_trainer
from sac_lightning.training.tuning import tune_checkpoint
from sac_lightning.training.wandb_view import WandbView


@quiet_lightning()
def evaluate(cfg: DictConfig) -> None:
    """Test a checkpoint; what the configuration leaves open (null) is as in training."""
    config = resolve_config(cfg)
    refuse_folder_of_training(Path(cfg.output_dir))
    path = find_checkpoint(cfg.checkpoint)
    prompts = {key: value for key, value in config["prompts"].items() if value is not None}
    trusted = read_trusted(cfg.trust)
    digest = digest_path(path)
    loaded = load_checkpoint(path, prompts, cfg.weights, trusted)
    settings = loaded.settings
    keep_features(loaded.model, settings["model"]["name"], cfg.features)
    settings["view"] |= {key: value for key, value in config["view"].items() if value is not None}
    if "data" in config:
        settings["data"] = config["data"]
    else:
        refuse_foreign_targets(settings["data"], path, trusted)
    if settings["data"] is None:
        raise UserError(f"{path} does not say on which data it was trained: set data, such as data=folder")
    if cfg.seed is not None:
        settings["seed"] = cfg.seed
    seed_everything(settings["seed"], workers=True, verbose=False)
    data = make_data(settings)
    view, mpp = View(**settings["view"]), check_mpp(cfg.mpp)
    refuse_mpp(loaded.scale, view, mpp)
    data.trained = Scale() if mpp == OFF else loaded.scale
    if isinstance(mpp, float):
        data.micrometres = mpp
    if cfg.instances == "prompts":
        refuse_model(loaded.model)
        if not decodes_nuclei(loaded.model):
            refuse_given_points(data.expert_points.positives + data.expert_points.negatives)
    separation = None if cfg.tune else choose_separation(cfg.instances, loaded.thresholds, path)
    if separation is not None:
        if isinstance(separation, EveryPrompt):
            refuse_model(loaded.model, separation)
        refuse_prompted(cfg.prompted, separation)
    parts = ("val", "test") if cfg.tune else ("test",)
    contents = read_contents(settings, parts)
    data.read(*parts)
    task = SegmentationTask(
        model=loaded.model,
        view=view,
        settings=settings,
        base=loaded.base,
        batch_size=settings["data"]["batch_size"],
        separation=separation,
    )
    wanted = cfg.trainer.precision or settings["precision"]
    settings["precision"] = resolve_precision(wanted, cfg.trainer.accelerator)
    evaluated = settings | {"trainer": config["trainer"]}
    if cfg.mpp is not None:
        evaluated["mpp"] = mpp
    if cfg.instances != "components":
        evaluated["instances"] = cfg.instances
    if cfg.prompted != "own":
        evaluated["prompted"] = cfg.prompted
    callbacks: list[Callback] = [WandbView(), TestPredictions(Path(cfg.output_dir) / "test")]
    pictures = read_picture_count(cfg.pictures)
    if pictures != 0:
        callbacks.append(TestPictures(Path(cfg.output_dir) / "pictures", pictures))
    trainer = make_trainer(cfg, settings["precision"], evaluated, callbacks)
    if cfg.tune:
        task.separation = separation = tune_checkpoint(path, cfg.instances, trainer, task, data)
        digest = digest_path(path)  # It holds the new thresholds.
        refuse_prompted(cfg.prompted, separation)
    task.prompted = cfg.prompted
    contents["files"]["checkpoint"] = digest
    identity = make_identity(evaluated, code_version(evaluated), contents)
    about = {
        "checkpoint": str(path.absolute()),
        "instances": describe_separation(separation or Components()),
        **({"factors": factors} if (factors := data.factors_by_name("test")) else {}),
        **record_provenance(evaluated, identity),
    }
    test_and_record(trainer, task, data, Path(cfg.output_dir), about)
    if pictures != 0 and trainer.is_global_zero:
        folder = Path(cfg.output_dir) / "pictures"
        print(f"pictures   {folder}: true nuclei cyan, found ones yellow, white where both are")
