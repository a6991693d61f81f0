"""The pieces of work that are measured, one function each: settings to rows of the table."""

import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from sac_lightning.benchmarking import runs, sides
from sac_lightning.benchmarking.cost import count_encoder_operations, count_training_cost
from sac_lightning.benchmarking.rate import measure_matrix_rate
from sac_lightning.benchmarking.row import BenchmarkRow
from sac_lightning.benchmarking.side import Prepare, Side, measure
from sac_lightning.core.configuration import config_dir
from sac_lightning.core.rows import ROWS
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
    pair = {"ours": sides.prepare_encoder, "official": sides.prepare_official_encoder}
    arguments = {"backbone": settings.backbone, "image_size": settings.image_size}
    operations = count_encoder_operations(Backbone(**settings.backbone), settings.image_size)
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
                operations / _measure_rate(bfloat16),
            )
        )
    return rows


def step(settings: Settings) -> list[BenchmarkRow]:
    """Compare a training step of SAC, with LoRA on all blocks, with the same step using the official encoder."""
    pair = {"ours": sides.prepare_step, "official": sides.prepare_official_step}
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
            _count_step_operations(settings, bfloat16) / _measure_rate(bfloat16),
        )
        if bfloat16:
            row.target, row.met = "none; see the float32 row", None
        row.note = f"{saved:.2f} times less memory"
        rows.append(row)
    return rows


def largest_step(settings: Settings) -> list[BenchmarkRow]:
    """Measure whether a training step of the largest encoder with activation checkpointing fits into memory."""
    arguments = {"backbone": settings.largest, "image_size": settings.image_size, "checkpointing": True}
    side = measure({"ours": sides.prepare_step}, arguments | {"bfloat16": True}, 1)["ours"]
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
    o, r = _measure_pair({"ours": runs.prepare_step_o, "r": runs.prepare_step_r}, {}, settings.repetitions + 4)
    work = "SAC, training step, 256 pairs of points by O (scale=cpu)"
    return [_limit_time(work, "the same by R", "at most 1.05 times the time", (o, r), 1.05)]


def features(settings: Settings) -> list[BenchmarkRow]:
    """Compare a training step of SAM-FT from epoch 2 on, which reads its trunk's tokens, with computing them."""
    pair = {"ours": sides.prepare_sam_ft_step_from_disk, "computing": sides.prepare_sam_ft_step}
    arguments = {"backbone": settings.backbone, "image_size": settings.image_size}
    read, computing = _measure_pair(pair, arguments, settings.repetitions)
    difference = _relative_error(_join_tensors(read.outputs), _join_tensors(computing.outputs))
    row = _compare_speed(
        f"SAM-FT, training step, features on disk ({settings.name}, float32, from epoch 2 on)",
        "the same, computing the trunk",
        "10 times as fast, the same gradients",
        (read, computing),
        faster=10,
        equal=difference <= 1e-6,
    )
    return [replace(row, difference=difference)]


def prompt_settings(settings: Settings) -> list[BenchmarkRow]:
    """Compare testing under four prompt settings, the trunk's tokens kept on disk, with a single test without."""
    pair = {"ours": runs.prepare_tests_from_disk, "one": runs.prepare_one_test}
    arguments = {"backbone": settings.backbone, "image_size": settings.image_size}
    both = _measure_pair(pair, arguments, settings.repetitions)
    work = f"testing SAC under 4 numbers of expert points ({settings.name}, float32)"
    return [_limit_time(work, "one test", "at most 1.2 times one test", both, 1.2)]


def loading(settings: Settings) -> list[BenchmarkRow]:
    """Compare loading a batch of training windows with a training step, both at scale=cpu."""
    both = _measure_pair({"ours": runs.prepare_batch, "step": runs.prepare_step_r}, {}, settings.repetitions + 4)
    work = "loading a batch (scale=cpu, synthetic), one process"
    return [_compare_speed(work, "a training step", "three times the step's rate", both, faster=3)]


def start_up(settings: Settings) -> list[BenchmarkRow]:
    """Time the slowest command's answer to --help, and to a key that does not exist."""
    rows = []
    for what, argument in (("--help", "--help"), ("a misspelt key", "nonsense=1")):
        slowest = max(
            (median(time_command(name, argument) for _ in range(settings.repetitions)), name)
            for name in list_commands()
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


def list_commands() -> list[str]:
    """Return the names of all commands: each has its own configuration, beside the rows of tables."""
    return sorted(file.stem for file in config_dir().glob("*.yaml") if file.name != ROWS)


def time_command(command: str, argument: str) -> float:
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


def _limit_time(work: str, against: str, target: str, both: tuple[Side, Side], most: float) -> BenchmarkRow:
    """Return the row of a comparison that allows us at most ``most`` times the reference's time."""
    ours, reference = both
    figure = ours.median_seconds / reference.median_seconds
    seconds = ours.median_seconds, reference.median_seconds
    return BenchmarkRow(work, against, target, figure, figure <= most, *seconds)


def _compare_speed(
    work: str, against: str, target: str, both: tuple[Side, Side], faster: float, equal: bool = True
) -> BenchmarkRow:
    """Return the row of a comparison that requires us to be ``faster`` times as fast, with results that agree."""
    ours, reference = both
    figure = reference.median_seconds / ours.median_seconds
    seconds = ours.median_seconds, reference.median_seconds
    return BenchmarkRow(work, against, target, figure, figure >= faster and equal, *seconds)


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
    """Return the row of _compare_speed with memory, difference and least possible time."""
    ours, reference = both
    return replace(
        _compare_speed(work, against, target, both, faster, equal),
        memory=ours.peak_memory_bytes,
        reference_memory=reference.peak_memory_bytes,
        difference=difference,
        least_seconds=least_seconds,
    )


def _count_step_operations(settings: Settings, bfloat16: bool) -> int:
    backbone = Backbone(**dict(settings.backbone) | {"weights": sides.RANDOM})
    cost = count_training_cost(
        lambda: sac(backbone, Prompts(), settings.image_size), settings.image_size, 1, bfloat16
    )
    return cost.operations


def _measure_rate(bfloat16: bool) -> float:
    return measure_matrix_rate(torch.bfloat16 if bfloat16 else torch.float32)


def _join_tensors(tensors: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([tensors[name].flatten() for name in sorted(tensors)])


def _relative_error(result: Tensor, expected: Tensor) -> float:
    """Return the norm of the difference divided by the norm of the expected tensor."""
    return float((result - expected).norm() / expected.norm())
