"""Trainings that cost no start: see train_server.py."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# Unbuffered: what a process said before it was killed is in its log.
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


@dataclass
class Finished:
    """A training that came to an end, its own or another's."""

    status: int
    text: str


class Trainings:
    """Runs the train command in processes that need not import anything."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("train_server.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )

    def start(self, folder: Path, overrides: list[str], event: str | None = None, count: int = 0) -> int:
        """Starts one; it dies by SIGKILL when the event comes for the ``count``th time. Gives its process."""
        order: dict[str, Any] = {"folder": str(folder), "overrides": overrides, "event": event, "count": count}
        order["log"] = str(self.logs / "log")
        assert self.server.stdin is not None
        (self.logs / "log").write_text("")
        self.server.stdin.write(json.dumps(order) + "\n")
        self.server.stdin.flush()
        return self._answer()

    def end(self) -> Finished:
        """Waits for the one that was started."""
        return Finished(self._answer(), self.text())

    def text(self) -> str:
        """What the one that was started last has said so far."""
        return (self.logs / "log").read_text()

    def run(self, folder: Path, overrides: list[str], event: str | None = None, count: int = 0) -> Finished:
        """From its start to its end."""
        self.start(folder, overrides, event, count)
        return self.end()

    def _answer(self) -> int:
        assert self.server.stdout is not None
        return int(self.server.stdout.readline())


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
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainings]:
    """See Trainings."""
    trainings = Trainings(tmp_path_factory.mktemp("logs"))
    yield trainings
    with trainings.server as server:
        assert server.stdin is not None
        server.stdin.close()
        assert server.wait(60) == 0
