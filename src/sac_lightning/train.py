"""``python -m sac_lightning.train``: fit, test the best checkpoint, write ``results.json``."""

import sys
from pathlib import Path

from omegaconf import DictConfig

from sac_lightning.core.arguments import refuse_arguments
from sac_lightning.core.command import command, require_paths
from sac_lightning.core.configuration import config_dir, resolve_config
from sac_lightning.core.errors import UserError
from sac_lightning.runs.unfinished import is_first_process, unfinished_run


def check(cfg: DictConfig) -> None:
    """Refuses what can be told at once: no such checkpoint, no such value, a choice that has no effect."""
    require_paths("resume")(cfg)
    refuse_arguments(cfg)
    recipe = config_dir() / "recipe" / str(cfg.recipe.name) / f"{cfg.model.name}.yaml"
    for argument in sys.argv[1:]:
        if argument.startswith(("loss=", "scheduler=")) and recipe.is_file():
            raise UserError(
                f"{argument} has no effect with recipe=own, as {cfg.model.name} brings its own: add recipe=shared"
            )
    go_on(cfg)


def go_on(cfg: DictConfig) -> None:
    """Lets the program run in the folder of the same training that was interrupted, if there is one.

    A sweep does so for each of its jobs, a training whose folder was given finds itself there, and the processes
    of a distributed training get their folder from the first.
    """
    own = ("-", "hydra.", "output_dir=", "resume=", "+experiment=")
    if any(argument.startswith(own) for argument in sys.argv[1:]) or not is_first_process():
        return
    run = unfinished_run(Path(cfg.folder), resolve_config(cfg))
    if run is not None:
        print(f"Going on with {run}, which was interrupted. To start anew, remove it.")
        sys.argv.append(f"hydra.run.dir='{run}'")


main = command("train", "sac_lightning.training.run:train", check, job="sac_lightning.runs.sweep:run_job")

if __name__ == "__main__":
    main()
