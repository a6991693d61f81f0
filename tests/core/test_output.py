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
