"""Sweeps that survive: each job of a multirun in a process of its own, and none done twice.

A job's run lies in ``<runs>/<dataset>/<method>/<configuration>-<code>``, whichever sweep it belongs to. Where the
record is there already, the job is skipped; where it was interrupted, it goes on. Whoever works on a run holds the
lock beside its folder, so that a second sweep passes it by. A failed job does not stop the others.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from sac_lightning.core.configuration import resolve_config
from sac_lightning.core.files import whole_file
from sac_lightning.runs.code_version import code_version
from sac_lightning.runs.identity import config_hash
from sac_lightning.runs.record import find_record
from sac_lightning.runs.unfinished import identity_of, is_unfinished, try_lock

DONE, RECORDED, FAILED, BUSY = "done", "recorded before", "failed", "run elsewhere"
OUTCOME = "outcome.json"


@dataclass
class Outcome:
    """What became of a job.

    Attributes:
        job: Its number in the sweep.
        name: The label of its row, or what was swept.
        status: One of the words above.
        folder: Of its run.
        seconds: It took.
        dice: Test Dice in [0, 1], if there is one.
    """

    job: int
    name: str
    status: str
    folder: str
    seconds: float
    dice: float | None


def run_job(cfg: DictConfig) -> None:
    """Runs one job of a sweep in a process of its own, unless it is recorded, and notes what became of it."""
    hydra = HydraConfig.get()
    started = time.monotonic()
    config = resolve_config(cfg)
    folder = Path(hydra.runtime.cwd) / run_folder(cfg.runs, config)
    number = int(hydra.job.num)
    name = job_name(config, list(hydra.overrides.task))
    status = _run_once(folder, config, number, name)
    outcome = Outcome(number, name, status, str(folder), time.monotonic() - started, recorded_dice(folder))
    with whole_file(Path(hydra.runtime.output_dir) / OUTCOME) as partial:
        partial.write_text(json.dumps(asdict(outcome)), encoding="utf-8")
    took = f" in {outcome.seconds / 60:.1f} min" if status in (DONE, FAILED) else ""
    say(f"#{number} {name}: {status}{took}")


def run_folder(runs: str, config: Mapping[str, Any]) -> Path:
    """Where the run of a configuration lies; another configuration or code never has the same folder.

    Args:
        runs: Folder of all runs.
        config: Of ``resolve_config``.
    """
    digest = f"{config_hash(config)[:12]}-{code_version(config)[:8]}"
    return Path(runs, config["data"]["name"], config["model"]["name"], digest)


def job_name(config: Mapping[str, Any], overrides: list[str]) -> str:
    """What a person calls a job: its row and seed, or what it overrides."""
    if config["row"] is None:
        return " ".join(overrides)
    return f"{config['row']}, {config['data']['name']}, seed {config['seed']}"


def is_recorded(folder: Path, config: Mapping[str, Any]) -> bool:
    """Return whether a run has its record, of this configuration and this version of the code."""
    record = find_record(folder)
    if record is None:
        return False
    same = config_hash(record["config"]) == config_hash(config)
    return same and record["code_version"] == code_version(config)


def recorded_dice(folder: Path) -> float | None:
    """Return the test Dice of a run; None without one."""
    record = find_record(folder)
    return None if record is None else record["metrics"].get("dice")


def _run_once(folder: Path, config: Mapping[str, Any], number: int, name: str) -> str:
    """Runs a job unless it is recorded or somebody else is at it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with try_lock(folder.with_name(f"{folder.name}.lock")) as lock:
        if lock is None:
            return BUSY
        if is_recorded(folder, config):
            return RECORDED
        log = folder / "console.log"
        if is_unfinished(folder, identity_of(config)):
            say(f"#{number} {name}: goes on where it was interrupted, its output is in {log}")
        else:
            # What a run has left that cannot go on would mix with what comes.
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            say(f"#{number} {name}: started, its output is in {log}")
        with log.open("a", encoding="utf-8") as output, _share_of_the_machine() as environment:
            finished = subprocess.run(
                job_command(folder),
                cwd=HydraConfig.get().runtime.cwd,
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # The job holds the lock too: if this process is killed, the run stays taken while the job lives.
                pass_fds=[lock],
                check=False,
            )
        return DONE if finished.returncode == 0 and is_recorded(folder, config) else FAILED


