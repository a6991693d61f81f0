"""Commands run within a test's own process, the records that they leave, and checkpoints without a training."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from sac_lightning.configuration import composed
from sac_lightning.evaluation import evaluate
from sac_lightning.task import SegmentationTask
from sac_lightning.training import train


def record_of(folder: Path) -> dict[str, Any]:
    """The record in an output folder."""
    record: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return record


def run(tiny: Sequence[str], output_dir: Path, *overrides: str) -> dict[str, Any]:
    """The record of a training."""
    output_dir.mkdir(parents=True, exist_ok=True)
    train(composed("train", [*tiny, f"output_dir={output_dir}", *overrides]))
    return record_of(output_dir)


def rerun(output_dir: Path, checkpoint: Path, *overrides: str) -> dict[str, Any]:
    """The record of an evaluation."""
    output_dir.mkdir(parents=True, exist_ok=True)
    evaluate(composed("evaluate", [f"checkpoint={checkpoint}", f"output_dir={output_dir}", *overrides]))
    return record_of(output_dir)


def saved(task: SegmentationTask, file: Path, **others: Any) -> Path:
    """A checkpoint as a training would leave it, with what else Lightning would put into one."""
    content: dict[str, Any] = dict(others)
    task.on_save_checkpoint(content)
    torch.save(content, file)
    return file
