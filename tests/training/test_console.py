"""The consoles of the commands that train and test: our lines, each once, in a pipe and on a terminal."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.console import foreign_lines, shown

from sac_lightning.reporting.experiment import EXPERIMENTS

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
COLUMNS = 80


def command(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"sac_lightning.{name}", *arguments]


def piped(folder: Path, name: str, *arguments: str) -> str:
    """What a command prints into a pipe, errors among it."""
    finished = subprocess.run(
        command(name, *arguments),
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout
    return finished.stdout


def on_a_terminal(folder: Path, name: str, *arguments: str) -> str:
    """What a command sends to a terminal of 80 columns."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    environment = {key: value for key, value in ENVIRONMENT.items() if key not in ("COLUMNS", "LINES")}
    environment["TERM"] = "xterm"
    process = subprocess.Popen(
        command(name, *arguments), cwd=folder, env=environment, stdin=its, stdout=its, stderr=its
    )
    os.close(its)
    text = b""
    try:
        while block := os.read(ours, 1 << 16):
            text += block
    except OSError:  # Linux's way to say that nobody writes to the terminal any more.
        pass
    finally:
        os.close(ours)
    assert process.wait(60) == 0, text.decode()
    return text.decode()


def with_bars(tiny: Sequence[str]) -> list[str]:
    return [option for option in tiny if "enable_progress_bar" not in option]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny: list[str]) -> tuple[Path, str]:
    """The folder of a training, and what it printed into a pipe."""
    folder = tmp_path_factory.mktemp("trained")
    return folder, piped(folder, "train", *with_bars(tiny), "hydra.run.dir=run")


def test_a_training_prints_our_lines_alone_and_each_once(trained: tuple[Path, str]) -> None:
    _, text = trained
    assert foreign_lines(text) == []
    assert [line.split("  ")[0] for line in text.splitlines() if line.startswith("epoch")] == [
        "epoch 1/2",
        "epoch 2/2",
    ]
    assert "\r" not in text
    assert "val Dice" in text


def test_the_log_of_a_training_holds_nothing_of_other_programs(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    assert foreign_lines((folder / "run" / "train.log").read_text()) == []


def test_a_training_on_a_terminal_moves_a_bar_that_does_not_wrap(tiny: list[str], tmp_path: Path) -> None:
    stay, bars = shown(on_a_terminal(tmp_path, "train", *with_bars(tiny), "hydra.run.dir=run"))
    assert foreign_lines("\n".join(stay)) == []
    assert {bar.split(":")[0] for bar in bars} >= {"epoch 1/2", "validating", "testing"}
    assert max(map(len, bars)) <= COLUMNS


def test_other_commands_print_our_lines_alone(trained: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = trained
    checkpoint = f"checkpoint={folder / 'run' / 'checkpoints' / 'best.ckpt'}"
    assert foreign_lines(piped(tmp_path, "evaluate", checkpoint, "hydra.run.dir=again")) == []
    image = f"images={folder / 'run' / 'examples.png'}"
    assert foreign_lines(piped(tmp_path, "predict", checkpoint, image, "output=out")) == []


def test_a_pretraining_prints_our_lines_alone(tiny_backbone: list[str], tmp_path: Path) -> None:
    small = ["view.image_size=64", "scenes.batch_size=2", "scenes.steps_per_epoch=2", "scenes.watched=2"]
    others = ["scenes.workers=0", "tested_scenes=2", "trainer.max_epochs=2", "hydra.run.dir=run"]
    text = piped(tmp_path, "pretrain", *tiny_backbone, *small, *others)
    assert foreign_lines(text) == []
    assert "epoch 2/2  loss" in text


def test_a_report_prints_our_lines_alone(tmp_path: Path) -> None:
    text = piped(tmp_path, "report", "table=5", "output=out")
    assert foreign_lines(text) == []
    assert EXPERIMENTS[4] in text


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_help_whose_reader_has_gone_ends_without_a_word(unbuffered: str, tmp_path: Path) -> None:
    assert read_a_line(tmp_path, unbuffered, "train", "--help").startswith("Train a model on nuclei")


def test_a_training_whose_reader_has_gone_ends_without_a_word(tiny: list[str], tmp_path: Path) -> None:
    assert "What trains" in read_a_line(tmp_path, "", "train", *with_bars(tiny), "hydra.run.dir=run")


def read_a_line(folder: Path, unbuffered: str, name: str, *arguments: str) -> str:
    """The first line of a command whose output nobody reads any further."""
    process = subprocess.Popen(
        command(name, *arguments),
        cwd=folder,
        env=ENVIRONMENT | {"PYTHONUNBUFFERED": unbuffered},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    line = process.stdout.readline()
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(120) in (0, 141)
    assert said == ""
    return line
