"""What Hydra says of a wrong argument in a page, as one sentence that ends with what to type instead."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sac_lightning.core.configuration import compose_config
from sac_lightning.core.errors import UserError
from sac_lightning.core.texts import quote

# Launchers of Hydra that are extras of this package.
LAUNCHER_EXTRAS = {"hydra/launcher/submitit_slurm": "slurm", "hydra/launcher/ray": "ray"}
LISTED = "To append to your default list use "
ADDED = "To append to your config use "


@contextmanager
def explain_hydra(command: str) -> Iterator[None]:
    """Turn Hydra's page on an argument into one sentence; pass over the errors that it says well itself.

    Args:
        command: Name of the command.

    Raises:
        UserError: There is no such choice or key, a value cannot be read, or a sweep lacks its ``-m``.
    """
    try:
        yield
    except MissingConfigException as error:
        extra = LAUNCHER_EXTRAS.get(str(error.missing_cfg_file))
        if extra is not None:
            raise UserError(f"this launcher is not installed: pip install 'sac-lightning[{extra}]'") from error
        choices = ", ".join(error.options or ())
        typed = "=".join(str(error.missing_cfg_file).rsplit("/", 1))  # model/nonsense, typed as model=nonsense
        raise UserError(f"there is no {typed}: choose among {choices}") from error
    except ConfigCompositionException as error:
        raise UserError(_shorten(str(error), command)) from error
    except OverrideParseException as error:
        key, equals, value = error.override.partition("=")
        if not equals:
            raise UserError(
                f"{key} is no argument: type KEY=VALUE, as python -m sac_lightning.{command} --help says"
            ) from error
        why = "as the value holds =: " if "=" in value else "as its signs have a meaning: "
        remedy = f'put it in quotes of its own, "{key}={quote(value)}"'
        raise UserError(f"{error.override} cannot be read, {why}{remedy}") from error
    except (HydraException, OmegaConfBaseException):
        return


def _shorten(page: str, command: str) -> str:
    """Return a page of Hydra's as one sentence."""
    first, *others = (line.strip().rstrip(".") for line in page.splitlines())
    if first.startswith("Ambiguous value for argument"):
        override = first.removeprefix("Ambiguous value for argument '").removesuffix("'")
        key, _, value = override.partition("=")
        return (
            f'{override} is a sweep: add -m, or type {key}=[{value}] for a list, "{key}={quote(value)}" for a text'
        )
    if first.endswith("requires --multirun"):
        return f"{first.split(chr(39))[1]} is a sweep: add -m"
    listed = [line.removeprefix(LISTED) for line in others if line.startswith(LISTED)]
    if listed:
        return f"{first}: type {listed[0]}"
    instead = [line for line in others if line.startswith(("Did you mean", "Either remove", "Or add"))]
    near = re.match(r"Could not override '([^'@]+)'$", first)
    instead += [f"the nearest key is {key}" for key in _nearest_keys(near[1], command)] if near else []
    shown = f"python -m sac_lightning.{command} --cfg job shows the keys that there are"
    added = [f"{line.removeprefix(ADDED)} adds a new one" for line in others if line.startswith(ADDED)]
    return f"{first}: {', '.join([*instead, shown, *added])}"


def _nearest_keys(typed: str, command: str) -> list[str]:
    """Return the key of a command's configuration that is most like another, in a list; [] if none is."""
    cfg = OmegaConf.to_container(compose_config(command, []), resolve=False)
    assert isinstance(cfg, dict)
    return get_close_matches(typed, _list_keys(cfg, ""), n=1)


def _list_keys(cfg: Mapping[Any, Any], above: str) -> list[str]:
    """Return all keys of a configuration, dotted."""
    keys = []
    for key, value in cfg.items():
        keys += [f"{above}{key}", *(_list_keys(value, f"{above}{key}.") if isinstance(value, dict) else [])]
    return keys
