"""From settings to a model, with SAM's weights in it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from torch import Tensor, nn

from sac_lightning.core.errors import UserError
from sac_lightning.model.lora import PARAMETERS
from sac_lightning.model.segment_any_cell import SAC
from sac_lightning.model.weights import WEIGHTS, locate, read_weights, sha256_of


def build_model(settings: Mapping[str, Any]) -> nn.Module:
    """Build the model that settings describe, with random weights.

    Args:
        settings: The configuration's ``model``, resolved.

    Raises:
        UserError: They describe something else.
    """
    settings = {key: value for key, value in settings.items() if key != "name"}
    model = instantiate(settings, _convert_="all")
    if not isinstance(model, nn.Module):
        raise UserError(f"model is a {type(model).__name__}: name a torch.nn.Module in model._target_")
    return model


def initialise_positions(model: SAC) -> None:
    """Give the absolute positions a random start, as ViT's, if no weights will replace them."""
    positions = model.image_encoder.pos_embed
    if positions.requires_grad:
        nn.init.trunc_normal_(positions, std=0.02)


def base_weights(settings: Mapping[str, Any]) -> str | None:
    """Return the name or path of the pre-trained weights that a model's settings ask for, if any."""
    backbone = settings.get("backbone")
    return backbone["weights"] if backbone else None


def load_base(model: nn.Module, settings: Mapping[str, Any]) -> dict[str, str]:
    """Load SAM's weights into image encoder, prompt encoder and mask decoder, and note them in ``model.base``.

    Args:
        model: A model that build_model made from these settings.
        settings: The settings, which name the backbone and its weights.

    Returns:
        ``name`` of the weights and ``sha256`` of their file, which checkpoints and records carry.

    Raises:
        UserError: The file belongs to another backbone, or holds no SAM at all.
    """
    assert isinstance(model, SAC), "only settings of SAC and its relatives name a backbone"
    backbone = settings["backbone"]
    path = locate(backbone["weights"])
    load_official_state(model, read_weights(path), path, backbone["name"])
    registered = WEIGHTS.get(backbone["weights"])
    base = {"name": str(backbone["weights"]), "sha256": registered.sha256 if registered else sha256_of(path)}
    model.base = base
    return base


def load_official_state(model: SAC, state: Mapping[str, Tensor], path: Path, backbone: str) -> None:
    """Copy a state dict of segment-anything's ``Sam`` into a model, whatever has been added to the model.

    Args:
        model: Plain, or with LoRA or adapters, whose wrapped layers are called ``base``.
        state: The official tensors by their official names.
        path: The file that they come from, for the error.
        backbone: Name of the model's backbone, for the error.

    Raises:
        UserError: A tensor is missing or of another shape.
    """
    own = model.state_dict()
    official = {name: name.replace(".base.", ".") for name in own}
    for name, tensor in own.items():
        if _is_added(name):
            continue
        given = state.get(official[name])
        if given is None or given.shape != tensor.shape:
            raise UserError(_mismatch(state, path, backbone, official[name]))
    depth = sum(name.endswith("attn.rel_pos_h") for name in state)
    if depth != len(model.image_encoder.blocks):
        raise UserError(_mismatch(state, path, backbone, "image_encoder.blocks"))
    with torch.no_grad():
        for name, tensor in own.items():
            if not _is_added(name):
                tensor.copy_(state[official[name]])


def _is_added(name: str) -> bool:
    """Return whether a parameter is no part of SAM but of the generator, LoRA or an adapter."""
    lora = name.rpartition(".")[2] in PARAMETERS
    return name.startswith("prompt_generator.") or "_adapter." in name or lora


def _mismatch(state: Mapping[str, Tensor], path: Path, backbone: str, misfit: str) -> str:
    positions = state.get("image_encoder.pos_embed")
    if positions is None:
        return f"{path} holds no SAM weights: give a state dict in segment-anything's format"
    if not misfit.startswith("image_encoder."):
        return f"{path} holds no {misfit}, or one of another shape: give the weights of a whole SAM"
    dim, grid = positions.shape[-1], positions.shape[1]
    depth = sum(name.endswith("attn.rel_pos_h") for name in state)
    return (
        f"{path} holds an image encoder of {depth} blocks, {dim} channels and {grid}x{grid} positions, which is "
        f"not {backbone}: choose the backbone that the weights belong to"
    )
