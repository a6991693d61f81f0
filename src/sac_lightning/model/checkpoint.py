"""Checkpoints: the trained tensors, the settings that rebuild the model, and the base weights it belongs to.

A checkpoint is Lightning's, cut down: ``state_dict`` holds the trained parameters and the buffers beside them
(everything if there are no base weights); ``sac_lightning`` holds the settings and, once tuned, the thresholds
that separate nuclei. Nothing in it is run (see checkpoint_file), and a ``_target_`` in its settings counts only if
this package's own configuration holds the same one, or if its package is trusted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sac_lightning.core.errors import UserError
from sac_lightning.core.names import translate_names
from sac_lightning.core.scale import Scale, read_scale
from sac_lightning.model.build import base_weights, build_model, load_base
from sac_lightning.model.checkpoint_file import KEY, read_without_running
from sac_lightning.model.trust import name_foreign_targets, refuse_foreign_targets, refuse_hidden_calls

PREFIX = "model."
THRESHOLDS = "instances"
"""Key, beside the settings, of the thresholds that separate nuclei."""
SCALE = "scale"
"""Key, beside the settings, of the size of pixels and nuclei of the training, see core.scale.Scale."""


@dataclass
class Loaded:
    """A model loaded from a checkpoint.

    Attributes:
        model: In eval mode.
        settings: ``model``, ``view``, ``data`` and ``seed`` of its training.
        base: ``name`` and ``sha256`` of its base weights, None if it has none.
        thresholds: Thresholds that separate nuclei, by method, see inference.thresholds; empty before tuning.
        scale: The size of pixels and nuclei of its training.
    """

    model: nn.Module
    settings: dict[str, Any]
    base: dict[str, str] | None
    thresholds: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    scale: Scale = field(default_factory=Scale)


def kept_names(model: nn.Module, base: Mapping[str, str] | None) -> list[str]:
    """Return the names of the part of a model's state dict that a checkpoint keeps.

    Args:
        model: The model.
        base: Result of load_base. With None everything is kept, as there is no file to take the rest from.
    """
    kept = model.state_dict().keys() if base is None else _trained_names(model)
    return [name for name in model.state_dict() if name in kept]


def _trained_names(model: nn.Module) -> set[str]:
    """Return the names of the trained parameters and of the buffers beside them."""
    kept = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    for prefix, module in model.named_modules():
        if any(parameter.requires_grad for parameter in module.parameters(recurse=False)):
            kept |= {f"{prefix}.{name}" for name, _ in module.named_buffers(recurse=False)}
    return kept & model.state_dict().keys()


def load_trained_state(model: nn.Module, state: Mapping[str, Tensor], path: Path, whole: bool = False) -> None:
    """Copy a checkpoint's tensors into a model.

    Args:
        model: The model.
        state: The tensors by name.
        path: Path of the checkpoint, for error messages.
        whole: Whether the state must hold the frozen tensors too, as there are no base weights to take them from.

    Raises:
        UserError: A tensor is missing, has another shape, or does not belong to the model.
    """
    own = model.state_dict()
    expected = own.keys() if whole else _trained_names(model)
    for name in sorted(expected | state.keys()):
        if name not in state:
            raise UserError(
                f"{path} lacks {name}, which this model needs: load it with the settings it was trained with"
            )
        if name not in own or own[name].shape != state[name].shape:
            raise UserError(
                f"{path} holds {name}, which does not fit this model: it is a checkpoint of another model"
            )
    with torch.no_grad():
        for name, tensor in state.items():
            own[name].copy_(tensor)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint's content without running any code in it.

    Raises:
        UserError: The file is missing, cannot be read, or is not a checkpoint of this package.
    """
    content = read_without_running(path)
    if not isinstance(content, dict) or KEY not in content:
        raise UserError(f"{path} is not a checkpoint of sac_lightning: give a .ckpt that its train command wrote")
    content[KEY] = translate_names(content[KEY])
    return content


def load_checkpoint(
    path: Path,
    prompts: Mapping[str, Any] | None = None,
    weights: str | None = None,
    trusted: Sequence[str] = (),
) -> Loaded:
    """Build and load the model of a checkpoint from the file alone (and its base weights, if it has any).

    Args:
        path: Path of the checkpoint.
        prompts: Prompt settings that replace those of the training, such as ``{"experts": 3}``.
        weights: Name or path of the base weights. Default: as in training.
        trusted: Packages whose code the checkpoint may name, see trust.refuse_foreign_targets.

    Raises:
        UserError: See read_checkpoint and trust.refuse_foreign_targets. Or the base weights are not those it
            belongs to, or the prompts ask for automatic points and the model was trained without a prompt
            generator.
    """
    content = read_checkpoint(path)
    settings, base = content[KEY]["settings"], content[KEY]["base"]
    refuse_hidden_calls(settings["data"], path)  # A model is loaded without the code of its data set.
    refuse_foreign_targets({key: part for key, part in settings.items() if key != "data"}, path, trusted)
    if called := name_foreign_targets(settings["model"]):
        print(f"{path} is trusted to call {', '.join(called)}.")
    _refuse_own_network(settings["model"], path)
    model_settings = settings["model"]
    state = {name.removeprefix(PREFIX): tensor for name, tensor in content["state_dict"].items()}
    if prompts:
        _replace_prompts(model_settings, prompts, state, path)
    if weights is not None and base_weights(model_settings) is not None:
        model_settings["backbone"]["weights"] = weights
    model = build_model(model_settings)
    if base is not None:
        found = load_base(model, model_settings)
        if found["sha256"] != base["sha256"]:
            raise UserError(
                f"{path} belongs to the base weights {base['name']} (SHA-256 {base['sha256'][:12]}...), not to "
                f"{found['name']} ({found['sha256'][:12]}...): give the file with the first hash as weights="
            )
    load_trained_state(model, state, path, whole=base is None)
    return Loaded(
        model.eval(), settings, base, content[KEY].get(THRESHOLDS, {}), read_scale(content[KEY].get(SCALE), path)
    )


def _replace_prompts(
    model_settings: dict[str, Any], prompts: Mapping[str, Any], state: dict[str, Tensor], path: Path
) -> None:
    if "prompts" not in model_settings:
        raise UserError(
            f"{path} is a checkpoint of {model_settings['name']}, which takes no prompts: leave prompts out"
        )
    model_settings["prompts"].update(prompts)
    has_generator = any(name.startswith("prompt_generator.") for name in state)
    wants_generator = model_settings["prompts"]["points"] > 0
    if wants_generator and not has_generator:
        raise UserError(
            f"{path} was trained without a prompt generator: set prompts.points=0, or train with points"
        )
    if has_generator and not wants_generator:
        for name in [name for name in state if name.startswith("prompt_generator.")]:
            del state[name]


def _refuse_own_network(model_settings: Mapping[str, Any], path: Path) -> None:
    """Raise UserError if a checkpoint is of a network that this package did not make."""
    if "_target_" not in model_settings:
        raise UserError(
            f"{path} holds the weights of one's own network {model_settings['name']}, which only its own code can "
            f"build: make SegmentationTask({model_settings['name']}(...)) and give the file as ckpt_path to "
            "Trainer.test or Trainer.fit"
        )
