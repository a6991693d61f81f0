"""``python -m sac_lightning.models``: the register of models, one of them, or whether files are as it says."""

from pathlib import Path

from omegaconf import DictConfig

from sac_lightning.core.command import command
from sac_lightning.core.errors import UserError
from sac_lightning.model.register import REGISTER
from sac_lightning.model.registered import nearest_name


def check(cfg: DictConfig) -> None:
    """Raise UserError if there is no such model, or a file is given without being there or to be verified."""
    if not isinstance(cfg.verify, bool):
        raise UserError(f"verify is {cfg.verify}: choose true or false")
    if cfg.name is not None and cfg.name not in REGISTER:
        raise UserError(
            f"there is no model {cfg.name}: the nearest name is {nearest_name(str(cfg.name))}, and "
            "python -m sac_lightning.models lists all"
        )
    if cfg.file is None:
        return
    if not cfg.verify or cfg.name is None:
        raise UserError(f"file={cfg.file} is verified as one model's: add verify=true and name=NAME")
    if not Path(cfg.file).is_file():
        raise UserError(f"file={cfg.file} does not exist: give a file that does")


@command("models", check)
def main(cfg: DictConfig) -> None:
    """List, show or verify models."""
    from sac_lightning.model.register_table import models

    models(cfg)


if __name__ == "__main__":
    main()