def job_command(folder: Path) -> list[str]:
    """The command line of a job: what one would type, for one run and into its own folder."""
    quoted = str(folder).replace("\\", "\\\\").replace("'", "\\'")
    overrides = [*HydraConfig.get().overrides.task, "hydra.mode=RUN", f"hydra.run.dir='{quoted}'"]
    return [sys.executable, "-m", "sac_lightning.train", *overrides]


@contextmanager
def _share_of_the_machine() -> Iterator[dict[str, str]]:
    """Environment of a job that runs beside others on this machine: its share of the cores, a GPU of its own."""
    at_once = _jobs_at_once()
    if at_once == 1:
        yield {}
        return
    threads = max(1, (os.cpu_count() or 1) // at_once)
    environment = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads))}
    gpus = 0 if "CUDA_VISIBLE_DEVICES" in os.environ else _gpus()
    if gpus < 2:
        yield environment
        return
    with _slot(at_once) as slot:
        yield environment | {"CUDA_VISIBLE_DEVICES": str(slot % gpus)}


def _gpus() -> int:
    """How many GPUs this machine has."""
    # Seconds to import, which a sweep that does one job after the other is spared.
    import torch

    return torch.cuda.device_count()


def _jobs_at_once() -> int:
    """How many jobs the local launcher runs side by side; 1 with any other."""
    n_jobs = int(HydraConfig.get().launcher.get("n_jobs", 1))
    return n_jobs if n_jobs > 0 else os.cpu_count() or 1


@contextmanager
def _slot(count: int) -> Iterator[int]:
    """The first of ``count`` places that no job of this sweep holds."""
    folder = Path(HydraConfig.get().sweep.dir)
    for slot in range(count):
        with try_lock(folder / f"slot-{slot}.lock") as lock:
            if lock is not None:
                yield slot
                return
    yield 0


class Sweep(Callback):
    """Says at the end of a multirun what became of its jobs."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Prints the summary; ends the program with status 1 where a job failed."""
        folder = Path(config.hydra.sweep.dir)
        outcomes = read_outcomes(folder)
        if not outcomes:
            return  # Not a sweep of trainings.
        console = Console()
        console.print(summary(outcomes))
        for outcome in outcomes:
            if outcome.status == FAILED:
                log = Path(outcome.folder) / "console.log"
                console.print(
                    f"#{outcome.job} failed: {last_line(log)}\n    log: {log}", soft_wrap=True, markup=False
                )
        console.print(f"runs    {os.path.commonpath([outcome.folder for outcome in outcomes])}", soft_wrap=True)
        console.print(f"sweep   {folder.resolve()}", soft_wrap=True)
        if any(outcome.status == BUSY for outcome in outcomes):
            console.print(
                "Another sweep was at the jobs that are run elsewhere: start this one again to see them."
            )
        if any(outcome.status == FAILED for outcome in outcomes):
            print("Start the same command again: what is recorded is skipped, what failed is tried again.")
            sys.exit(1)


def read_outcomes(folder: Path) -> list[Outcome]:
    """The outcomes of a sweep's jobs, by their numbers."""
    files = folder.glob(f"*/{OUTCOME}")
    outcomes = [Outcome(**json.loads(file.read_text(encoding="utf-8"))) for file in files]
    return sorted(outcomes, key=lambda outcome: outcome.job)


def summary(outcomes: list[Outcome]) -> Table:
    """A row per job."""
    counts = {status: sum(o.status == status for o in outcomes) for status in (DONE, RECORDED, FAILED, BUSY)}
    title = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    table = Table(title=f"{len(outcomes)} jobs: {title}")
    for column in ("#", "job", "outcome", "minutes", "Dice"):
        table.add_column(column, justify="left" if column in ("job", "outcome") else "right")
    for outcome in outcomes:
        minutes = f"{outcome.seconds / 60:.1f}" if outcome.status in (DONE, FAILED) else ""
        dice = "" if outcome.dice is None else f"{outcome.dice:.4f}"
        table.add_row(str(outcome.job), outcome.name, outcome.status, minutes, dice)
    return table


def last_line(log: Path) -> str:
    """The last line of a log that says something."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "it said nothing")


def say(sentence: str) -> None:
    """Prints a line in one piece: ``print`` sends the newline apart, and jobs side by side share the terminal."""
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()
