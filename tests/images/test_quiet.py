"""The console is there again after libraries were kept from it."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from sac_lightning.images.quiet import silence_errors


def test_what_c_code_writes_does_not_reach_the_console(capfd: pytest.CaptureFixture[str]) -> None:
    with silence_errors():
        os.write(2, b"TIFFFillTile")
    os.write(2, b"ours")
    assert capfd.readouterr().err == "ours"


def test_threads_leave_the_console_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    both = threading.Barrier(2)

    def read_broken_files() -> None:
        both.wait()
        for _ in range(200):
            with silence_errors():
                os.write(2, b"TIFFFillTile")

    with ThreadPoolExecutor(2) as pool:
        for reading in [pool.submit(read_broken_files) for _ in range(2)]:
            reading.result()
    os.write(2, b"ours")
    assert capfd.readouterr().err == "ours"
