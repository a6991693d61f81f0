"""One side of a comparison, in its own process: its time, its memory and its outputs.

Peak memory is a property of a process, so each side needs its own. The sides take turns, so that other load on the
machine affects both.
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
    """The measurements of one side.

    Attributes:
        seconds: Time of each repetition.
        peak_memory_bytes: Peak memory of the whole process.
        outputs: Outputs of the last repetition, by name.
    """

    seconds: list[float] = field(default_factory=list)
    peak_memory_bytes: int = 0
    outputs: dict[str, Tensor] = field(default_factory=dict)

    @property
    def median_seconds(self) -> float:
        """The median time of the repetitions."""
        return median(self.seconds)


def measure(sides: Mapping[str, Prepare], arguments: Mapping[str, Any], repetitions: int) -> dict[str, Side]:
    """Run the sides in turn, after a warm-up round that does not count.

    Args:
        sides: For each name, a module-level function that prepares the side and returns the function to measure.
        arguments: Keyword arguments for all of these functions.
        repetitions: Number of rounds that count.

    Returns:
        The measurements of each side, by name.
    """
    measured = {name: Side() for name in sides}
    with _start_processes(sides, arguments) as connections:
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
def _start_processes(
    sides: Mapping[str, Prepare], arguments: Mapping[str, Any]
) -> Iterator[dict[str, Connection]]:
    """Start a process per side, ready to run on request; end them afterwards, whatever happens."""
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
            connection.recv()  # Wait until the side is prepared.
        yield connections
    finally:
        for connection in connections.values():
            connection.close()
        for process in processes:
            process.join(SECONDS_TO_END)  # Let it clean up; it is stopped if it is still at work.
            process.terminate()
            process.join()


def _serve(connection: Connection, prepare: Prepare, arguments: dict[str, Any], threads: int) -> None:
    """Prepare a side in its own process, then run it on each request."""
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
    """Wait for a request to run; return False if the other end has closed."""
    try:
        connection.recv()
    except EOFError:
        return False
    return True
