"""One side of a comparison, in a process of its own: what it takes in time and memory, and what comes out.

Peak memory is the process's, so each side needs its own; the sides take turns, so that a busy machine is busy for
both.
"""

import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from statistics import median
from typing import Any

import torch
from torch import Tensor

from sac_lightning.runs.environment import peak_memory_bytes

Run = Callable[[], Mapping[str, Tensor]]
Prepare = Callable[..., Run]
SECONDS_TO_END = 5.0


@dataclass
class Side:
    """What was measured of one side.

    Attributes:
        seconds: Of each repetition.
        peak_memory_bytes: Of the process, in all.
        outputs: Of the last repetition, by name.
    """

    seconds: list[float] = field(default_factory=list)
    peak_memory_bytes: int = 0
    outputs: dict[str, Tensor] = field(default_factory=dict)

    @property
    def median_seconds(self) -> float:
        """Of the repetitions."""
        return median(self.seconds)


def measure(sides: Mapping[str, Prepare], arguments: Mapping[str, Any], repetitions: int) -> dict[str, Side]:
    """Runs the sides in turn, after a round that does not count.

    Args:
        sides: By name, a function of a module that prepares the side and returns what is to be measured.
        arguments: Of all these functions.
        repetitions: Rounds that count.
    """
    measured = {name: Side() for name in sides}
    with _processes(sides, arguments) as connections:
        for repetition in range(repetitions + 1):
            for name, connection in connections.items():
                connection.send(None)
                seconds, peak, outputs = connection.recv()
                side = measured[name]
                side.peak_memory_bytes = peak
                if repetition:
                    side.seconds.append(seconds)
                    side.outputs = {key: torch.from_numpy(array) for key, array in outputs.items()}
    return measured


@contextmanager
def _processes(sides: Mapping[str, Prepare], arguments: Mapping[str, Any]) -> Iterator[dict[str, Connection]]:
    """A process per side, ready to run when asked; ended afterwards, whatever happens."""
    context = multiprocessing.get_context("spawn")
    connections, processes = {}, []
    try:
        for name, prepare in sides.items():
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_serve, args=(theirs, prepare, dict(arguments), torch.get_num_threads()), daemon=True
            )
            process.start()
            theirs.close()
            processes.append(process)
            connections[name] = ours
        for connection in connections.values():
            connection.recv()  # It is prepared.
        yield connections
    finally:
        for connection in connections.values():
            connection.close()
        for process in processes:
            process.join(SECONDS_TO_END)  # It cleans up behind itself; one that is at work is stopped.
            process.terminate()
            process.join()


def _serve(connection: Connection, prepare: Prepare, arguments: dict[str, Any], threads: int) -> None:
    """The process: prepares, then runs whenever it is asked to."""
    torch.set_num_threads(threads)
    run = prepare(**arguments)
    connection.send(None)
    while _wait_for_request(connection):
        start = time.perf_counter()
        outputs = run()
        seconds = time.perf_counter() - start
        arrays = {name: tensor.detach().float().numpy() for name, tensor in outputs.items()}
        connection.send((seconds, peak_memory_bytes(torch.device("cpu")), arrays))


def _wait_for_request(connection: Connection) -> bool:
    """Wait for a request to run; return False if nobody is there any more."""
    try:
        connection.recv()
    except EOFError:
        return False
    return True
