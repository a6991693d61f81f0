"""A training from end to end: fit, test the best checkpoint, write ``results.json``."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.console import Console
from torch import nn

from sac_lightning.core.configuration import resolve_config
from sac_lightning.core.errors import UserError
from sac_lightning.core.processes import is_first_process
from sac_lightning.data.examination import Oddity
from sac_lightning.inference.every_prompt import refuse_given_points, refuse_model
from sac_lightning.inference.thresholds import describe_separation
from sac_lightning.model.counting import METHODS, count
from sac_lightning.model.promptable import decodes_nuclei
from sac_lightning.model.summary import training_table
from sac_lightning.model.trust import name_foreign_targets
from sac_lightning.runs.contents import mark_changed_data
from sac_lightning.runs.identity import Identity, identity_of
from sac_lightning.runs.record import RECORD_FILE, record_header, record_provenance, write_record
from sac_lightning.runs.unfinished import claim_run_folder
from sac_lightning.training.changes import with_contents
from sac_lightning.training.console import quiet_lightning
from sac_lightning.training.fitting import fit, prepare_training
from sac_lightning.training.history import History
from sac_lightning.training.last_batch import leave_out_single_window
from sac_lightning.training.predictions import TestPredictions
from sac_lightning.training.rehearsal import check_monitors, rehearse_optimizer
from sac_lightning.training.resuming import Resuming
from sac_lightning.training.start import find_start
from sac_lightning.training.testing import test_and_record
from sac_lightning.training.trainer import make_callbacks, make_trainer
from sac_lightning.training.tuning import tune_checkpoint
from sac_lightning.training.wandb_view import WandbView


@quiet_lightning()
def train(cfg: DictConfig) -> None:
    """Train, test and record what a configuration describes."""
    config = resolve_config(cfg)
    if cfg.count_only:
        record_counts(config, Path(cfg.output_dir))
        return
    identity = identity_of(config)
    with claim_run_folder(Path(cfg.output_dir), identity) as interrupted:
        if interrupted is not None and is_first_process():
            print(f"Going on with {cfg.output_dir}, which was interrupted. To start anew, remove it.")
        run(cfg, config, identity, interrupted)


def run(cfg: DictConfig, config: Mapping[str, Any], identity: Identity, interrupted: Path | None) -> None:
    """Train, test and write the record.

    Args:
        cfg: The configuration.
        config: The same, resolved, as the record has it.
        identity: Of the run, when it began.
        interrupted: The run's own checkpoint, if it was interrupted.
    """
    history = History()
    rehearse_optimizer(cfg)
    callbacks = make_callbacks(cfg)
    compared = with_contents(config, identity["contents"], identity["code_version"])
    start = find_start(None if cfg.resume is None else Path(cfg.resume), interrupted, compared, callbacks)
    callbacks += [history, Resuming(compared, start), WandbView(), TestPredictions(Path(cfg.output_dir) / "test")]
    trainer = make_trainer(cfg, cfg.trainer.precision, config, callbacks)
    task, data = prepare_training(cfg, config, start)
    if cfg.instances == "prompts":
        refuse_model(task.model)
        if not decodes_nuclei(task.model):
            refuse_given_points(data.expert_points.positives + data.expert_points.negatives)
    check_monitors(trainer, task)
    leave_out_single_window(trainer, task, data)
    if trainer.is_global_zero:
        announce(task.model, task.settings)
        announce_oddities(data.oddities)
    checkpoint = fit(trainer, task, data, cfg, start)
    # Before the record: a run that is killed while tuning has none, and the same command goes on with it.
    tuned = {
        method: tune_checkpoint(checkpoint, method, trainer, task, data)
        for method in ("watershed", "prompts")
        if method in ("watershed", cfg.instances) or decodes_nuclei(task.model)
    }
    if cfg.instances != "components":
        task.separation = tuned[cfg.instances]
    test_and_record(
        trainer,
        task,
        data,
        Path(cfg.output_dir),
        about={
            "seconds_per_epoch": history.seconds_per_epoch,
            "epochs": len(history.rows),
            "history": history.rows,
            **({"instances": describe_separation(task.separation)} if task.separation is not None else {}),
            # Lightning has resolved the links in the checkpoint's folder.
            "checkpoint": os.path.relpath(checkpoint.resolve(), Path(cfg.output_dir).resolve()),
            **{key: task.settings[key] for key in ("init", "resumed") if key in task.settings},
            **record_provenance(config, {**identity, "contents": mark_changed_data(identity["contents"], config)}),
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


def announce_oddities(oddities: Sequence[Oddity]) -> None:
    """Print what is odd in the data set, in one line."""
    if oddities:
        found = ", ".join(map(str, oddities))
        print(f"The data set has {found}: python -m sac_lightning.doctor, with the same arguments, shows them.")


def announce(model: nn.Module, settings: Mapping[str, Any]) -> None:
    """Print which parts train, and whether pre-trained weights are missing."""
    console = Console()
    console.print(training_table(model))
    own = name_foreign_targets([settings["model"], settings["data"]])
    if own:
        packages = ",".join(dict.fromkeys(target.partition(".")[0] for target in own))
        trust = f"[{packages}]" if "," in packages else packages
        print(f"Its checkpoint names {', '.join(own)}: evaluate and predict load it with trust={trust}.")
    backbone = settings["model"].get("backbone")
    if backbone and backbone["weights"] is None:
        what = (
            "stays as random as it is, so the figures of zero-shot SAM mean nothing"
            if settings["model"]["name"] == "sam"
            else "is trained in full"
        )
        console.print(f"{backbone['name']} has no pre-trained weights: its encoder {what}.")
