"""What every command has in common: its Hydra configuration and its way to fail."""

import functools
import sys
from collections.abc import Callable

import hydra
from hydra.errors import InstantiationException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from sac_lightning.configuration import config_dir
from sac_lightning.errors import UserError


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

        program: Callable[[], None] = hydra.main(
            version_base="1.3", config_path=str(config_dir()), config_name=config_name
        )(run)
        return program

    return decorate


def _sentence(error: BaseException) -> str | None:
    """The sentence for a user, or None where the error is a defect of ours that deserves its traceback."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OmegaConfBaseException):
        return " ".join(str(error).split())
    cause = error.__cause__
    return _sentence(cause) if cause is not None else None
