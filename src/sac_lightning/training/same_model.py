"""Whether a checkpoint that a training goes on from is of its very model and optimiser.

The configurations agree by then (training.changes); the code, or the contents of a file of weights, may not.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from sac_lightning.core.errors import UserError
from sac_lightning.model.checkpoint import PREFIX, load_trained_state
from sac_lightning.model.checkpoint_file import KEY
from sac_lightning.training.resuming import Start
from sac_lightning.training.task import SegmentationTask


def refuse_other_model(start: Start, task: SegmentationTask) -> None:
    """Raise UserError if the checkpoint to go on from is not of a task's very model and optimiser."""
    theirs, ours = start.content[KEY].get("base"), task.base
    if (theirs or {}).get("sha256") != (ours or {}).get("sha256"):
        names = [base["name"] if base else "none" for base in (theirs, ours)]
        raise UserError(
            f"{start.path} was trained on the base weights {names[0]}, and this run has {names[1]}: their "
            "contents differ, so give the former as backbone.weights"
        )
    state = {name.removeprefix(PREFIX): tensor for name, tensor in start.content["state_dict"].items()}
    load_trained_state(task.model, state, start.path, whole=ours is None)
    _refuse_other_optimizer(task, start.content["optimizer_states"], start.path)


def _refuse_other_optimizer(task: SegmentationTask, states: list[dict[str, Any]], path: Path) -> None:
    """Raise UserError if the state of a checkpoint's optimiser is not what this run's needs."""
    ours = task.make_optimizer(task.parameter_groups())
    sizes = [
        [len(group["params"]) for group in groups] for groups in (states[0]["param_groups"], ours.param_groups)
    ]
    kept = next(iter(states[0]["state"].values()), None)
    lacking = [] if kept is None else sorted(_state_keys(task) - kept.keys())
    if sizes[0] != sizes[1] or lacking:
        what = f"no {lacking[0]}" if lacking else f"groups of {sizes[0]} parameters instead of {sizes[1]}"
        raise UserError(
            f"{path} holds the state of another optimiser ({what}): give this run the optimiser that it was "
            "trained with, or give the file as init= instead of resume="
        )


def _state_keys(task: SegmentationTask) -> set[str]:
    """Return the names of what a task's optimiser keeps of each parameter."""
    probe = nn.Parameter(torch.zeros(1, 1))
    probe.grad = torch.zeros(1, 1)
    optimizer = task.make_optimizer([probe])
    optimizer.step()
    return set(optimizer.state[probe])
