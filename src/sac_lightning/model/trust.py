"""Which code a checkpoint's settings may call: this package's, and that of packages which the user trusts."""

import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from sac_lightning.core.configuration import config_dir
from sac_lightning.core.errors import UserError
from sac_lightning.core.names import find_targets

NEVER = sys.stdlib_module_names | {"torch", "numpy", "hydra", "omegaconf", "lightning", "pytorch_lightning"}
"""What could run anything by a name alone."""
OURS = "sac_lightning"
"""Of this package only what its configuration names may be called."""


def refuse_foreign_targets(settings: Any, path: Path, trusted: Sequence[str] = ()) -> None:
    """Raise UserError if settings name something to call that is not this package's and not trusted.

    Settings may only hold dicts, lists and plain values, as train writes them: a call could hide in a tuple or an
    interpolation, which OmegaConf accepts too.

    Args:
        settings: Of a checkpoint.
        path: Path of the checkpoint, for the error.
        trusted: Packages or modules whose classes and functions settings may name.
    """
    if isinstance(settings, dict):
        if "_target_" in settings:
            _refuse_target(settings["_target_"], path, trusted)
        for value in settings.values():
            refuse_foreign_targets(value, path, trusted)
    elif isinstance(settings, list):
        for item in settings:
            refuse_foreign_targets(item, path, trusted)
    elif not isinstance(settings, str | int | float | None) or "${" in str(settings):
        raise UserError(f"{path} holds {settings!r} among its settings, which may hide a call: it was refused")


def refuse_hidden_calls(settings: Any, path: Path) -> None:
    """Raise UserError as refuse_foreign_targets, but for packages of the user's: for settings that are not used.

    Args:
        settings: Of a checkpoint.
        path: Path of the checkpoint, for the error.
    """
    targets = name_foreign_targets(settings)
    refuse_foreign_targets(settings, path, [str(target).partition(".")[0] for target in targets])


def read_trusted(value: Any) -> list[str]:
    """Return the packages that ``trust=`` names, one or a list; none for null.

    Raises:
        UserError: One of them is no name of a package, or could run anything.
    """
    names = [] if value is None else [value] if isinstance(value, str) else list(value)
    for name in names:
        if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
            raise UserError(
                f"trust={name} is no name of a package: give that of your own code, such as my_package"
            )
        if name.partition(".")[0] in NEVER | {OURS}:
            raise UserError(f"trust={name} would let a checkpoint call anything: trust only your own package")
    return names


def refuse_untrustable(settings: Any) -> None:
    """Raise UserError if a training would leave a checkpoint that no command may load, whatever it trusts.

    Args:
        settings: The configuration's ``model``.
    """
    for target in name_foreign_targets(settings):
        if target.partition(".")[0] in NEVER:
            raise UserError(
                f"model asks to call {target}, which no checkpoint may: wrap it in a class of your own package"
            )


def name_foreign_targets(settings: Any) -> list[str]:
    """Return every ``_target_`` in settings that is not this package's, each once."""
    targets = dict.fromkeys(target for target in find_targets(settings) if isinstance(target, str))
    return [target for target in targets if target not in packaged_targets()]


def _refuse_target(target: Any, path: Path, trusted: Sequence[str]) -> None:
    if isinstance(target, str) and target in packaged_targets():
        return
    is_name = isinstance(target, str) and all(part.isidentifier() for part in target.split("."))
    package = target.partition(".")[0] if is_name else ""
    if not is_name or package in NEVER | {OURS}:
        raise UserError(f"{path} asks to call {target}, which this package does not: it was refused")
    if not any(target.startswith(f"{name}.") for name in trusted):
        raise UserError(
            f"{path} asks to call {target}, which is not this package's: if that is your own code, add "
            f"trust={package}"
        )


@cache
def packaged_targets() -> frozenset[str]:
    """Return every ``_target_`` in the configuration of models, backbones, prompts and data."""
    groups = ("model", "backbone", "prompts", "data")
    files = [file for group in groups for file in (config_dir() / group).glob("*.yaml")]
    return frozenset(
        target for file in files for target in find_targets(OmegaConf.to_container(OmegaConf.load(file)))
    )
