"""Why the tensors of a file do not make the SAM that was asked for, in one sentence."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

from sac_lightning.model.foreign.adapters import ADAPTERS, FOR_VOLUMES
from sac_lightning.model.foreign.names import PARTS
from sac_lightning.model.foreign.sizes import UNKNOWN, read_sizes

# What other architectures call theirs.
OTHERS = (
    (r"image_encoder\.trunk\.|sam_mask_decoder|memory_attention|vision_encoder\.backbone\.", "SAM 2"),
    (r"(^|\.)vision_backbone\.", "SAM 3"),
    (r"image_encoder\.(layers\.\d+\.|patch_embed\.seq\.)", "MobileSAM's encoder (TinyViT)"),
)
WHOLE = (
    "give the weights of a whole SAM, or complete them with python -m sac_lightning.prepare weights={} base=vit_b"
)


def explain_absence(names: Iterable[str], beside: Mapping[str, int], path: Path) -> str:
    """Return the sentence for a file that holds no SAM.

    Args:
        names: Of its tensors.
        beside: Number of those that are none of SAM's, by name.
        path: The file.
    """
    for pattern, architecture in OTHERS:
        if any(re.search(pattern, name) for name in names):
            return (
                f"{path} holds no SAM weights but {architecture}, which is another architecture: choose the "
                "weights of a SAM, such as backbone=vit_b"
            )
    held = f" but {list_parts(beside)}" if beside else ""
    return f"{path} holds no SAM weights{held}: give a state dict in segment-anything's format"


def explain_misfit(
    state: Mapping[str, Tensor], own: Mapping[str, Tensor], path: Path, backbone: str, misfit: str
) -> str:
    """Return the sentence for a file whose SAM lacks a tensor, or has another shape of it.

    Args:
        state: The file's tensors by their official names.
        own: The model's.
        path: The file.
        backbone: Name of the model's backbone.
        misfit: Name of the tensor.
    """
    if not any(name.startswith(PARTS) for name in state):
        return explain_absence(state, {}, path)
    found, asked = read_sizes(state), read_sizes(own)
    more = [name for name in state if name.startswith(PARTS) and name not in own]
    if not misfit.startswith("image_encoder."):
        if misfit not in state:
            return _explain_wrapped(more, own, path) or f"{path} holds no {misfit}: {WHOLE.format(path)}"
        given, needed = tuple(state[misfit].shape), tuple(own[misfit].shape)
        classes = ", as it gives four masks, not one per class" if "mask_tokens" in misfit else ""
        return f"{path} holds {misfit} of shape {given} and SAM's is {needed}{classes}: give weights of SAM's form"
    if not any(name.startswith("image_encoder.") for name in state):
        return f"{path} holds no image encoder: {WHOLE.format(path)}"
    if found is None or asked is None:
        return explain_absence(state, {}, path)
    held = (
        f"{path} holds an image encoder of {found.depth} blocks, {found.dim} channels and "
        f"{found.native_size // found.patch}x{found.native_size // found.patch} positions"
    )
    if (found.depth, found.dim) != (asked.depth, asked.dim):
        if found.name == UNKNOWN:
            return f"{held}, which is not {backbone}: choose the backbone that the weights belong to"
        return f"{held}, which is {found.name} and not {backbone}: add backbone={found.name}"
    if found.native_size != asked.native_size:
        return (
            f"{held}, made for images of {found.native_size} px, and {backbone} is set to {asked.native_size}: "
            f"add backbone.native_size={found.native_size}"
        )
    if misfit not in state and (wrapped := _explain_wrapped(more, own, path)) is not None:
        return wrapped
    there = tuple(state[misfit].shape) if misfit in state else "missing"
    return (
        f"{held}, but its {misfit} is {there} instead of {tuple(own[misfit].shape)}, so it is not {backbone}: "
        "choose the backbone that the weights belong to"
    )


def _explain_wrapped(more: list[str], own: Iterable[str], path: Path) -> str | None:
    """Return the sentence for a file that lacks a layer, as something that the model has not stands around it."""
    if not more:
        return None
    parts = list_parts(count_parts(more, own))
    return (
        f"{path} holds SAM with parts around its layers that this model has not, {parts}: merge them where the "
        "file was written (merge_and_unload() of peft), and save the state dict"
    )


def explain_more(state: Mapping[str, Tensor], more: Iterable[str], path: Path) -> str:
    """Return the sentence for a file whose SAM has parts that the model has not.

    Args:
        state: The file's tensors by their official names.
        more: Names of those that the model lacks.
        path: The file.
    """
    parts = count_parts(more, state.keys() - set(more))
    return explain_needed(
        parts,
        path,
        parts.keys() <= {*ADAPTERS, FOR_VOLUMES} and not any(name.startswith("mask_decoder.") for name in more),
    )


def explain_needed(parts: Mapping[str, int], path: Path, ours: bool = False) -> str:
    """Return the sentence for a file with parts that SAM was trained with.

    Args:
        parts: Number of their tensors by name.
        path: The file.
        ours: Whether model=msa has them.
    """
    remedy = f"python -m sac_lightning.prepare weights={path} leaves them out"
    if ours:
        remedy = f"choose model=msa, which has them, or {remedy}"
    return (
        f"{path} holds more than this model, {list_parts(parts)}, and without them SAM is not what was trained: "
        f"{remedy}"
    )


def count_parts(more: Iterable[str], known: Iterable[str]) -> dict[str, int]:
    """Return how many tensors each part has that stands inside of a network that is known but for it."""
    modules = {name[: dot.start()] for name in known for dot in re.finditer(r"\.", name)}
    counts: Counter[str] = Counter()
    for name in more:
        parts = name.split(".")
        unknown = (part for end, part in enumerate(parts[:-1], 1) if ".".join(parts[:end]) not in modules)
        counts[next(unknown, parts[-1])] += 1
    return dict(counts)


def list_parts(parts: Mapping[str, int]) -> str:
    """Return parts with their numbers of tensors, as in "decoder_state (42 tensors)"."""
    return ", ".join(f"{name} ({count} tensor{'' if count == 1 else 's'})" for name, count in parts.items())
