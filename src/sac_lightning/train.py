"""``python -m sac_lightning.train``: fit, test the best checkpoint, write ``results.json``."""

import sys

from omegaconf import DictConfig

from sac_lightning.arguments import refuse_arguments
from sac_lightning.command import command, existing
from sac_lightning.configuration import config_dir
from sac_lightning.errors import UserError


def check(cfg: DictConfig) -> None:
    """Refuses what can be told at once: no such checkpoint, no such value, a choice that has no say."""
    existing("resume")(cfg)
    refuse_arguments(cfg)
    recipe = config_dir() / "recipe" / str(cfg.recipe.name) / f"{cfg.model.name}.yaml"
    for argument in sys.argv[1:]:
        if argument.startswith(("loss=", "scheduler=")) and recipe.is_file():
            raise UserError(
                f"{argument} has no say with recipe=own, as {cfg.model.name} brings its own: add recipe=shared"
            )


main = command("train", "sac_lightning.training:train", check, job="sac_lightning.sweep:run_job")

if __name__ == "__main__":
    main()
