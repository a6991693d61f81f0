"""What must be right for a sweep as a whole, asked before its first job: each job may be right by itself."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig

from sac_lightning.core.command_line import CommandLine
from sac_lightning.core.configuration import resolve_config
from sac_lightning.core.errors import UserError
from sac_lightning.model.register import REGISTER
from sac_lightning.runs.identity import config_hash

# Launchers whose jobs run on this machine: what is missing here is missing there.
LOCAL = ("basic_launcher", "joblib_launcher")
# Groups that a model is built from: what a model does not take from them changes nothing.
SOURCES = ("backbone", "prompts")
# Overrides that would put all jobs into one folder, or that no job would get.
FOLDERS = ("output_dir=", "hydra.run.dir=")


def check_sweep(line: CommandLine, jobs: Sequence[DictConfig]) -> None:
    """Check a sweep of trainings before its first job.

    Args:
        line: The command line.
        jobs: The configuration of each job.

    Raises:
        UserError: The jobs would share a folder, two of them are one training under two names, or the data or the
            weights of a job are missing.
    """
    for override in line.overrides:
        if override.lstrip("+").startswith(FOLDERS):
            raise UserError(
                f"{override} is for a single run: leave it out, as each job of a sweep has a folder of its own "
                "below runs="
            )
    configs = [resolve_config(job) for job in jobs]
    refuse_repetition(line.jobs, configs)
    if any(launcher in line.hydra.launcher["_target_"] for launcher in LOCAL):
        refuse_missing(configs)


def refuse_repetition(jobs: Sequence[Sequence[str]], configs: Sequence[Mapping[str, Any]]) -> None:
    """Raise UserError if jobs differ only in what their model does not have, such as the points of a U-Net.

    Args:
        jobs: The overrides of each job.
        configs: Their configurations, resolved.
    """
    former: dict[str, int] = {}
    for number, config in enumerate(configs):
        used = config_hash({key: value for key, value in config.items() if key not in SOURCES})
        other = former.setdefault(used, number)
        if config_hash(config) != config_hash(configs[other]):
            idle = [one for one in jobs[number] if one not in jobs[other]]
            model = config["model"]["name"]
            raise UserError(
                f"{' '.join(idle)} makes no difference to {model}, which has nothing of {_group_of(idle)}: sweep "
                f"over it without {model}, and start {model} by itself"
            )


def _group_of(overrides: Sequence[str]) -> str:
    """Return the groups that overrides are of."""
    return " and ".join(dict.fromkeys(one.lstrip("+~").replace("=", ".").partition(".")[0] for one in overrides))


def refuse_missing(configs: Sequence[Mapping[str, Any]]) -> None:
    """Raise UserError if data or weights that jobs read are not there, each said once.

    They are looked up in a process of its own, as the libraries for that take seconds to import.

    Args:
        configs: Of the jobs, resolved.
    """
    distinct = {
        json.dumps([config["data"], _weights(config)], sort_keys=True): config
        for config in configs
        if not config["count_only"] and _reads_files(config)
    }
    if not distinct:
        return
    settings = [{key: config[key] for key in ("data", "model", "view", "seed")} for config in distinct.values()]
    asked = subprocess.run(
        [sys.executable, "-m", "sac_lightning.training.requirements"],
        input=json.dumps(settings),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    missing = json.loads(asked.stdout) if asked.returncode == 0 else []  # What else is wrong, the jobs say.
    if missing:
        raise UserError("; ".join(missing))


def _weights(config: Mapping[str, Any]) -> str | None:
    weights = (config["model"].get("backbone") or {}).get("weights")
    return None if weights is None else str(weights)


def _reads_files(config: Mapping[str, Any]) -> bool:
    """Return whether a job reads more than the package brings along."""
    weights = _weights(config)
    shipped = weights is None or (weights in REGISTER and REGISTER[weights].is_shipped)
    procedural = config["data"]["_target_"] == "sac_lightning.data.Synthetic"
    return not (shipped and procedural)
