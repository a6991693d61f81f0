"""Sweeps whose jobs are stood in for: what a sweep starts, at once, without a training."""

import json
import os
import sys
from pathlib import Path

from sac_lightning.core.configuration import compose_config, resolve_config
from sac_lightning.runs import sweep
from sac_lightning.runs.record import RECORD_FILE, record_header, record_provenance, write_record
from sac_lightning.train import main

COMMANDS = "commands.jsonl"


def write_stand_in_record(folder: Path, *overrides: str) -> None:
    """Write a record of a training that never was."""
    config = resolve_config(compose_config("train", [*overrides, "output_dir=x"]))
    about = {**record_header(config), **record_provenance(config)}
    write_record(
        folder / RECORD_FILE, {**about, "metrics": {}, "prompt_quality": {}, "images": [], "parameters": {}}
    )


def train_with_stand_ins(script: str, *arguments: str) -> None:
    """Run the command ``train``, of whose jobs each only runs a shell script in the folder of its run.

    The command line that each job would have had is a line of ``commands.jsonl``.
    """
    started_in = Path.cwd()
    original = sweep.job_command

    def job_command(folder: Path) -> list[str]:
        with (started_in / COMMANDS).open("a") as file:
            file.write(json.dumps(original(folder)[3:]) + "\n")
        return ["sh", "-c", f"cd {folder} && {script}"]

    sweep.job_command = job_command
    os.environ["START"] = str(started_in)
    sys.argv = ["train", *arguments]
    main()


def train_with_threads(threads: str, *arguments: str) -> None:
    """Run the command ``train`` as somebody does who has set OMP_NUM_THREADS."""
    os.environ["OMP_NUM_THREADS"] = threads
    os.environ["START"] = str(Path.cwd())
    sys.argv = ["train", *arguments]
    main()
