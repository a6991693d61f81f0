"""Which runs are the same: those of one configuration, one version of the code, and the same contents of files.

The configuration counts but for what does not change the numbers.
A configuration of former times has the hash of today's that means the same: names that were given up count as the
ones that took their place (core.names), and an option at its neutral value counts as absent.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from sac_lightning.core.names import replace_targets, translate_names
from sac_lightning.runs.code_version import TRAINING, code_version, is_code_known
from sac_lightning.runs.contents import (
    NOT_OF_NUMBERS,
    UNREADABLE,
    Contents,
    are_known,
    read_contents,
    replace_paths,
)


@dataclass(frozen=True)
class NeutralOption:
    """An option that some configurations lack, because it came or went.

    Attributes:
        path: Its keys, joined by dots, such as ``prompts.dense``.
        value: At which a run computes what it computes without the option.
        since: Version that brought it; None if it is as old as the package.
        until: Last version that had it; None if it is still there.
    """

    path: str
    value: Any
    since: str | None = None
    until: str | None = None


NEUTRAL_OPTIONS: tuple[NeutralOption, ...] = (
    NeutralOption("data.mask_values", None, since="1.0.0"),
    NeutralOption("data.threshold", None, since="1.0.0"),
    NeutralOption("data.inverted", None, since="1.0.0"),
    NeutralOption("data.series", None, since="1.0.0"),
    NeutralOption("data.page", None, since="1.0.0"),
    NeutralOption("data.channel", None, since="1.0.0"),
    NeutralOption("data.micrometres", None, since="1.0.0"),
    NeutralOption("data.zoom", None, since="1.0.0"),
    NeutralOption("data.coarser", None, since="1.0.0"),
    NeutralOption("init", None, since="1.0.0"),
    NeutralOption("model.heads", None, since="1.0.0"),
    NeutralOption("view.flips", False, since="1.0.0"),
    NeutralOption("instances", "components", since="1.0.0"),
    *(
        NeutralOption(f"{prompts}.generator.{key}", value, since="1.0.0")
        for prompts in ("prompts", "model.prompts")
        for key, value in (
            ("norm", "batch"),
            ("widths", None),
            ("stem", 1),
            ("fine", 0),
            ("separating", False),
            ("alone", 0.0),
        )
    ),
    *(
        NeutralOption(f"{prompts}.{key}", 0, since="1.0.0")
        for prompts in ("prompts", "model.prompts")
        for key in ("min_area", "margin")
    ),
    *(
        NeutralOption(f"{prompts}.{key}", value, since="1.0.0")
        for prompts in ("prompts", "model.prompts")
        for key, value in (("objective", "mask"), ("field", 12))
    ),
    *(NeutralOption(f"{prompts}.refine", False, since="1.0.0") for prompts in ("prompts", "model.prompts")),
    NeutralOption("resume", None),
)
"""Add an option here when it is added to ``conf`` or removed from it: no record is orphaned then."""

HASHED_AS = {"sac_lightning.training.EarlyStopping": "lightning.pytorch.callbacks.EarlyStopping"}
"""Names that took another's place after records were made: they are hashed as what the records have."""

NOT_HASHED_DATA = ("root", "workers", "in_memory")
NOT_HASHED_CALLBACKS = ("dirpath",)  # below output_dir
# Runs of one row of a table: their seeds differ, and maybe the machine.
NOT_IN_ROW = ("seed",)
NOT_IN_ROW_TRAINER = ("accelerator", "devices", "num_nodes", "strategy")
OUTSIDE_ROWS = (
    *NOT_OF_NUMBERS,
    *NOT_IN_ROW,
    *(f"data.{key}" for key in NOT_HASHED_DATA),
    *(f"trainer.{key}" for key in NOT_IN_ROW_TRAINER),
)
"""The dotted keys of all that leaves a run in its row."""


class Identity(TypedDict):
    """What two runs share that give the same numbers.

    Attributes:
        config_hash: Of the configuration, see below; a file counts by its contents and not by its path.
        code_version: See runs.code_version.
        contents: See runs.contents.
    """

    config_hash: str
    code_version: str
    contents: Contents


def identity_of(config: Mapping[str, Any], work: str = TRAINING) -> Identity:
    """Return the identity of a run that begins now.

    Args:
        config: Of the run, resolved.
        work: See code_version.
    """
    contents = read_contents(config)
    if not is_code_known(config):
        contents["files"]["imported code"] = UNREADABLE
    return make_identity(config, code_version(config, work), contents)


def make_identity(config: Mapping[str, Any], code: str, contents: Contents) -> Identity:
    """Return the identity of a run of this configuration, version of the code and contents."""
    return {
        "config_hash": config_hash(replace_paths(config, contents)),
        "code_version": code,
        "contents": contents,
    }


def is_same_run(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two identities are of the same run; what could not be read is never the same."""
    return one == other and are_known(one["contents"])


def config_hash(config: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a resolved configuration, but for what does not change the numbers."""
    named = drop_neutral_options(replace_targets(translate_names(config), HASHED_AS))
    hashed = {key: value for key, value in _drop_idle_generator(named).items() if key not in NOT_OF_NUMBERS}
    if "data" in hashed:
        hashed["data"] = {k: v for k, v in hashed["data"].items() if k not in NOT_HASHED_DATA}
    if "scale" in hashed:
        # Its choices for every data set; those for this one stand where they are used.
        hashed["scale"] = hashed["scale"]["name"]
    if hashed.get("callbacks"):
        hashed["callbacks"] = {
            name: {k: v for k, v in (callback or {}).items() if k not in NOT_HASHED_CALLBACKS}
            for name, callback in hashed["callbacks"].items()
        }
    return hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()


def drop_neutral_options(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a configuration without the options that have their neutral value."""
    for option in NEUTRAL_OPTIONS:
        config = _drop_neutral(config, option.path.split("."), option.value)
    return config


def _drop_neutral(config: Mapping[str, Any], keys: list[str], value: Any) -> Mapping[str, Any]:
    """Return a configuration without an option, if the option is there and has this value."""
    first, rest = keys[0], keys[1:]
    if first not in config:
        return config
    if not rest:
        same = type(config[first]) is type(value) and config[first] == value
        return {key: item for key, item in config.items() if key != first} if same else config
    inner = config[first]
    return {**config, first: _drop_neutral(inner, rest, value)} if isinstance(inner, Mapping) else config


def _drop_idle_generator(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Drop the prompt generator's settings of a configuration whose model has none."""
    model = config.get("model", {})
    if model.get("prompts", {"points": 0})["points"]:
        return config
    without = dict(config)
    if "prompts" in config:
        without["prompts"] = _drop_generator(config["prompts"])
    if "prompts" in model:
        without["model"] = {**model, "prompts": _drop_generator(model["prompts"])}
    return without


def _drop_generator(prompts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in prompts.items() if key != "generator"}


def row_hash(config: Mapping[str, Any]) -> str:
    """Return the config_hash of what all runs of one row of a table share, whatever their seed and machine."""
    shared = {key: value for key, value in config.items() if key not in NOT_IN_ROW}
    shared["trainer"] = {k: v for k, v in config["trainer"].items() if k not in NOT_IN_ROW_TRAINER}
    return config_hash(shared)
