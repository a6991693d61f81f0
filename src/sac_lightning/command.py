"""What every command has in common: its Hydra configuration and its way to fail."""

import functools
import sys
from collections.abc import Callable

import hydra
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    InstantiationException,
    MissingConfigException,
)
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from sac_lightning.configuration import MULTIRUN_FLAGS, composed, config_dir, sweep_jobs
from sac_lightning.errors import UserError

# Launchers of Hydra that are extras of this package.
LAUNCHER_EXTRAS = {"hydra/launcher/submitit_slurm": "slurm", "hydra/launcher/ray": "ray"}


def command(config_name: str) -> Callable[[Callable[[DictConfig], None]], Callable[[], None]]:
    """Makes a function of a configuration a program: bad input ends it with one sentence and status 1.

    Args:
        config_name: Primary configuration file of ``conf/``, without its ending.
    """

    def decorate(function: Callable[[DictConfig], None]) -> Callable[[], None]:
        @functools.wraps(function)
        def run(cfg: DictConfig) -> None:
            try:
                function(cfg)
            except (UserError, InstantiationException, OmegaConfBaseException) as error:
                sentence = _sentence(error)
                if sentence is None:
                    raise
                print(f"error: {sentence}", file=sys.stderr)
                sys.exit(1)

        hydra_program = hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=config_name)(run)

        @functools.wraps(function)
        def program() -> None:
            sentence = _unknown_value(config_name, sys.argv[1:])
            if sentence is not None:
                print(f"error: {sentence}", file=sys.stderr)
                sys.exit(1)
            hydra_program()

        return program

    return decorate


def _unknown_value(config_name: str, arguments: list[str]) -> str | None:
    """What is wrong with a choice or a key that the configuration does not have, in any job of a sweep; else None.

    Hydra would say it in a page. Whatever else may be wrong is left to Hydra, and so are its other flags.
    """
    if any(argument.startswith("-") and argument not in MULTIRUN_FLAGS for argument in arguments):
        return None
    try:
        for job in sweep_jobs(config_name, arguments):
            composed(config_name, job)
    except MissingConfigException as error:
        extra = LAUNCHER_EXTRAS.get(str(error.missing_cfg_file))
        if extra is not None:
            return f"this launcher is not installed: pip install 'sac-lightning[{extra}]'"
        return f"there is no {error.missing_cfg_file}: choose among {', '.join(error.options or ())}"
    except ConfigCompositionException as error:
        first_line = str(error).splitlines()[0].rstrip(".")
        return f"{first_line}: python -m sac_lightning.{config_name} --cfg job shows the keys that there are"
    except (HydraException, OmegaConfBaseException):
        return None
    return None


def _sentence(error: BaseException) -> str | None:
    """The sentence for a user, or None where the error is a defect of ours that deserves its traceback."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OmegaConfBaseException):
        return " ".join(str(error).split())
    cause = error.__cause__
    return _sentence(cause) if cause is not None else None
