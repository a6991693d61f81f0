"""The pieces of work that are measured, one function each: settings to rows of the table."""

import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from sac_lightning.benchmarking import runs, sides
from sac_lightning.benchmarking.cost import encoder_operations, training_cost
from sac_lightning.benchmarking.rate import matrix_rate
from sac_lightning.benchmarking.row import BenchmarkRow
from sac_lightning.benchmarking.side import Prepare, Side, measure
from sac_lightning.core.configuration import config_dir
from sac_lightning.model.image_encoder import Backbone
from sac_lightning.model.methods import Prompts, sac

OFFICIAL = "segment-anything"
GIB = 2**30


@dataclass(frozen=True)
class Settings:
    """What is measured, and how often.

    Attributes:
        backbone: Sizes of the image encoder, as in conf/backbone.
        largest: Sizes of the encoder for the row about memory alone.
        image_size: Side of the input in pixels.
        repetitions: Repetitions of each measurement; the table has their median.
    """

    backbone: Mapping[str, Any]
    largest: Mapping[str, Any]
    image_size: int
    repetitions: int

    @property
    def name(self) -> str:
        """Name of the backbone and the image size, for the table."""
        return f"{self.backbone['name']}, {self.image_size} px"


def forward(settings: Settings) -> list[BenchmarkRow]:
    """Compare the image encoder's forward pass in float32 and bfloat16 with the official one in float32."""
    pair = {"ours": sides.encoder, "official": sides.official_encoder}
    arguments = {"backbone": settings.backbone, "image_size": settings.image_size}
    operations = encoder_operations(Backbone(**settings.backbone), settings.image_size)
    rows = []
    for bfloat16, target, tolerance in ((False, 2.0, 1e-4), (True, 4.0, 1e-2)):
        ours, official = _measure_pair(pair, arguments | {"bfloat16": bfloat16}, settings.repetitions)
        result, expected = ours.outputs["image_embeddings"], official.outputs["image_embeddings"]
        difference = _relative_error(result, expected) if bfloat16 else float((result - expected).abs().max())
        kind = "relative" if bfloat16 else "greatest"
        rows.append(
            _compare_sides(
                f"image encoder, forward, {'bfloat16' if bfloat16 else 'float32'} ({settings.name})",
                f"{OFFICIAL}, float32",
                f"{target:g} times as fast, {kind} difference at most {tolerance:g}",
                (ours, official),
                target,
                difference,
                difference <= tolerance,
                operations / _rate(bfloat16),
            )
        )
    return rows


def step(settings: Settings) -> list[BenchmarkRow]:
    """Compare a training step of SAC, with LoRA on all blocks, with the same step using the official encoder."""
    pair = {"ours": sides.step, "official": sides.official_step}
    arguments = {"backbone": settings.backbone, "image_size": settings.image_size}
    rows = []
    for bfloat16 in (False, True):
        ours, official = _measure_pair(pair, arguments | {"bfloat16": bfloat16}, settings.repetitions)
        difference = _relative_error(_join_tensors(ours.outputs), _join_tensors(official.outputs))
        saved = official.peak_memory_bytes / ours.peak_memory_bytes
        row = _compare_sides(
            f"SAC, training step, {'bfloat16' if bfloat16 else 'float32'} ({settings.name}, batch 1)",
            f"the same with {OFFICIAL}'s encoder",
            "half the time, a third of the memory, gradients equal to 1e-3",
            (ours, official),
            2.0,
            difference,
            difference <= 1e-3 and saved >= 3,
            _step_operations(settings, bfloat16) / _rate(bfloat16),
        )
        if bfloat16:
            row.target, row.met = "none: float32's row beside it has one", None
        row.note = f"{saved:.2f} times less memory"
        rows.append(row)
    return rows


def largest_step(settings: Settings) -> list[BenchmarkRow]:
    """Measure whether a training step of the largest encoder with activation checkpointing fits into memory."""
    arguments = {"backbone": settings.largest, "image_size": settings.image_size, "checkpointing": True}
    side = measure({"ours": sides.step}, arguments | {"bfloat16": True}, 1)["ours"]
    return [
        BenchmarkRow(
            work=f"SAC, training step ({settings.largest['name']}, {settings.image_size} px, batch 1)",
            against="the memory there is; bfloat16, activation checkpointing",
            target="at most 16 GiB",
            figure=side.peak_memory_bytes / GIB,
            met=side.peak_memory_bytes <= 16 * GIB,
            seconds=side.median_seconds,
            memory=side.peak_memory_bytes,
        )
    ]


def selection(settings: Settings) -> list[BenchmarkRow]:
    """Compare a training step at scale=cpu with 256 pairs of points chosen by O with the same by R."""
    o, r = _measure_pair({"ours": runs.step_o, "r": runs.step_r}, {}, settings.repetitions + 4)
    figure = o.median_seconds / r.median_seconds
    return [
        BenchmarkRow(
            work="SAC, training step, 256 pairs of points by O (scale=cpu)",
            against="the same by R",
            target="at most 1.05 times the time",
            figure=figure,
            met=figure <= 1.05,
            seconds=o.median_seconds,
            reference_seconds=r.median_seconds,
        )
    ]


