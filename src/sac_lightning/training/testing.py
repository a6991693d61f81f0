"""The test of a model and its record, which train and evaluate share."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning import Trainer
from rich.console import Console
from rich.table import Table

from sac_lightning.data.base import NucleiDataModule
from sac_lightning.model.counting import parameter_counts
from sac_lightning.model.image_encoder import image_encoder_of
from sac_lightning.runs.environment import environment
from sac_lightning.runs.record import RECORD_FILE, record_header, write_record
from sac_lightning.training.examples import write_examples
from sac_lightning.training.metrics.scores import find_collapse
from sac_lightning.training.task import SegmentationTask
from sac_lightning.training.wandb_view import summarise

PROMPT = "prompt_"

log = logging.getLogger(__name__)


def test_and_record(
    trainer: Trainer,
    task: SegmentationTask,
    data: NucleiDataModule,
    output_dir: Path,
    about: Mapping[str, Any],
) -> None:
    """Test, write ``results.json`` and ``examples.png``, and print the figures.

    Args:
        trainer: Runs the test.
        task: Has the model to test.
        data: Has the test set.
        output_dir: The folder to write to.
        about: Further entries of the record: configuration, history, checkpoint.
    """
    trainer.test(task, datamodule=data, verbose=False)
    metrics = {
        name.removeprefix("test/"): float(value)
        for name, value in trainer.callback_metrics.items()
        if name.startswith("test/")
    }
    if not trainer.is_global_zero:
        return
    prompts = {name: value for name, value in metrics.items() if name.startswith(PROMPT)}
    record: dict[str, Any] = {
        **record_header(task.settings),
        "metrics": {name: value for name, value in metrics.items() if name not in prompts},
        "prompt_quality": {name.removeprefix(PROMPT): value for name, value in prompts.items()},
        "images": task.image_scores,
        "test_images": len(task.image_scores),
        "collapsed": find_collapse(task.image_scores),
        "parameters": parameter_counts(task.model),
        "precision": task.settings.get("precision"),
        **environment(task.device),
        "split_hash": data.split_hash,
        "base_weights": task.base,
        "imagenet_weights": task.settings.get("imagenet_weights"),
        **about,
    }
    if record["collapsed"] is not None:
        log.warning("the prediction has collapsed: nearly every test pixel is %s", record["collapsed"])
    write_examples(output_dir / "examples.png", task.pictures)
    write_record(output_dir / RECORD_FILE, record)
    summarise(trainer.loggers, record)
    _print_summary(metrics, output_dir, output_dir / about["checkpoint"])
    encoder = image_encoder_of(task.model)
    if encoder is not None and encoder.features is not None:
        Console().print(f"{'features':10} {encoder.features.summary()}", soft_wrap=True)


def _print_summary(metrics: Mapping[str, float], output_dir: Path, checkpoint: Path) -> None:
    console = Console()
    table = Table(title="Test")
    for column in ("metric", "value"):
        table.add_column(column, justify="right" if column == "value" else "left")
    for name, value in metrics.items():
        table.add_row(name, f"{value:.4f}")
    console.print(table)
    for what, path in (
        ("record", output_dir / RECORD_FILE),
        ("picture", output_dir / "examples.png"),
        ("checkpoint", checkpoint),
    ):
        console.print(f"{what:10} {path}", soft_wrap=True)
