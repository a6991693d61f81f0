"""Checks of a training's arguments that need no torch, whose import takes seconds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sac_lightning.core.configuration import config_dir
from sac_lightning.core.errors import UserError
from sac_lightning.core.heads import refuse_heads
from sac_lightning.core.limits import refuse_image_size, refuse_rank, refuse_test_metric
from sac_lightning.core.masks import read_mask_options
from sac_lightning.core.prompts import Generator, Prompts
from sac_lightning.core.view import View


def refuse_arguments(cfg: DictConfig) -> None:
    """Check the data, the view, the prompts, the callbacks and the model of a training.

    Raises:
        UserError: One of them has a value that no training takes.
    """
    refuse_mask_options(cfg.data)
    view = View(**_resolve_part(cfg.view))
    _build_prompts(cfg.prompts)
    for name, callback in (cfg.callbacks or {}).items():
        if callback is not None:
            refuse_test_metric(str(name), callback.get("monitor"))
    backbone = cfg.model.get("backbone")
    if backbone is not None:
        refuse_image_size(view.image_size, backbone.patch, backbone.name)
    refuse_rank(cfg.model.get("rank"))
    refuse_heads(cfg.model.get("heads"), cfg.model.get("name"))
    weights = cfg.model.get("weights")
    if weights is not None and not Path(weights).is_file():
        raise UserError(f"model.weights={weights} does not exist: give a file that does")


def refuse_mask_options(data: DictConfig | None) -> None:
    """Raise UserError if a data set's options for masks have a value that they cannot have."""
    settings = {} if data is None else _resolve_part(data)
    read_mask_options(*(settings.get(option) for option in ("mask_values", "threshold", "inverted")))


def refuse_overruled(cfg: DictConfig, arguments: Sequence[str]) -> None:
    """Raise UserError if an argument sets what a compared network's own recipe sets after it."""
    recipe = config_dir() / "recipe" / str(cfg.recipe.name) / f"{cfg.model.name}.yaml"
    for argument in arguments:
        if argument.startswith(("loss=", "scheduler=")) and recipe.is_file():
            raise UserError(
                f"{argument} has no effect with recipe=own, as {cfg.model.name} brings its own: add recipe=shared"
            )


def _build_prompts(cfg: DictConfig) -> Prompts:
    """Build the prompt settings, which check themselves."""
    settings = _resolve_part(cfg)
    return Prompts(**settings | {"generator": Generator(**settings["generator"])})


def _resolve_part(cfg: DictConfig) -> dict[str, Any]:
    """Return a part of the configuration as plain arguments."""
    settings: Any = OmegaConf.to_container(cfg, resolve=True)
    return _drop_targets(settings)


def _drop_targets(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _drop_targets(value) if isinstance(value, Mapping) else value
        for key, value in settings.items()
        if key != "_target_"
    }
