"""Sweeps that survive: each job of a multirun in a process of its own, and none done twice.

A job's run lies in ``<runs>/<dataset>/<method>/<configuration>-<code>-<contents>``, whichever sweep it belongs to.
Where the record is there already, the job is skipped; where it was interrupted, it goes on. Whoever works on a run
holds the lock beside its folder, so that a second sweep passes it by. A failed job does not stop the others.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from sac_lightning.core.command_line import folder_flags, folders_of
from sac_lightning.core.configuration import resolve_config
from sac_lightning.core.texts import quote
from sac_lightning.runs.contents import Contents
from sac_lightning.runs.identity import Identity, identity_of, is_same_run, make_identity
from sac_lightning.runs.multirun import jobs_at_once
from sac_lightning.runs.outcomes import BUSY, DONE, FAILED, LOG, RECORDED, Outcome, write_outcome
from sac_lightning.runs.record import find_record
from sac_lightning.runs.replacement import REDONE, finish_replacing, replace_run
from sac_lightning.runs.unfinished import is_unfinished, try_lock

# Hydra's own overrides that concern the sweep, and not its jobs.
OF_SWEEPS = ("mode", "run.dir", "sweep", "sweeper", "launcher")


def run_job(cfg: DictConfig) -> None:
    """Runs one job of a sweep in a process of its own, unless it is recorded, and notes what became of it."""
    hydra = HydraConfig.get()
    started = time.monotonic()
    config = resolve_config(cfg)
    identity = identity_of(config)
    folder = Path(hydra.runtime.cwd) / run_folder(cfg.runs, config, identity)
    number = int(hydra.job.num)
    name = job_name(config, list(hydra.overrides.task))
    status, place, exit_status = _run_once(folder, identity, config["redo"], number, name)
    seconds, dice = time.monotonic() - started, recorded_dice(folder)
    outcome = Outcome(number, name, status, str(place), seconds, dice, exit_status)
    write_outcome(Path(hydra.runtime.cwd) / hydra.sweep.dir, outcome)
    took = f" in {outcome.seconds / 60:.1f} min" if status in (DONE, FAILED) else ""
    say(f"#{number} {name}: {status}{took}")


def run_folder(runs: str, config: Mapping[str, Any], identity: Identity) -> Path:
    """Where a run lies; another one, by its configuration, code or contents, never has the same folder.

    Args:
        runs: Folder of all runs.
        config: Of ``resolve_config``.
        identity: Of the run.
    """
    contents = json.dumps(identity["contents"], sort_keys=True).encode()
    hashes = (identity["config_hash"][:12], identity["code_version"][:8], hashlib.sha256(contents).hexdigest()[:8])
    return Path(runs, config["data"]["name"], config["model"]["name"], "-".join(hashes))


def job_name(config: Mapping[str, Any], overrides: list[str]) -> str:
    """What a person calls a job: its row and seed, or what it overrides."""
    if config["row"] is None:
        return " ".join(overrides)
    return f"{config['row']}, {config['data']['name']}, seed {config['seed']}"


def is_recorded(folder: Path, identity: Identity) -> bool:
    """Return whether a run of this identity has its record in a folder."""
    record = find_record(folder)
    if record is None:
        return False
    contents = record.get("contents", Contents(data={}, files={}))
    return is_same_run(identity, make_identity(record["config"], record["code_version"], contents))


def recorded_dice(folder: Path) -> float | None:
    """Return the test Dice of a run; None without one."""
    record = find_record(folder)
    return None if record is None else record["metrics"].get("dice")


def _run_once(folder: Path, identity: Identity, redo: bool, number: int, name: str) -> tuple[str, Path, int]:
    """Run a job unless it is recorded or somebody else is at it.

    Returns:
        What became of it, the folder of its run, and the status with which its process ended.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with try_lock(folder.with_name(f"{folder.name}.lock")) as lock:
        if lock is None:
            return BUSY, folder, 0
        finish_replacing(folder)
        recorded = is_recorded(folder, identity)
        if recorded and not redo:
            return RECORDED, folder, 0
        place = folder.with_name(f"{folder.name}{REDONE}") if recorded else folder
        log = place / LOG
        if is_unfinished(place, identity):
            say(f"#{number} {name}: goes on where it was interrupted, its output is in {log}")
        else:
            # What a run has left that cannot go on would mix with what comes.
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            say(f"#{number} {name}: started, its output is in {log}")
        with log.open("a", encoding="utf-8") as output, _own_gpu() as environment:
            finished = subprocess.run(
                job_command(place),
                cwd=HydraConfig.get().runtime.cwd,
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # The job holds the lock too: if this process is killed, the run stays taken while the job lives.
                pass_fds=[lock],
                check=False,
            )
        # A record that was not there before is the job's, also where its process has died of what came after, or
        # where the code has changed since the sweep began.
        if find_record(place) is None:
            return FAILED, place, finished.returncode
        if recorded:
            replace_run(place, folder)
        return DONE, folder, finished.returncode


def job_command(folder: Path) -> list[str]:
    """Return the command line of a job: what one would type, for one run and into its own folder."""
    hydra = HydraConfig.get()
    name = [] if hydra.job.config_name == "train" else [f"--config-name={hydra.job.config_name}"]
    own = [override for override in hydra.overrides.hydra if not _is_of_sweeps(override)]
    into = [f"hydra.job.num={hydra.job.num}", "hydra.mode=RUN", f"hydra.run.dir={quote(str(folder))}"]
    flags = [*folder_flags(folders_of(hydra)), *name]
    return [sys.executable, "-m", "sac_lightning.train", *flags, *hydra.overrides.task, *own, *into]


def _is_of_sweeps(override: str) -> bool:
    """Return whether one of Hydra's overrides concerns the sweep, and not its jobs."""
    key = override.lstrip("+~").partition("=")[0].replace("/", ".").removeprefix("hydra.")
    return any(key == one or key.startswith(f"{one}.") for one in OF_SWEEPS)


@contextmanager
def _own_gpu() -> Iterator[dict[str, str]]:
    """Yield the environment of a job beside others on this machine: a GPU of its own, where there are several."""
    at_once = jobs_at_once(HydraConfig.get().launcher)
    gpus = 0 if at_once == 1 or "CUDA_VISIBLE_DEVICES" in os.environ else _gpus()
    if gpus < 2:
        yield {}
        return
    with _slot(at_once) as slot:
        yield {"CUDA_VISIBLE_DEVICES": str(slot % gpus)}


def _gpus() -> int:
    """How many GPUs this machine has."""
    # Seconds to import, which a sweep that does one job after the other is spared.
    import torch

    return torch.cuda.device_count()


@contextmanager
def _slot(count: int) -> Iterator[int]:
    """The first of ``count`` places that no job of this sweep holds."""
    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.cwd) / hydra.sweep.dir
    for slot in range(count):
        with try_lock(folder / f"slot-{slot}.lock") as lock:
            if lock is not None:
                yield slot
                return
    yield 0


def say(sentence: str) -> None:
    """Prints a line in one piece: ``print`` sends the newline apart, and jobs side by side share the terminal."""
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()
