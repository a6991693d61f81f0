"""``python -m sac_lightning.train``: fit, test the best checkpoint, write ``results.json``."""

import sys
from collections.abc import Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from sac_lightning.core.arguments import refuse_arguments, refuse_overruled
from sac_lightning.core.command import command, require_paths
from sac_lightning.core.configuration import resolve_config
from sac_lightning.core.errors import UserError
from sac_lightning.core.processes import is_first_process
from sac_lightning.core.texts import quote
from sac_lightning.inference.thresholds import refuse_method
from sac_lightning.model.registered import find_checkpoint, find_recipe, require_checkpoint
from sac_lightning.runs.requirements import check_sweep
from sac_lightning.runs.unfinished import unfinished_run

# With these one has chosen a folder.
CHOSEN = ("hydra.run.dir=", "output_dir=")


def check(cfg: DictConfig) -> None:
    """Raise UserError if an argument cannot be right, as far as this shows without torch."""
    require_checkpoints(cfg)
    refuse_arguments(cfg)
    refuse_method(cfg.instances)
    refuse_overruled(cfg, sys.argv[1:])


def require_checkpoints(cfg: DictConfig) -> None:
    """Raise UserError if ``resume`` or ``init`` names no file, nor ``init`` a model, or both are given."""
    require_paths("resume")(cfg)
    if cfg.init is not None:
        require_checkpoint(cfg.init, "init")
    if cfg.resume is not None and cfg.init is not None:
        raise UserError(
            "resume= goes on with a training and init= starts a new one from its weights: give one of the two"
        )
    paths = {"resume": cfg.resume, "init": cfg.init and find_checkpoint(cfg.init)}
    for key, path in paths.items():
        if path is not None and Path(path).is_dir():
            raise UserError(f"{key}={cfg[key]} is a folder: give the .ckpt in it, such as checkpoints/last.ckpt")


def continue_run(cfg: DictConfig, arguments: Sequence[str]) -> list[str]:
    """Return the argument with which a training that was interrupted goes on in its folder; [] for a new one."""
    if any(argument.startswith(CHOSEN) for argument in arguments) or not is_first_process():
        return []
    run = unfinished_run(Path(cfg.folder), resolve_config(cfg))
    return [] if run is None else [f"hydra.run.dir={quote(str(run))}"]


@command("train", check, complete=continue_run, check_sweep=check_sweep, imply=find_recipe)
def main(cfg: DictConfig) -> None:
    """Train; of a sweep, start each job in a process of its own."""
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        from sac_lightning.runs.sweep import run_job as work
    else:
        from sac_lightning.training.run import train as work
    work(cfg)


if __name__ == "__main__":
    main()
