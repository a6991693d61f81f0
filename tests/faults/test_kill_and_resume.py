"""SIGKILL at any moment, and the same command again: the run ends as if nothing had happened.

``make stress`` does it with 25 kills (SAC_KILLS), the suite with five.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.faults.conftest import said
from tests.processes import Process

pytestmark = pytest.mark.slow
KILLS = int(os.environ.get("SAC_KILLS", "5"))
KILLS_OF_A_RUN = 5
# The moments, in the order of a run, each with how often it may come before it is fatal.
MOMENTS = {
    "training batch": 8,
    "validation image": 4,
    "half a checkpoint": 3,
    "end of epoch": 2,
    "a checkpoint's renaming": 4,
    "tuning": 2,
    "thresholds": 1,
    "test image": 2,
    "record": 1,
}
SETTINGS = [
    "trainer.max_epochs=12",
    "callbacks.early_stopping.patience=99",
    "data.train=8",
    "data.batch_size=2",
    "model.dropout=0.2",
    "seed=3",
]
NOT_OF_THE_RUN = {"train_seconds", "dirpath", "best_model_path", "last_model_path", "kth_best_model_path"}
"""What differs between two runs that are the same: the clock's word, and where they lie."""


def outcome(folder: Path) -> dict[str, Any]:
    """What the one run below a folder left: its record without times, and the content of its two checkpoints."""
    (record_path,) = folder.glob("outputs/*/*/*/results.json")
    record = json.loads(record_path.read_text())
    kept = {
        name: record[name] for name in ("metrics", "prompt_quality", "images", "history", "config_hash", "epochs")
    }
    for name in ("best", "last"):
        kept[name] = torch.load(record_path.parent / "checkpoints" / f"{name}.ckpt", weights_only=True)
    return kept


def values(content: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """All that something nested is made of, with its place, but for what is not of the run."""
    if isinstance(content, dict):
        for key, item in content.items():
            if key not in NOT_OF_THE_RUN:
                yield from values(item, f"{place}.{'path' if str(key).endswith('.ckpt') else key}")
    elif isinstance(content, list):
        for i, item in enumerate(content):
            yield from values(item, f"{place}[{i}]")
    else:
        yield place, content


def assert_same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Bit by bit, whatever it is made of."""
    mine, other = dict(values(ours)), dict(values(theirs))
    assert mine.keys() == other.keys()
    for place, value in mine.items():
        expected = other[place]
        same = torch.equal(value, expected) if isinstance(value, torch.Tensor) else value == expected
        assert same, place
    assert len(mine) > 500, "too little was compared"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, tiny: list[str], trainings: Any) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("undisturbed")
    finished = trainings.run(folder, [*tiny, *SETTINGS])
    assert finished.status == 0, finished.text
    return outcome(folder)


def test_a_run_that_is_killed_again_and_again_ends_bit_for_bit_like_an_undisturbed_one(
    undisturbed: dict[str, Any], tiny: list[str], tmp_path: Path, trainings: Any
) -> None:
    chance = random.Random(KILLS)
    moments = [list(MOMENTS)[i % len(MOMENTS)] for i in range(KILLS)]
    chance.shuffle(moments)
    for start in range(0, KILLS, KILLS_OF_A_RUN):
        folder = tmp_path / str(start)
        folder.mkdir()
        for moment in sorted(moments[start : start + KILLS_OF_A_RUN], key=list(MOMENTS).index):
            count = chance.randint(1, MOMENTS[moment])
            killed = trainings.run(folder, [*tiny, *SETTINGS], moment, count)
            assert killed.status == -signal.SIGKILL, (moment, count, killed.text)
            print(f"killed at {moment} {count}")
        has_epoch = bool(list(folder.glob("outputs/*/*/*/checkpoints/last.ckpt")))
        finished = trainings.run(folder, [*tiny, *SETTINGS])
        assert finished.status == 0, finished.text
        assert ("Going on" in finished.text) == has_epoch
        assert_same(outcome(folder), undisturbed)
        assert not list(folder.rglob("*.part"))
        print("resumed: the same to the last bit")


def test_a_run_is_found_by_its_configuration_alone_by_the_command_as_one_types_it(
    undisturbed: dict[str, Any], tiny: list[str], tmp_path: Path, trainings: Any
) -> None:
    arguments = [*tiny, *SETTINGS]
    assert trainings.run(tmp_path, arguments, "end of epoch", 3).status == -signal.SIGKILL
    (run,) = tmp_path.glob("outputs/synthetic/sac/*")
    other = trainings.run(tmp_path, [*arguments, "optimizer.lr=0.01", "trainer.max_epochs=1", "folder=elsewhere"])
    assert other.status == 0
    assert "Going on" not in other.text
    same = subprocess.run(
        [sys.executable, "-m", "sac_lightning.train", *arguments],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert f"Going on with {run}, which was interrupted." in same.stdout, same.stderr
    assert_same(outcome(tmp_path), undisturbed)
    again = trainings.run(tmp_path, [*arguments, "trainer.max_epochs=1"])
    assert "Going on" not in again.text, "what is finished is not interrupted"


def test_a_kill_from_outside_at_any_time_with_processes_that_load_data(
    undisturbed: dict[str, Any],
    tiny: list[str],
    tmp_path: Path,
    trainings: Any,
    wait_until: Callable[..., None],
) -> None:
    chance = random.Random(1)
    arguments = [*tiny, *SETTINGS, "data.workers=2"]
    for kill in range(2):
        training = trainings.start(tmp_path, arguments)
        # The processes that load data live on for a while, and must not keep the run taken.
        sentence = "Going on with" if kill else "What trains"

        def has_begun(training: Process = training, sentence: str = sentence) -> bool:
            return sentence in said(training) and bool(list(tmp_path.glob("outputs/*/*/*/checkpoints/last.ckpt")))

        wait_until(has_begun, 300, partial(said, training))
        time.sleep(chance.uniform(0, 0.5))
        os.kill(training.number, signal.SIGKILL)
        assert trainings.end(training).status == -signal.SIGKILL
    finished = trainings.run(tmp_path, arguments)
    assert finished.status == 0, finished.text
    assert "Going on" in finished.text
    assert outcome(tmp_path)["metrics"] == undisturbed["metrics"]


def test_a_run_that_had_stopped_early_trains_no_further(tiny: list[str], tmp_path: Path, trainings: Any) -> None:
    arguments = [*tiny, "trainer.max_epochs=9", "optimizer.lr=0", "callbacks.early_stopping.patience=2"]
    assert trainings.run(tmp_path, arguments, "test image", 1).status == -signal.SIGKILL
    finished = trainings.run(tmp_path, arguments)
    assert finished.status == 0, finished.text
    assert "Going on" in finished.text
    assert outcome(tmp_path)["epochs"] == 3


def test_another_runs_checkpoint_in_the_same_folder_is_not_gone_on_from(
    tiny: list[str], tmp_path: Path, trainings: Any
) -> None:
    arguments = [*tiny, "hydra.run.dir=here"]
    assert trainings.run(tmp_path, arguments, "end of epoch", 2).status == -signal.SIGKILL
    other = [*arguments, "optimizer.lr=0.01"]
    assert trainings.run(tmp_path, other, "training batch", 1).status == -signal.SIGKILL
    finished = trainings.run(tmp_path, other)
    assert finished.status == 0, finished.text
    assert "Going on" not in finished.text
