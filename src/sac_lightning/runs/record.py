"""The record of a run: ``results.json``, the truth of which W&B and TensorBoard are views."""

import json
import math
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from sac_lightning.core.files import whole_file
from sac_lightning.runs.code_version import code_version
from sac_lightning.runs.identity import config_hash

RECORDED_PACKAGES = (
    "sac-lightning",
    "torch",
    "lightning",
    "hydra-core",
    "segment-anything",
    "albumentations",
)


def record_header(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a record says first, from its configuration: who, on what, prompted how."""
    model = config["model"]
    prompts = model.get("prompts", {})
    return {
        "method": model["name"],
        "dataset": config["data"]["name"],
        "backbone": model.get("backbone", {}).get("name"),
        "points": prompts.get("points"),
        "experts": prompts.get("experts"),
        "selection": prompts.get("selection"),
        "seed": config["seed"],
    }


def record_provenance(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a record says of the run: its place in a table, its configuration and code, when it ended."""
    return {
        "row": config.get("row"),
        "experiment": config.get("experiment", {}).get("name"),
        "config": config,
        "config_hash": config_hash(config),
        "code_version": code_version(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def environment(device: torch.device) -> dict[str, Any]:
    """Where a run took place: device, versions, commit, peak memory so far."""
    return {
        "device": _device_name(device),
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in RECORDED_PACKAGES},
        "git_commit": git_commit(),
        "peak_memory_bytes": peak_memory_bytes(device),
    }


def git_commit() -> str | None:
    """The commit of this source tree, with ``+changes`` where it is not clean; None outside a checkout."""
    this_file = Path(__file__)
    try:
        # An installed copy may lie inside somebody else's checkout.
        _git("ls-files", "--error-unmatch", this_file.name, folder=this_file.parent)
        return _git(
            "describe", "--always", "--abbrev=40", "--dirty=+changes", "--exclude=*", folder=this_file.parent
        )
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*arguments: str, folder: Path) -> str:
    answer = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def peak_memory_bytes(device: torch.device) -> int:
    """Most memory in use so far: the allocator's on a GPU, the process's resident memory on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {os.cpu_count()} cores, {platform.machine()}"


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Writes a record as JSON, whole or not at all; a number that is none (NaN, infinite) becomes null."""
    with whole_file(path) as partial:
        partial.write_text(
            json.dumps(replace_non_finite(record), indent=2, allow_nan=False) + "\n", encoding="utf-8"
        )


def replace_non_finite(value: Any) -> Any:
    """Replace the numbers that JSON does not know by None."""
    if isinstance(value, Mapping):
        return {key: replace_non_finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [replace_non_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
