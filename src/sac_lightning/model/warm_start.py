"""A start from another run's weights (``init=``): what fits is taken over, the rest begins as without it.

Tensors are matched by name and shape, and taken layer by layer, whole or not at all: a normalisation never gets
statistics of one network and scales of another. Only what this run's own checkpoints hold is taken, as what is
frozen is the base weights' and stays theirs. What was learnt stands on base weights: on others it means nothing.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sac_lightning.core.errors import UserError
from sac_lightning.model.checkpoint import PREFIX, kept_names, read_checkpoint
from sac_lightning.model.checkpoint_file import KEY
from sac_lightning.model.lora import PARAMETERS, LoRA
from sac_lightning.model.registered import sha256_of
from sac_lightning.model.summary import part_of

LEAST = 0.01
"""Share of a model's numbers that a start takes over at least; less is a coincidence of names."""


@dataclass(frozen=True)
class WarmStart:
    """What a run takes over from a checkpoint.

    Attributes:
        path: Path of the checkpoint.
        settings: Those of its training.
        taken: The tensors by their names in the model.
        counts: Of each part of the model, how many tensors are taken over, and how many it has.
        unused: Of each part of the checkpoint, how many tensors this model has no use for.
    """

    path: Path
    settings: Mapping[str, Any]
    taken: Mapping[str, Tensor]
    counts: Mapping[str, tuple[int, int]]
    unused: Mapping[str, int]

    @property
    def is_whole(self) -> bool:
        """Whether nothing begins anew."""
        return all(taken == total for taken, total in self.counts.values())

    @torch.no_grad()
    def apply(self, model: nn.Module) -> None:
        """Copy the tensors into the model."""
        own = model.state_dict()
        for name, tensor in self.taken.items():
            own[name].copy_(tensor)

    def provenance(self) -> dict[str, Any]:
        """Return what the record says of it."""
        return {
            "from": str(self.path),
            "sha256": sha256_of(self.path),
            "model": self.settings.get("model", {}).get("name"),
            "dataset": (self.settings.get("data") or {}).get("name"),
            "taken": {part: list(counts) for part, counts in self.counts.items()},
            "unused": dict(self.unused),
        }

    def __str__(self) -> str:
        """Return a line for the console."""
        parts = [f"{part} {taken} of {total}" for part, (taken, total) in self.counts.items()]
        anew = "" if self.is_whole else "; the rest begins anew"
        unused = f"; unused: {', '.join(f'{part} {n}' for part, n in self.unused.items())}" if self.unused else ""
        return f"Starts from {self.path}, tensors taken over: {', '.join(parts)}{anew}{unused}."


def plan_warm_start(path: Path, model: nn.Module, name: str, base: Mapping[str, str] | None) -> WarmStart:
    """Return what a model can take over from a checkpoint.

    Args:
        path: Path of the checkpoint.
        model: The model, its base weights loaded.
        name: Name of the model, for the error.
        base: Result of load_base; None if the model has no base weights.

    Raises:
        UserError: The file is no checkpoint of this package, hardly anything in it fits, or it stands on other
            base weights.
    """
    content = _read(path)
    settings, state = content[KEY]["settings"], _tensors_of(content, path)
    own = model.state_dict()
    kept = {name: own[name] for name in kept_names(model, base)}
    taken = _find_fitting(kept, state, own)
    numbers = sum(kept[tensor].numel() for tensor in taken)
    if numbers < max(1, LEAST * sum(tensor.numel() for tensor in kept.values())):
        theirs = settings.get("model", {}).get("name")
        raise UserError(
            f"{path} holds the weights of {theirs}, of which this run's {name} can use {len(taken)} of "
            f"{len(kept)} tensors: give as init= a checkpoint of a network like it"
        )
    _refuse_other_base(content[KEY].get("base"), base, path)
    return WarmStart(
        path=path,
        settings=settings,
        taken=_rescale_lora(
            {tensor: state[tensor] for tensor in taken}, model, settings.get("model", {}).get("alpha")
        ),
        counts={part: (len(members & taken), len(members)) for part, members in _group(kept, part_of).items()},
        unused={part: len(members) for part, members in _group(state.keys() - taken, part_of).items()},
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_checkpoint(path)
    except UserError as error:
        if not path.is_file():
            raise
        raise UserError(
            f"{path} is not a checkpoint of sac_lightning: give as init= a .ckpt that its train command wrote, "
            "and SAM's weights as backbone.weights="
        ) from error


def _tensors_of(content: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """Return a checkpoint's tensors by their names in the model."""
    state = content.get("state_dict")
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise UserError(f"{path} holds no weights: it is damaged, give another as init=")
    return {str(name).removeprefix(PREFIX): tensor for name, tensor in state.items()}


def _find_fitting(kept: Mapping[str, Tensor], state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> set[str]:
    """Return the names in the layers of which every tensor of the one has its like in the other.

    Args:
        kept: What the model's checkpoints hold.
        state: What the checkpoint holds.
        own: The whole model.
    """
    theirs = _group(state, _layer_of)
    return {
        name
        for layer, members in _group(kept, _layer_of).items()
        if theirs.get(layer, set()) <= own.keys()
        and all(name in state and state[name].shape == own[name].shape for name in members)
        for name in members
    }


def _group(names: Iterable[str], key: Callable[[str], str]) -> dict[str, set[str]]:
    groups: dict[str, set[str]] = defaultdict(set)
    for name in names:
        groups[key(name)].add(name)
    return dict(groups)


def _layer_of(name: str) -> str:
    """Return the module that a tensor is of; of LoRA, the projection: q may fit where k is new."""
    module, _, last = name.rpartition(".")
    return name[: -len("_a")] if last in PARAMETERS else module


def _rescale_lora(taken: dict[str, Tensor], model: nn.Module, alpha: object) -> dict[str, Tensor]:
    """Return tensors in which LoRA's updates are what they were under another alpha."""
    for prefix, layer in model.named_modules():
        if not isinstance(layer, LoRA):
            continue
        for projection in layer.adapted:
            name = f"{prefix}.{projection}_b"
            if name in taken:
                rank = taken[f"{prefix}.{projection}_a"].shape[0]
                scale = alpha / rank if isinstance(alpha, int | float) else 1.0
                if scale != layer.scale:
                    taken[name] = taken[name] * (scale / layer.scale)
    return taken


def _refuse_other_base(theirs: Mapping[str, str] | None, ours: Mapping[str, str] | None, path: Path) -> None:
    """Raise UserError if what was learnt stands on other base weights than this run's."""
    if (theirs or {}).get("sha256") != (ours or {}).get("sha256"):
        names = [base["name"] if base else "none (all is in the checkpoint)" for base in (theirs, ours)]
        raise UserError(
            f"{path} was trained on the base weights {names[0]}, and this run has {names[1]}: what was learnt "
            f"means nothing on others, so set backbone.weights={theirs['name'] if theirs else 'null'}"
        )
