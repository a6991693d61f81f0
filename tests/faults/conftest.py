"""Trainings that cost no start and die when they are told to: see dying.py."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.processes import Process, Processes


@dataclass
class Finished:
    """A training that came to an end, its own or another's."""

    status: int
    text: str


class Trainings:
    """Runs the train command in processes that need not import anything."""

    def __init__(self, processes: Processes) -> None:
        self.processes = processes

    def start(self, folder: Path, overrides: list[str], event: str | None = None, count: int = 0) -> Process:
        """Start one; it dies by SIGKILL when the event comes for the ``count``th time."""
        if event is None:
            return self.processes.start("sac_lightning.train", *overrides, folder=folder)
        return self.processes.start("tests.faults.dying:train_until", event, count, *overrides, folder=folder)

    def end(self, training: Process) -> Finished:
        """Wait for one."""
        finished = self.processes.wait(training)
        return Finished(finished.returncode, finished.stdout + finished.stderr)

    def run(self, folder: Path, overrides: list[str], event: str | None = None, count: int = 0) -> Finished:
        """Run one from its start to its end."""
        return self.end(self.start(folder, overrides, event, count))


def said(training: Process) -> str:
    """What a training has said so far."""
    return training.out.read_text() + training.err.read_text()


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., None]:
    """Waits until something happens; past ``seconds`` it fails with what ``said`` gives."""

    def wait(happened: Callable[[], object], seconds: float, said: Callable[[], str]) -> None:
        deadline = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < deadline, said()
            time.sleep(0.02)

    return wait


@pytest.fixture(scope="session")
def trainings(processes: Processes) -> Trainings:
    """See Trainings."""
    return Trainings(processes)
