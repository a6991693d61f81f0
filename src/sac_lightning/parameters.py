"""``python -m sac_lightning.parameters``: the parameters of methods, backbones and networks; Table 6 is there."""

from omegaconf import DictConfig

from sac_lightning.core.command import command
from sac_lightning.core.configuration import compose_config
from sac_lightning.core.errors import UserError

FORMATS = ("table", "json")


def check(cfg: DictConfig) -> None:
    """Raise UserError if something that is asked for does not exist; the plain configuration names all there is.

    Raises:
        UserError: There is no such method, backbone, network or format.
    """
    if cfg.format not in FORMATS:
        raise UserError(f"format is {cfg.format}: choose {' or '.join(FORMATS)}")
    every = compose_config("parameters")
    for key, kind in (("methods", "method"), ("backbones", "backbone"), ("networks", "network")):
        given = {cfg[key]} if isinstance(cfg[key], str) else set(cfg[key])
        for name in given.difference(every[key]):
            raise UserError(f"there is no {kind} {name}: choose among {', '.join(every[key])}")


@command("parameters", check)
def main(cfg: DictConfig) -> None:
    """Print the numbers of parameters."""
    from sac_lightning.model.parameter_table import parameters

    parameters(cfg)


if __name__ == "__main__":
    main()
