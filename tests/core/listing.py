"""A command that writes down what it has imported."""

import runpy
import sys
from pathlib import Path


def run_and_list_imports(file: str, command: str, *arguments: str) -> None:
    """In a process of its own: run a command as ``python -m`` does, then write down what is imported."""
    sys.argv = [command, *arguments]
    try:
        runpy.run_module(f"sac_lightning.{command}", run_name="__main__", alter_sys=True)
    finally:
        Path(file).write_text(" ".join({name.partition(".")[0] for name in sys.modules}))
