"""A scheduler of any kind, told what it needs to know of the training, as Lightning takes it."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from sac_lightning.core.errors import UserError

WATCHED = "val/dice"
"""What a scheduler watches that waits for a plateau; the higher, the better."""


def make_scheduler(
    make: Callable[..., LRScheduler], optimizer: Optimizer, steps: int, factors: Sequence[float]
) -> dict[str, Any]:
    """Make a scheduler, in the form in which Lightning takes it.

    A schedule over the whole training (with ``total_steps``, or a cosine's ``T_max``) is told its length and steps
    once per batch. Any other, such as StepLR, counts epochs, as torch's documentation does.

    Args:
        make: The optimiser and further arguments to the scheduler.
        optimizer: With the learning rates of its groups.
        steps: Of the whole training.
        factors: By which each group's learning rate differs from the configured one.

    Raises:
        UserError: It does not take what it was given, or waits for a plateau of the lowest value where the highest
            is the best.
    """
    given = getattr(make, "keywords", {})
    kind = getattr(make, "func", make)
    known = inspect.signature(kind).parameters
    _refuse_unknown(given, known, kind.__name__)
    if kind is ReduceLROnPlateau:
        if given.get("mode", "max") != "max":
            raise UserError(f"scheduler.mode is {given['mode']}: it watches {WATCHED}, so choose max")
        return {"scheduler": make(optimizer, mode="max"), "interval": "epoch", "monitor": WATCHED}
    if "total_steps" in known:
        return {"scheduler": make(optimizer, **_length(given, steps, factors)), "interval": "step"}
    if "T_max" in known and "T_max" not in given:
        return {"scheduler": make(optimizer, T_max=steps), "interval": "step"}
    return {"scheduler": make(optimizer), "interval": "epoch"}


def _refuse_unknown(given: Mapping[str, Any], known: Mapping[str, inspect.Parameter], name: str) -> None:
    """Raise UserError for arguments that a scheduler does not have, such as those of the one it replaces."""
    unknown = given.keys() - known.keys()
    if unknown and not any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        raise UserError(
            f"scheduler: {name} takes no {', '.join(sorted(unknown))}: replace the one that is configured, by "
            "~scheduler '+scheduler={_target_: ..., _partial_: true}'"
        )


def _length(given: Mapping[str, Any], steps: int, factors: Sequence[float]) -> dict[str, Any]:
    """Return a schedule's arguments: its steps and, for one cycle, which sets the rates, each group's peak."""
    if "max_lr" not in given:
        return {"total_steps": steps}
    if given.get("pct_start", 0) * steps == 1:
        steps += 1  # torch divides by zero where the warm-up is exactly one step.
    return {"total_steps": steps, "max_lr": [given["max_lr"] * factor for factor in factors]}
