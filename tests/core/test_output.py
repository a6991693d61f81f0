"""What a command does when nobody reads its output any more."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# A command whose work prints, as those of the package do; what is swallowed in between would go on.
COMMAND = """
from sac_lightning.core.command import command

@command("parameters")
def main(cfg):
    try:
        print("some")
    except Exception:
        pass
    print("more")

main()
"""


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize(
    ("arguments", "errors"),
    [([], subprocess.PIPE), (["--help"], subprocess.PIPE), (["no_such=key"], subprocess.STDOUT)],
    ids=["work", "help", "refusal"],
)
def test_a_command_without_reader_ends_without_a_word_as_by_the_signal(
    unbuffered: str, arguments: list[str], errors: int, tmp_path: Path
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments],
        cwd=tmp_path,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        stdout=writing,
        stderr=errors,
        text=True,
        check=False,
    )
    os.close(writing)
    assert process.returncode == 141
    assert not process.stderr


LOGGING = """
import logging
from sac_lightning.core.command import command

@command({name!r})
def main(cfg):
    for logger in ("matplotlib.font_manager", "sac_lightning.model.weights"):
        logging.getLogger(logger).info("by the way")
        logging.getLogger(logger).warning("look out")

main()
"""


@pytest.mark.parametrize("name", ["train", "evaluate", "pretrain", "benchmark"])
def test_what_a_foreign_library_says_by_the_way_is_not_shown(name: str, tmp_path: Path) -> None:
    """Matplotlib finds its fonts when it is first used on a machine, and said so in front of the first epoch."""
    given = [f"hydra.run.dir={tmp_path}", *(["checkpoint=some.ckpt"] if name == "evaluate" else [])]
    said = subprocess.run(
        [sys.executable, "-c", LOGGING.format(name=name), *given],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    lines = [line.split("]", 1)[1].strip() for line in said.splitlines()]
    assert lines == [
        "[matplotlib.font_manager][WARNING] - look out",
        "[sac_lightning.model.weights][INFO] - by the way",
        "[sac_lightning.model.weights][WARNING] - look out",
    ]
