"""Which version of the code a run's numbers come from: a hash of what can change them, and of nothing else.

It covers every module of the package but those in ``NOT_COVERED``, without comments, docstrings and layout. A
record made by another version is no reason to skip a run.
"""

import hashlib
from functools import cache
from pathlib import Path

from sac_lightning.core.source import strip_docstrings

PACKAGE = Path(__file__).parents[1]
# Commands and views: they read what a run has made, start one, or make the weights that it starts from.
NOT_COVERED = (
    "arguments.py",
    "benchmark.py",
    "benchmarking",
    "code_version.py",
    "command.py",
    "dashboard.py",
    "data/official",
    "demo.py",
    "doctor.py",
    "encoded_image.py",
    "errors.py",
    "evaluate.py",
    "evaluation.py",
    "examination.py",
    "export.py",
    "exporting",
    "folder_prediction.py",
    "leakage.py",
    "page",
    "paper",
    "parameter_table.py",
    "parameters.py",
    "picture.py",
    "predict.py",
    "predictor.py",
    "preparation.py",
    "prepare.py",
    "pretrain.py",
    "pretraining",
    "report.py",
    "reporting",
    "separation",
    "slides",
    "summary.py",
    "sweep.py",
    "train.py",
    "unfinished.py",
    "wandb_view.py",
    "wandb_workspace.py",
    "whole_checkpoints.py",
    "whole_file.py",
)


@cache
def code_version() -> str:
    """SHA-256 of the covered modules, as this minor version of Python reads them."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not any(name == part or name.startswith(f"{part}/") for part in NOT_COVERED):
            digest.update(f"{name}\n{strip_docstrings(path.read_text(encoding='utf-8'))}\n".encode())
    return digest.hexdigest()
