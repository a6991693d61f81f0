"""Where a run takes place, for its record: device, versions, commit, memory."""

import os
import platform
import resource
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import torch

from sac_lightning.runs.record import Environment

RECORDED_PACKAGES = (
    "sac-lightning",
    "torch",
    "lightning",
    "hydra-core",
    "segment-anything",
    "albumentations",
)


def environment(device: torch.device) -> Environment:
    """Return where this process runs, and its peak memory so far."""
    return {
        "device": _device_name(device),
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in RECORDED_PACKAGES},
        "git_commit": git_commit(),
        "peak_memory_bytes": peak_memory_bytes(device),
    }


def git_commit() -> str | None:
    """Return the commit of this source tree, with ``+changes`` where it is not clean; None outside a checkout."""
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
    """Return the most bytes in use so far: the allocator's on a GPU, the process's resident memory on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {os.cpu_count()} cores, {platform.machine()}"
