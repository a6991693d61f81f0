"""Finding SAM among the tensors of a file, whatever stands before its names.

A file may hold SAM in entries of entries (``model``, ``state_dict``, ``model_state``), as a part of something else
(``sam.``, ``net.``), and wrapped for training (``module.``, ``_orig_mod.``). All of it becomes one dotted name,
and SAM's own begins at the first of its parts.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sac_lightning.core.errors import UserError

PARTS = ("image_encoder.", "prompt_encoder.", "mask_decoder.")
# What DistributedDataParallel, torch.compile, FSDP and activation checkpointing put before the names inside them.
WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
OPTIMIZER = "optim"

_FIRST_PART = re.compile(
    r"(?:^|\.)(?P<own>(?:image_encoder|prompt_encoder|mask_decoder)\..+"
    r"|(?:vision_encoder|shared_image_embedding)\..+"  # transformers
    r"|(?:w|sa|cti|cit)_[ab]_\d{3}|fati_[qv][ab])$"  # SAMed
)
# What stands in the names of LoRA and of adapters, in whichever project.
_TRAINED_WITH = re.compile(r"adapter|(?:^|[._])(?:lora|linear_[ab]_|w_[ab]s?(?:$|[._]))", re.IGNORECASE)


@dataclass(frozen=True)
class FoundTensors:
    """What a file holds of SAM, by names that begin with its parts, and what it holds beside it.

    Attributes:
        state: Tensors by name.
        others: Names of all other tensors.
        beside: Number of these by what they are of, but for the next.
        needed: Number of those of LoRA and adapters, likewise: without them SAM is not what was trained.
    """

    state: dict[str, Tensor]
    others: list[str]
    beside: dict[str, int]
    needed: dict[str, int]


def find_sam(content: Any, path: Path) -> FoundTensors:
    """Return the tensors of SAM in what a file holds.

    Args:
        content: See tensor_file.read_content.
        path: The file, for the errors.

    Raises:
        UserError: It holds two different SAMs, or something else where a tensor of SAM should be.
    """
    state: dict[str, Tensor] = {}
    places: dict[str, str] = {}
    others: list[str] = []
    for name, value in _flatten(content):
        match = _FIRST_PART.search(name)
        if match is None:
            if isinstance(value, Tensor):
                others.append(name)
            continue
        own = match["own"]
        if not isinstance(value, Tensor):
            raise UserError(
                f"{path} holds a {type(value).__name__} in place of the tensor {own}, which cannot be read "
                "without running code: save the state dict of plain tensors"
            )
        if own in state and not _equal(state[own], value):
            raise UserError(
                f"{path} holds two different SAMs, below {places[own] or 'no name'} and {name.removesuffix(own)}: "
                "save the one you mean as a file of its own"
            )
        state[own], places[own] = value, name.removesuffix(own)
    needed = [name for name in others if _is_trained_with(name)] if state else []
    beside = [name for name in others if name not in needed]
    counts = (_count_others(names, Counter(places.values())) for names in (beside, needed))
    return FoundTensors(state, others, *counts)


def _flatten(content: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Return everything in nested dicts and lists by its dotted name, without the names of wrappers."""
    if isinstance(content, list | tuple) and not _FIRST_PART.search(above.removesuffix(".")):
        content = dict(enumerate(content))
    if not isinstance(content, Mapping):
        if above:
            yield above.removesuffix("."), content
        return
    for key, value in content.items():
        parts = [part for part in str(key).split(".") if part not in WRAPPERS]
        below = above + "".join(f"{part}." for part in parts)
        if str(key).startswith(OPTIMIZER):  # Its moments are named as what they are of.
            yield from ((f"{below}{number}", tensor) for number, tensor in enumerate(_find_tensors(value)))
        else:
            yield from _flatten(value, below)


def _is_trained_with(name: str) -> bool:
    """Return whether a tensor beside SAM is of LoRA or an adapter; an optimiser's moments are none."""
    return _TRAINED_WITH.search(name) is not None and not any(
        part.startswith(OPTIMIZER) for part in name.split(".")
    )


def _find_tensors(content: Any) -> Iterator[Tensor]:
    if isinstance(content, Tensor):
        yield content
    elif isinstance(content, Mapping):
        for value in content.values():
            yield from _find_tensors(value)
    elif isinstance(content, list | tuple):
        for value in content:
            yield from _find_tensors(value)


def _equal(first: Tensor, second: Tensor) -> bool:
    return first.shape == second.shape and first.dtype == second.dtype and torch.equal(first, second)


def _count_others(names: list[str], places: Counter[str]) -> dict[str, int]:
    """Return how many names there are of each thing beside SAM: below SAM's place, the first part that differs."""
    place = next(iter(places.most_common(1)), ("", 0))[0].split(".")
    counts: Counter[str] = Counter()
    for name in names:
        parts = name.split(".")
        shared = 0
        while shared < min(len(parts) - 1, len(place)) and parts[shared] == place[shared]:
            shared += 1
        counts[parts[shared]] += 1
    return dict(counts)
