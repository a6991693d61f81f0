"""Commands in processes of their own that need not import anything: see process_server.py."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
# Unbuffered: what a process said before it was killed is in its files.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


@dataclass
class Process:
    """A process that was started, with the files of what it says."""

    number: int
    out: Path
    err: Path


@dataclass
class Finished:
    """A process that came to an end, its own or another's."""

    returncode: int
    stdout: str
    stderr: str


class Processes:
    """Starts processes by the server; a context manager, so that the server ends."""

    def __init__(self, server: subprocess.Popen[str], files: Path) -> None:
        self.server = server
        self.files = files
        self.numbers = count()

    def start(
        self, what: str, *arguments: object, folder: Path, environment: Mapping[str, str] | None = None
    ) -> Process:
        """Start a module as ``python -m`` would, or a function (``module:function``), in a folder.

        Args:
            what: The module or the function.
            arguments: Of the command line, or of the function; texts, numbers, None.
            folder: Where it starts.
            environment: The whole environment; by default this process's.
        """
        number = next(self.numbers)
        out, err = self.files / f"{number}.out", self.files / f"{number}.err"
        for file in (out, err):
            file.touch()  # They can be read from now on, not only once the process opens them.
        environment = {**(os.environ if environment is None else environment), **ENVIRONMENT}
        order = {"start": what, "arguments": arguments, "folder": str(folder), "environment": environment}
        return Process(self._ask(order | {"out": str(out), "err": str(err)}), out, err)

    def wait(self, process: Process) -> Finished:
        """Wait for a process to end."""
        status = self._ask({"wait": process.number})
        return Finished(status, process.out.read_text(), process.err.read_text())

    def run(
        self, what: str, *arguments: object, folder: Path, environment: Mapping[str, str] | None = None
    ) -> Finished:
        """Start a process and wait for it to end."""
        return self.wait(self.start(what, *arguments, folder=folder, environment=environment))

    def _ask(self, order: Mapping[str, Any]) -> int:
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps(order) + "\n")
        self.server.stdin.flush()
        return int(self.server.stdout.readline())


@contextmanager
def serve(files: Path, *modules: str) -> Iterator[Processes]:
    """Serve processes that have imported the modules; ``files`` is the folder of what they say."""
    command = [sys.executable, "-m", "tests.process_server", *modules]
    with subprocess.Popen(
        command,
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | ENVIRONMENT,
    ) as server:
        yield Processes(server, files)
        assert server.stdin is not None
        server.stdin.close()
        assert server.wait() == 0