def features(settings: Settings) -> list[BenchmarkRow]:
    """Compare a training step of SAM-FT from epoch 2 on, which reads its trunk's tokens, with computing them."""
    pair = {"ours": sides.sam_ft_step_from_disk, "computing": sides.sam_ft_step}
    arguments = {"backbone": settings.backbone, "image_size": settings.image_size}
    read, computing = _measure_pair(pair, arguments, settings.repetitions)
    figure = computing.median_seconds / read.median_seconds
    difference = _relative_error(_join_tensors(read.outputs), _join_tensors(computing.outputs))
    return [
        BenchmarkRow(
            work=f"SAM-FT, training step, features on disk ({settings.name}, float32, from epoch 2 on)",
            against="the same, computing the trunk",
            target="10 times as fast, the same gradients",
            figure=figure,
            met=figure >= 10 and difference <= 1e-6,
            seconds=read.median_seconds,
            reference_seconds=computing.median_seconds,
            difference=difference,
        )
    ]


def prompt_settings(settings: Settings) -> list[BenchmarkRow]:
    """Compare testing under four prompt settings, the trunk's tokens kept on disk, with a single test without."""
    pair = {"ours": runs.tests_from_disk, "one": runs.one_test}
    arguments = {"backbone": settings.backbone, "image_size": settings.image_size}
    four, one = _measure_pair(pair, arguments, settings.repetitions)
    figure = four.median_seconds / one.median_seconds
    return [
        BenchmarkRow(
            work=f"testing SAC under 4 numbers of expert points ({settings.name}, float32)",
            against="one test",
            target="at most 1.2 times one test",
            figure=figure,
            met=figure <= 1.2,
            seconds=four.median_seconds,
            reference_seconds=one.median_seconds,
        )
    ]


def loading(settings: Settings) -> list[BenchmarkRow]:
    """Compare loading a batch of training windows with a training step, both at scale=cpu."""
    batch, training_step = _measure_pair({"ours": runs.batch, "step": runs.step_r}, {}, settings.repetitions + 4)
    figure = training_step.median_seconds / batch.median_seconds
    return [
        BenchmarkRow(
            work="loading a batch (scale=cpu, synthetic), one process",
            against="a training step",
            target="three times the step's rate",
            figure=figure,
            met=figure >= 3,
            seconds=batch.median_seconds,
            reference_seconds=training_step.median_seconds,
        )
    ]


def start_up(settings: Settings) -> list[BenchmarkRow]:
    """Time the slowest command's answer to --help, and to a key that does not exist."""
    rows = []
    for what, argument in (("--help", "--help"), ("a misspelt key", "nonsense=1")):
        slowest = max(
            (median(seconds_to_answer(name, argument) for _ in range(settings.repetitions)), name)
            for name in commands()
        )
        rows.append(
            BenchmarkRow(
                work=f"answer to {what} ({slowest[1]}, the slowest of all commands)",
                against="",
                target="under 3 s",
                figure=slowest[0],
                met=slowest[0] < 3,
                seconds=slowest[0],
            )
        )
    return rows


def commands() -> list[str]:
    """Return the names of all commands: each has its own configuration."""
    return sorted(file.stem for file in config_dir().glob("*.yaml"))


def seconds_to_answer(command: str, argument: str) -> float:
    """Return the seconds from the start of a command to its end."""
    with TemporaryDirectory() as folder:
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", f"sac_lightning.{command}", argument],
            cwd=folder,
            capture_output=True,
            check=False,
        )
        return time.perf_counter() - start


def _measure_pair(
    pair: Mapping[str, Prepare], arguments: Mapping[str, Any], repetitions: int
) -> tuple[Side, Side]:
    """Measure our side and the reference."""
    ours, reference = measure(pair, arguments, repetitions).values()
    return ours, reference


def _compare_sides(
    work: str,
    against: str,
    target: str,
    both: tuple[Side, Side],
    faster: float,
    difference: float,
    equal: bool,
    least_seconds: float,
) -> BenchmarkRow:
    """Return the row of a comparison that requires a speed-up and results that agree."""
    ours, reference = both
    figure = reference.median_seconds / ours.median_seconds
    return BenchmarkRow(
        work=work,
        against=against,
        target=target,
        figure=figure,
        met=figure >= faster and equal,
        seconds=ours.median_seconds,
        reference_seconds=reference.median_seconds,
        memory=ours.peak_memory_bytes,
        reference_memory=reference.peak_memory_bytes,
        difference=difference,
        least_seconds=least_seconds,
    )


def _step_operations(settings: Settings, bfloat16: bool) -> int:
    backbone = Backbone(**dict(settings.backbone) | {"weights": sides.RANDOM})
    cost = training_cost(lambda: sac(backbone, Prompts(), settings.image_size), settings.image_size, 1, bfloat16)
    return cost.operations


def _rate(bfloat16: bool) -> float:
    return matrix_rate(torch.bfloat16 if bfloat16 else torch.float32)


def _join_tensors(tensors: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([tensors[name].flatten() for name in sorted(tensors)])


def _relative_error(result: Tensor, expected: Tensor) -> float:
    """Return the norm of the difference divided by the norm of the expected tensor."""
    return float((result - expected).norm() / expected.norm())
