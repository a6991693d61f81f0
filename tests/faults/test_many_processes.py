"""Two processes, on one run or on one data set: one of them dies, the work is uneven, or both want the same."""

import json
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.faults.conftest import Trainings, said
from tests.processes import Process

from sac_lightning.data import preparation
from sac_lightning.data.official import glas

# Windows and images that two processes cannot share evenly.
UNEVEN = ["data.train=5", "data.crops_per_image=1", "data.val=3", "data.test=3", "trainer.max_epochs=6"]
DDP = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.precision=32-true"]
LONG = 300  # Seconds, on a busy machine, for what takes a few; a process that hangs takes for ever.


def record_in(folder: Path) -> dict[str, Any]:
    (path,) = folder.glob("outputs/*/*/*/results.json")
    record: dict[str, Any] = json.loads(path.read_text())
    return record


def epochs_kept(folder: Path) -> int:
    """How many epochs the last checkpoint of the one run below a folder has behind it."""
    last = list(folder.glob("outputs/*/*/*/checkpoints/last.ckpt"))
    return read_epochs(last[0], last[0].stat().st_mtime_ns) if last else 0


@cache  # Asked for every 20 ms, it would take the time of the run that it waits for.
def read_epochs(checkpoint: Path, written: int) -> int:
    """How many epochs a checkpoint, written at a time in nanoseconds, has behind it."""
    return int(torch.load(checkpoint, weights_only=True)["epoch"]) + 1


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def second_of(run: Process) -> int:
    """The process that a distributed run has started beside itself."""
    commands = {child: Path(f"/proc/{child}/cmdline").read_text() for child in children(run.number)}
    return next(child for child, command in commands.items() if "sac_lightning" in command)


def lives(process: int) -> bool:
    """Whether a process is there, and not merely waiting for somebody to ask how it ended."""
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.slow
def test_a_process_that_dies_ends_the_run_at_once_and_the_same_command_goes_on(
    tiny: list[str], tmp_path: Path, trainings: Trainings, wait_until: Callable[..., None]
) -> None:
    """First the second process dies, then, in the run that goes on, the first."""
    arguments = [*tiny, *UNEVEN, *DDP]
    whole, folder = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    folder.mkdir()
    undisturbed = trainings.run(whole, arguments)
    assert undisturbed.status == 0, undisturbed.text

    run = trainings.start(folder, arguments)
    wait_until(lambda: epochs_kept(folder) >= 1, LONG, partial(said, run))
    os.kill(second_of(run), signal.SIGKILL)
    wait_until(lambda: not lives(run.number), LONG, partial(said, run))
    assert trainings.end(run).status != 0, "the run must not end as if it were whole"

    run = trainings.start(folder, arguments)
    wait_until(lambda: epochs_kept(folder) >= 2, LONG, partial(said, run))
    second = second_of(run)
    os.kill(run.number, signal.SIGKILL)
    assert trainings.end(run).status == -signal.SIGKILL
    wait_until(lambda: not lives(second), LONG, partial(said, run))
    assert not list(folder.rglob("results.json"))

    again = trainings.run(folder, arguments)
    assert again.status == 0, again.text
    assert "Going on with" in again.text
    ours, theirs = record_in(folder), record_in(whole)
    for part in ("metrics", "prompt_quality", "images", "epochs"):
        assert ours[part] == theirs[part], part
    assert [image["name"] for image in ours["images"]] == sorted({image["name"] for image in ours["images"]})
    assert ours["test_images"] == 3


def test_two_that_prepare_the_same_data_set_at_once_do_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, both = tmp_path / "source", Barrier(2)
    source.mkdir()
    for name, pixels in (
        ("train_1", np.full((6, 8, 3), 9, np.uint8)),
        ("train_1_anno", np.eye(6, 8, dtype=np.uint8)),
    ):
        Image.fromarray(pixels).save(source / f"{name}.bmp")
    converted = preparation._write_dataset
    conversions = []

    def read_together(path: Path) -> Any:
        reading = glas.read(path)
        both.wait(60)  # Neither has found the data set there.
        return reading

    def counted(*arguments: Any) -> Any:
        conversions.append(arguments)
        return converted(*arguments)

    monkeypatch.setitem(preparation.OWNERS, "glas", preparation.Owner(glas.obtain, read_together))
    monkeypatch.setattr(preparation, "_write_dataset", counted)
    with ThreadPoolExecutor(2) as pool:
        first, second = [pool.submit(preparation.prepare, "glas", source, tmp_path / "data") for _ in range(2)]
    assert first.result() == second.result()
    assert len(conversions) == 1
    assert sorted(os.listdir(tmp_path / "data")) == ["glas"]
