"""What of a training's arguments can be refused before torch has been imported, which takes seconds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sac_lightning.core.errors import UserError
from sac_lightning.core.limits import refuse_image_size, refuse_rank, refuse_test_metric
from sac_lightning.core.prompts import Generator, Prompts
from sac_lightning.core.view import View


def refuse_arguments(cfg: DictConfig) -> None:
    """Looks at the view, the prompts, the callbacks and the model of a training.

    Raises:
        UserError: One of them has a value that no training takes.
    """
    view = View(**_resolve_part(cfg.view))
    _prompts(cfg.prompts)
    for name, callback in (cfg.callbacks or {}).items():
        refuse_test_metric(str(name), callback.get("monitor"))
    backbone = cfg.model.get("backbone")
    if backbone is not None:
        refuse_image_size(view.image_size, backbone.patch, backbone.name)
    refuse_rank(cfg.model.get("rank"))
    weights = cfg.model.get("weights")
    if weights is not None and not Path(weights).is_file():
        raise UserError(f"model.weights={weights} does not exist: give a file that does")


def _prompts(cfg: DictConfig) -> Prompts:
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
