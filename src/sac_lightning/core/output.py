"""The end of a program whose output nobody reads any more."""

import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

STANDARD_OUTPUT, STANDARD_ERROR = 1, 2


@contextmanager
def end_without_reader() -> Iterator[None]:
    """End the program silently if the reader of its output or its errors has gone, as in ``... | head``.

    The status is 141, as a shell tells it of programs that end so. The system's signal comes before Python's
    BrokenPipeError, which Hydra would print and logging would swallow.
    """
    former = signal.signal(signal.SIGPIPE, _end)
    try:
        yield
    finally:
        with suppress(BrokenPipeError):  # the signal has come, too
            sys.stdout.flush()
        signal.signal(signal.SIGPIPE, former)


def _end(number: int, frame: FrameType | None) -> None:
    """Raise SystemExit if the pipe is ours: a data loader's or a socket may break, too."""
    gone = [descriptor for descriptor in (STANDARD_OUTPUT, STANDARD_ERROR) if _has_no_reader(descriptor)]
    for descriptor in gone:
        # Python writes what is still buffered when it ends, which would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
    if gone:
        sys.exit(128 + number)


def _has_no_reader(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))
