"""Commands run within a test's own process, the records that they leave, and checkpoints without a training."""

import copy
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

from sac_lightning.core.configuration import compose_config, resolve_config
from sac_lightning.core.view import View
from sac_lightning.model.build import build_model
from sac_lightning.training.evaluation import evaluate
from sac_lightning.training.run import train
from sac_lightning.training.task import SegmentationTask


def record_of(folder: Path) -> dict[str, Any]:
    """The record in an output folder."""
    record: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return record


def run(options: Sequence[str], output_dir: Path, *overrides: str) -> dict[str, Any]:
    """The record of a training."""
    output_dir.mkdir(parents=True, exist_ok=True)
    train(compose_config("train", [*options, f"output_dir={output_dir}", *overrides]))
    return record_of(output_dir)


def rerun(output_dir: Path, checkpoint: Path, *overrides: str) -> dict[str, Any]:
    """The record of an evaluation."""
    output_dir.mkdir(parents=True, exist_ok=True)
    evaluate(compose_config("evaluate", [f"checkpoint={checkpoint}", f"output_dir={output_dir}", *overrides]))
    return record_of(output_dir)


def settings_of(*overrides: str) -> dict[str, Any]:
    """What a training keeps of its configuration; the caller's own to change."""
    return copy.deepcopy(_composed_settings(overrides))


@cache
def _composed_settings(overrides: tuple[str, ...]) -> dict[str, Any]:
    config = resolve_config(compose_config("train", [*overrides, "output_dir=x"]))
    return {key: config[key] for key in ("model", "view", "data", "seed")}


def untrained(*overrides: str) -> SegmentationTask:
    """The task of a training before its first step, its base weights not read."""
    settings = settings_of(*overrides)
    return SegmentationTask(build_model(settings["model"]), View(**settings["view"]), settings, None, batch_size=2)


def saved(task: SegmentationTask, file: Path, **others: Any) -> Path:
    """A checkpoint as a training would leave it, with what else Lightning would put into one."""
    content: dict[str, Any] = dict(others)
    task.on_save_checkpoint(content)
    torch.save(content, file)
    return file
