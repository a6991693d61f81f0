"""From settings to a model, with SAM's weights in it."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from torch import Tensor, nn

from sac_lightning.core.errors import UserError
from sac_lightning.model.foreign.adapters import count_volume_adapters, name_adapters
from sac_lightning.model.foreign.misfit import explain_misfit, explain_more, explain_needed, list_parts
from sac_lightning.model.foreign.names import PARTS
from sac_lightning.model.foreign.sam import SamFile, read_sam
from sac_lightning.model.foreign.sizes import count_blocks
from sac_lightning.model.lora import PARAMETERS
from sac_lightning.model.register import REGISTER
from sac_lightning.model.registered import sha256_of
from sac_lightning.model.segment_any_cell import SAC
from sac_lightning.model.weights import locate

log = logging.getLogger(__name__)

ADDED_PARTS = ("prompt_generator.", "refinement.", "decoder_weight")
"""Beginnings of the names of what SAM does not have and learns from nothing."""


def build_model(settings: Mapping[str, Any]) -> nn.Module:
    """Build the model that settings describe, with random weights.

    Args:
        settings: The configuration's ``model``, resolved.

    Raises:
        UserError: They describe something else.
    """
    # Only some networks can have further heads; core.arguments refuses them for the others.
    settings = {k: v for k, v in settings.items() if k != "name" and (k, v) != ("heads", None)}
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
        UserError: The file belongs to another backbone, holds no SAM, or more than the model; see also read_sam.
    """
    assert isinstance(model, SAC), "only settings of SAC and its relatives name a backbone"
    backbone = settings["backbone"]
    path = locate(backbone["weights"])
    given = read_sam(path)
    load_official_state(model, given.state, path, backbone["name"])
    if given.needed:
        raise UserError(explain_needed(given.needed, path))
    _tell_more(model, given, path)
    registered = REGISTER.get(backbone["weights"])
    verified = registered.sha256 if registered else ""
    base = {"name": str(backbone["weights"]), "sha256": verified or sha256_of(path)}
    model.base = base
    return base


def _tell_more(model: SAC, given: SamFile, path: Path) -> None:
    """Tell what a file held beside SAM, and what became of it."""
    left_out = dict(given.left_out)
    if any(_is_adapter(name) for name in model.state_dict()):
        left_out |= count_volume_adapters(given.state)
        if adapters := sum(_is_adapter(name) for name in name_adapters(given.state)):
            log.warning("%s: took over its adapters (%d tensors)", path, adapters)
    if left_out:
        log.warning("%s: left out %s: no part of SAM", path, list_parts(left_out))


def load_official_state(model: SAC, state: Mapping[str, Tensor], path: Path, backbone: str) -> None:
    """Copy a state dict of segment-anything's ``Sam`` into a model, whatever has been added to the model.

    Args:
        model: Plain, or with LoRA or adapters, whose wrapped layers are called ``base``.
        state: The official tensors by their official names; for a model with adapters, with or without MSA's.
        path: The file that they come from, for the error.
        backbone: Name of the model's backbone, for the error.

    Raises:
        UserError: A tensor is missing or of another shape, or belongs to a part that the model has not.
    """
    matched, own = match_official(model, state, path, backbone), model.state_dict()
    with torch.no_grad():
        for name, tensor in matched.items():
            own[name].copy_(tensor)


def match_official(model: SAC, state: Mapping[str, Tensor], path: Path, backbone: str) -> dict[str, Tensor]:
    """Return a file's tensors by the model's own names. See load_official_state."""
    own = model.state_dict()
    if any(_is_adapter(name) for name in own):
        state = name_adapters(state)
    official = {name.replace(".base.", "."): tensor for name, tensor in own.items()}
    adapted = any(_is_adapter(name) for name in state)
    needed = {name for name in official if not _is_added(name) or (adapted and _is_adapter(name))}
    for name, tensor in official.items():
        if name in needed and (name not in state or state[name].shape != tensor.shape):
            raise UserError(explain_misfit(state, official, path, backbone, name))
    if count_blocks(state) != len(model.image_encoder.blocks):
        raise UserError(explain_misfit(state, official, path, backbone, "image_encoder.blocks"))
    more = [name for name in state if name.startswith(PARTS) and name not in needed]
    if more:
        raise UserError(explain_more(state, more, path))
    return {name: state[given] for name, given in zip(own, official, strict=True) if given in needed}


def _is_added(name: str) -> bool:
    """Return whether a parameter is no part of SAM but an added part's, LoRA's or an adapter's."""
    lora = name.rpartition(".")[2] in PARAMETERS
    return name.startswith(ADDED_PARTS) or _is_adapter(name) or lora


def _is_adapter(name: str) -> bool:
    return "_adapter." in name
