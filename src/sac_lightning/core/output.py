"""The end of a program whose standard output nobody reads any more."""

import logging
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def end_without_reader() -> Iterator[None]:
    """End the program silently with status 1 if the reader of its output has gone, as in ``... | head``."""
    logging.raiseExceptions = False  # logging would print a traceback for every line that it cannot write
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        if not _reader_has_gone():
            raise
        # Python writes what is still buffered when it ends, which would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _reader_has_gone() -> bool:
    """Return whether the pipe is ours: a data loader's or a socket may break, too."""
    poll = select.poll()
    poll.register(sys.stdout, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))
