"""Which runs are the same: a hash of their configuration, but for what does not change the numbers."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

# What changes where or how fast a run goes, or what it is called or shows, but not what it computes.
NOT_HASHED = (
    "activation_checkpointing",
    "experiment",
    "features",
    "folder",
    "logger",
    "output_dir",
    "recipe",
    "resume",
    "row",
    "runs",
)
NOT_HASHED_DATA = ("root", "workers", "in_memory")
NOT_HASHED_CALLBACKS = ("dirpath",)  # below output_dir
# Runs of one row of a table: their seeds differ, and maybe the machine.
NOT_IN_ROW = ("seed",)
NOT_IN_ROW_TRAINER = ("accelerator", "devices", "num_nodes", "strategy")


def config_hash(config: Mapping[str, Any]) -> str:
    """SHA-256 of a resolved configuration, but for what does not change the numbers."""
    hashed = {key: value for key, value in _drop_idle_generator(config).items() if key not in NOT_HASHED}
    if "data" in hashed:
        hashed["data"] = {k: v for k, v in hashed["data"].items() if k not in NOT_HASHED_DATA}
    if "scale" in hashed:
        # Its choices for every data set; those for this one stand where they are used.
        hashed["scale"] = hashed["scale"]["name"]
    if "callbacks" in hashed:
        hashed["callbacks"] = {
            name: {k: v for k, v in callback.items() if k not in NOT_HASHED_CALLBACKS}
            for name, callback in hashed["callbacks"].items()
        }
    return hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()


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
    """config_hash of what all runs of one row of a table share, whatever their seed and machine."""
    shared = {key: value for key, value in config.items() if key not in NOT_IN_ROW}
    shared["trainer"] = {k: v for k, v in config["trainer"].items() if k not in NOT_IN_ROW_TRAINER}
    return config_hash(shared)
