"""The loggers of a run, as they are configured."""

from collections.abc import Mapping
from typing import Any

from hydra.utils import instantiate
from lightning.pytorch.loggers import Logger, WandbLogger
from omegaconf import DictConfig

from sac_lightning.core.errors import UserError


def make_loggers(logger_cfg: DictConfig | None, config: Mapping[str, Any]) -> list[Logger]:
    """Return the configured loggers; that of W&B gets the whole configuration, which must be there at its start.

    Args:
        logger_cfg: Loggers by name, as in ``conf/logger``; those that are null are left out. None: no logger.
        config: The configuration of the run, resolved, as plain dicts and lists.

    Raises:
        UserError: One of them cannot be made, such as where its package is not installed.
    """
    wanted = [logger for logger in (logger_cfg or {}).values() if logger is not None]
    makes = [instantiate(logger, _partial_=True, _convert_="all") for logger in wanted]
    try:
        return [
            make(**_run_arguments(make.keywords, config)) if make.func is WandbLogger else make() for make in makes
        ]
    except (ImportError, TypeError, ValueError) as error:
        raise UserError(f"a logger cannot be made: {error}") from error


def _run_arguments(given: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return W&B's arguments that follow from the configuration."""
    dataset, model = config["data"]["name"], config["model"]
    tags = [
        dataset,
        model.get("backbone", {}).get("name"),
        config.get("scale", {}).get("name"),
        f"seed {config['seed']}",
    ]
    return {
        "config": dict(config),
        "group": given.get("group") or dataset,
        "name": given.get("name") or model["name"],
        "tags": [*(given.get("tags") or ()), *(tag for tag in tags if tag)],
    }
