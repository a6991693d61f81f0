"""``benchmark plan=true``: the cost of training SAC as in the paper, by backbone, image size and batch size.

Operations and kept bytes are counted in a pass without numbers (cost.py). Time is predicted from these operations
and the rate of a step that is actually run; running another step shows how accurate time and memory are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from sac_lightning.benchmarking import sides
from sac_lightning.benchmarking.cost import count_training_cost
from sac_lightning.benchmarking.rate import measure_matrix_rate
from sac_lightning.benchmarking.side import Side, measure
from sac_lightning.model.image_encoder import Backbone
from sac_lightning.model.methods import Prompts, sac

# Memory of a process that has imported everything and computed something small.
PROCESS_BYTES = 750 * 2**20
# The backward pass needs more than the kept tensors: gradients of a block's tokens, 12 times as wide as a token.
PASSING = 12
# Limits on the time and memory of a step that is actually run.
CHECK_SECONDS = 20.0
CHECK_BYTES = 8 * 2**30


@dataclass(frozen=True)
class Plan:
    """The cost of training one model with one batch size.

    Attributes:
        backbone: Name of the backbone.
        image_size: Side of the input in pixels.
        batch_size: Images per step.
        parameters: Number of all parameters.
        trained: Number of parameters that train.
        operations: Floating-point operations of a step, per image.
        memory: Predicted peak bytes of the process on a CPU, including Adam's two moments.
        gpu_memory: Predicted bytes of tensors on a GPU, where attention keeps wider tensors (not checked here).
        seconds_per_image: Predicted seconds per image on this machine.
    """

    backbone: str
    image_size: int
    batch_size: int
    parameters: int
    trained: int
    operations: int
    memory: int
    gpu_memory: int
    seconds_per_image: float


@dataclass(frozen=True)
class PlanCheck:
    """The prediction for a step that was run, and its measurement."""

    backbone: str
    image_size: int
    predicted_seconds: float
    seconds: float
    predicted_memory: int
    memory: int


def make_plans(
    backbones: Sequence[Mapping[str, Any]], image_sizes: Sequence[int], batch_sizes: Sequence[int], bfloat16: bool
) -> tuple[list[Plan], PlanCheck | None]:
    """Return a plan for each backbone, image size and batch size, and the check of the prediction.

    The check is None if fewer than two steps are short enough to run.

    Args:
        backbones: Sizes of image encoders, as in conf/backbone.
        image_sizes: Sides of the input in pixels.
        batch_sizes: Images per step.
        bfloat16: Whether to use autocast, as with precision bf16-mixed.
    """
    costs = {
        (index, size): _count_cost(backbone, size, bfloat16)
        for index, backbone in enumerate(backbones)
        for size in image_sizes
    }
    by_operations = sorted(costs, key=lambda key: costs[key].operations)
    at_best = measure_matrix_rate(torch.bfloat16 if bfloat16 else torch.float32)
    short = [key for key in by_operations if _is_short(backbones[key[0]], key[1], costs[key], at_best, bfloat16)]
    # Take the rate from the second longest of the short steps, as small costs do not count there; the longest is
    # for the check.
    index, size = short[-2] if len(short) > 1 else by_operations[0]
    rate = costs[index, size].operations / _run_step(backbones[index], size, bfloat16).median_seconds
    made = [
        _make_plan(backbones[index], size, batch_size, cost, rate, bfloat16)
        for (index, size), cost in costs.items()
        for batch_size in batch_sizes
    ]
    if len(short) < 2:
        return made, None
    index, size = short[-1]
    return made, _check_prediction(backbones[index], size, costs[index, size], rate, bfloat16)


@dataclass(frozen=True)
class _Cost:
    """The cost of a step: operations and kept bytes per image; the rest does not depend on the batch size."""

    operations: int
    parameters: int
    trained: int
    kept: int
    kept_once: int  # Under autocast, the frozen weights in bfloat16.


def _count_cost(backbone: Mapping[str, Any], image_size: int, bfloat16: bool) -> _Cost:
    sizes = Backbone(**dict(backbone) | {"weights": sides.RANDOM})
    one, two = (
        count_training_cost(lambda: sac(sizes, Prompts(), image_size), image_size, batch, bfloat16)
        for batch in (1, 2)
    )
    per_image = two.kept - one.kept
    return _Cost(one.operations, one.parameters, one.trained, per_image, one.kept - per_image)


def _make_plan(
    backbone: Mapping[str, Any], size: int, batch_size: int, cost: _Cost, rate: float, bfloat16: bool
) -> Plan:
    step = _predict_step_memory(backbone, size, batch_size, cost, bfloat16)
    wider = _count_wider_attention(backbone, size, bfloat16) * batch_size
    return Plan(
        backbone=str(backbone["name"]),
        image_size=size,
        batch_size=batch_size,
        parameters=cost.parameters // 4,
        trained=cost.trained // 4,
        operations=cost.operations,
        memory=step + 2 * cost.trained,
        gpu_memory=step + 2 * cost.trained - PROCESS_BYTES + wider,
        seconds_per_image=cost.operations / rate,
    )


def _predict_step_memory(
    backbone: Mapping[str, Any], size: int, batch_size: int, cost: _Cost, bfloat16: bool
) -> int:
    """Predict the peak bytes of a process that runs a training step, forward and backward but no optimiser."""
    tokens = (size // int(backbone["patch"])) ** 2
    passing = PASSING * tokens * int(backbone["dim"]) * (2 if bfloat16 else 4)
    once = PROCESS_BYTES + cost.parameters + cost.trained + cost.kept_once
    return once + batch_size * (cost.kept + passing)


def _count_wider_attention(backbone: Mapping[str, Any], size: int, bfloat16: bool) -> int:
    """Return the bytes per image that torch's fused attention keeps in addition to ours on a CPU.

    Ours is in model/attention.py. The fused one keeps queries, keys, values and outputs as wide as channels and
    biases together, instead of channels alone.
    """
    side = size // backbone["patch"]
    heads, window = backbone["heads"], backbone["window"]
    total = 0
    for block in range(backbone["depth"]):
        width = side if block in backbone["global_blocks"] else window
        padded = side + -side % width
        total += 4 * padded**2 * heads * 2 * width
    return total * (2 if bfloat16 else 4)


def _is_short(backbone: Mapping[str, Any], size: int, cost: _Cost, rate: float, bfloat16: bool) -> bool:
    """Return whether a step is short and small enough to run here."""
    memory = _predict_step_memory(backbone, size, 1, cost, bfloat16)
    return cost.operations / rate < CHECK_SECONDS and memory < CHECK_BYTES


def _check_prediction(
    backbone: Mapping[str, Any], size: int, cost: _Cost, rate: float, bfloat16: bool
) -> PlanCheck:
    side = _run_step(backbone, size, bfloat16)
    return PlanCheck(
        backbone=str(backbone["name"]),
        image_size=size,
        predicted_seconds=cost.operations / rate,
        seconds=side.median_seconds,
        predicted_memory=_predict_step_memory(backbone, size, 1, cost, bfloat16),
        memory=side.peak_memory_bytes,
    )


def _run_step(backbone: Mapping[str, Any], size: int, bfloat16: bool) -> Side:
    """Measure a training step with one image: two runs, after a warm-up."""
    arguments = {"backbone": backbone, "image_size": size, "bfloat16": bfloat16}
    return measure({"ours": sides.prepare_step}, arguments, 2)["ours"]
