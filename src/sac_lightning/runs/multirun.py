"""A multirun from its start, when it takes its folder, to its end, when it says what became of its jobs."""

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from sac_lightning.core.command_line import folder_flags, folders_of
from sac_lightning.runs.contents import NOT_OF_NUMBERS
from sac_lightning.runs.identity import OUTSIDE_ROWS
from sac_lightning.runs.outcomes import (
    BUSY,
    DONE,
    FAILED,
    Outcome,
    forget_outcomes,
    last_line,
    read_outcomes,
    summary,
)
from sac_lightning.runs.unfinished import try_lock

LOCK = "sweep.lock"
# The scales that a report looks for by itself.
REPORTED = ("cpu", "paper")
# Libraries that count threads by a variable of their own before OMP_NUM_THREADS; torch follows MKL's.
OWN_COUNTS = ("MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS")
# What a sweep holds until its end: beside the callback, which goes to the processes of its jobs.
_held = ExitStack()


class Sweep(Callback):
    """Takes the folder of a multirun of trainings, and says at its end what became of its jobs."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Forget the jobs of a former sweep in the same folder; end the program if another one is at it."""
        _held.close()
        folder = Path(config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        if _held.enter_context(try_lock(folder / LOCK)) is None:
            print(
                f"error: another sweep is at {folder}: wait for it, or choose another hydra.sweep.dir",
                file=sys.stderr,
            )
            sys.exit(1)
        forget_outcomes(folder)
        _held.enter_context(share_threads(jobs_at_once(config.hydra.launcher)))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print the summary; end the program with status 1 where a job failed."""
        folder = Path(config.hydra.sweep.dir)
        outcomes = read_outcomes(folder)
        _held.close()
        if not outcomes:
            return  # Not a sweep of trainings.
        console = Console(soft_wrap=True, markup=False, highlight=False)
        console.print(summary(outcomes), soft_wrap=False)
        for outcome in outcomes:
            if outcome.status == FAILED:
                console.print(f"#{outcome.job} failed: {last_line(outcome.log)}\n    log: {outcome.log}")
            elif outcome.exit_status:
                console.print(
                    f"#{outcome.job} has its record, but ended with status {outcome.exit_status}: "
                    f"{last_line(outcome.log)}\n    log: {outcome.log}"
                )
        console.print(f"runs    {os.path.commonpath([outcome.folder for outcome in outcomes])}")
        console.print(f"sweep   {folder.resolve()}")
        for line in next_steps(config, outcomes):
            console.print(line)
        if any(outcome.status == BUSY for outcome in outcomes):
            console.print(
                "Another sweep was at the jobs that are run elsewhere: start this one again to see them."
            )
        if any(outcome.status == FAILED for outcome in outcomes):
            print("Start the same command again: what is recorded is skipped, what failed is tried again.")
            sys.exit(1)


def jobs_at_once(launcher: DictConfig) -> int:
    """Return how many jobs the local launcher runs side by side; 1 with any other."""
    n_jobs = int(launcher.get("n_jobs", 1))
    return n_jobs if n_jobs > 0 else count_cores()


def count_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def share_threads(at_once: int) -> Iterator[None]:
    """Set how many threads each of the jobs side by side has: OMP_NUM_THREADS, or else its share of the cores.

    joblib would give its processes a share of its own for each library whose variable is not set.
    """
    before = dict(os.environ)
    if at_once > 1:
        threads = os.environ.setdefault("OMP_NUM_THREADS", str(max(1, count_cores() // at_once)))
        for name in OWN_COUNTS:
            os.environ.setdefault(name, threads)
    try:
        yield
    finally:
        for name in {"OMP_NUM_THREADS", *OWN_COUNTS} - before.keys():
            os.environ.pop(name, None)


def next_steps(config: DictConfig, outcomes: list[Outcome]) -> list[str]:
    """Return lines that say how to compare the runs of a sweep, and how to send those that W&B kept offline."""
    lines = []
    if config.experiment.name is not None:
        lines.append(f"report  {report_command(config)}")
    finished = [Path(outcome.folder) for outcome in outcomes if outcome.status in (DONE, FAILED)]
    offline = sorted(path for folder in finished for path in folder.glob("wandb/offline-run-*"))
    if offline:
        lines.append(f"wandb   {len(offline)} runs are offline: to send them, type")
        lines.append(f"        {shlex.join(['wandb', 'sync', *map(str, offline)])}")
    return lines


def report_command(config: DictConfig) -> str:
    """Return the command that puts the runs of a sweep of an experiment beside each other."""
    folders = folders_of(config.hydra)
    file = str(config.hydra.runtime.choices.get("experiment"))
    is_own = folders.own is not None and (folders.own / "experiment" / f"{file}.yaml").is_file()
    # One's own is found by its file, whose experiment may have another name.
    arguments = [*folder_flags(folders), f"table={file if is_own else config.experiment.name}"]
    if config.runs != "outputs/runs":
        arguments.append(f"runs={config.runs}")
    overrides = [one for one in config.hydra.overrides.task if not _is_in_rows(one, config)]
    if config.scale.name not in REPORTED:
        overrides.insert(0, f"scale={config.scale.name}")
    if overrides:
        quoted = ",".join('"' + one.replace("\\", "\\\\").replace('"', '\\"') + '"' for one in overrides)
        arguments.append(f"overrides=[{quoted}]")
    return f"python -m sac_lightning.report {shlex.join(arguments)}"


def _is_in_rows(override: str, config: DictConfig) -> bool:
    """Return whether the rows of an experiment are the same with an override, or hold what it chooses of them."""
    key, _, value = override.partition("=")
    key = key.lstrip("+~")
    if key in (*OUTSIDE_ROWS, "scale") or key.partition(".")[0] in NOT_OF_NUMBERS:
        return True
    sweeper: Any = OmegaConf.to_container(config.hydra.sweeper)
    swept = str((sweeper.get("params") or {}).get(key, "")).replace(" ", "").split(",")
    return set(value.replace(" ", "").split(",")) <= set(swept)
