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
from pathlib import Path
from typing import Any

import pytest
import torch

KILLS = int(os.environ.get("SAC_KILLS", "5"))
KILLS_OF_A_RUN = 5
DYING = Path(__file__).with_name("dying_train.py")
# The moments, in the order of a run, each with how often it may come before it is fatal.
MOMENTS = {
    "training batch": 8,
    "validation image": 4,
    "half a checkpoint": 3,
    "end of epoch": 2,
    "a checkpoint's renaming": 5,
    "test image": 2,
    "record": 1,
}
SETTINGS = [
    "trainer.max_epochs=16",
    "callbacks.early_stopping.patience=99",
    "data.train=8",
    "data.batch_size=2",
    "model.dropout=0.2",
    "seed=3",
]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def train(folder: Path, tiny: list[str], *dying: str) -> subprocess.CompletedProcess[str]:
    """The command in a folder, to its end or to its death."""
    program = [str(DYING), *dying] if dying else ["-m", "sac_lightning.train"]
    return subprocess.run(
        [sys.executable, *program, *tiny, *SETTINGS],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def outcome(folder: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """What the one run below a folder left: its record without times, and the content of its two checkpoints."""
    (record_path,) = folder.glob("outputs/*/*/*/results.json")
    record = json.loads(record_path.read_text())
    history = [{k: v for k, v in row.items() if k != "train_seconds"} for row in record["history"]]
    kept = {name: record[name] for name in ("metrics", "prompt_quality", "images", "config_hash", "epochs")}
    checkpoints = [
        torch.load(record_path.parent / "checkpoints" / f"{name}.ckpt", weights_only=True)
        for name in ("best", "last")
    ]
    return kept | {"history": history}, checkpoints[0], checkpoints[1]


def assert_same(ours: Any, theirs: Any, where: str = "") -> None:
    """Bit by bit, whatever it is made of."""
    assert type(ours) is type(theirs), where
    if isinstance(ours, torch.Tensor):
        assert torch.equal(ours, theirs), where
    elif isinstance(ours, dict):
        assert ours.keys() == theirs.keys(), where
        for key in ours:
            if key not in (
                "train_seconds",
                "dirpath",
                "best_model_path",
                "last_model_path",
                "kth_best_model_path",
            ):
                assert_same(ours[key], theirs[key], f"{where}.{key}")
    elif isinstance(ours, list):
        assert len(ours) == len(theirs), where
        for i, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(one, other, f"{where}[{i}]")
    else:
        assert ours == theirs, where


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, tiny: list[str]) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    finished = train(folder, tiny)
    assert finished.returncode == 0, finished.stderr
    return folder


def test_a_run_that_is_killed_again_and_again_ends_bit_for_bit_like_an_undisturbed_one(
    undisturbed: Path, tiny: list[str], tmp_path: Path
) -> None:
    chance = random.Random(KILLS)
    whole = outcome(undisturbed)
    moments = [list(MOMENTS)[i % len(MOMENTS)] for i in range(KILLS)]
    chance.shuffle(moments)
    for start in range(0, KILLS, KILLS_OF_A_RUN):
        folder = tmp_path / str(start)
        folder.mkdir()
        for moment in sorted(moments[start : start + KILLS_OF_A_RUN], key=list(MOMENTS).index):
            count = chance.randint(1, MOMENTS[moment])
            killed = train(folder, tiny, moment, str(count))
            assert killed.returncode == -signal.SIGKILL, (moment, count, killed.stdout, killed.stderr)
            print(f"killed at {moment} {count}")
        finished = train(folder, tiny)
        assert finished.returncode == 0, finished.stderr
        for ours, theirs in zip(outcome(folder), whole, strict=True):
            assert_same(ours, theirs)
        assert not list(folder.rglob("*.part"))
        print("resumed: the same to the last bit")


def test_a_run_is_found_by_its_configuration_alone_and_not_while_it_lives(tiny: list[str], tmp_path: Path) -> None:
    arguments = [sys.executable, str(DYING), "end of epoch", "3", *tiny, *SETTINGS]
    killed = subprocess.run(
        arguments, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, timeout=300, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    (run,) = tmp_path.glob("outputs/synthetic/sac/*")
    other = train(tmp_path, [*tiny, "optimizer.lr=0.01"])
    assert other.returncode == 0
    assert "Going on" not in other.stdout
    same = train(tmp_path, tiny)
    assert f"Going on with {run.relative_to(tmp_path)}, which was interrupted." in same.stdout
    assert (run / "results.json").is_file()
    assert "Going on" not in train(tmp_path, tiny).stdout, "what is finished is not interrupted"


def test_a_kill_from_outside_at_any_time(undisturbed: Path, tiny: list[str], tmp_path: Path) -> None:
    chance = random.Random(1)
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-m", "sac_lightning.train", *tiny, *SETTINGS],
            cwd=tmp_path,
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if list(tmp_path.glob("outputs/*/*/*/checkpoints/last.ckpt")):
                break
            time.sleep(0.05)
        try:
            process.wait(chance.uniform(0, 1.5))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    finished = train(tmp_path, tiny)
    assert finished.returncode == 0, finished.stderr
