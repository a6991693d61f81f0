"""What every command has in common: its Hydra configuration, its late start of the work, and its way to fail."""

import errno
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from pkgutil import resolve_name

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sac_lightning.core.configuration import MULTIRUN_FLAGS, command_line, compose_config, config_dir
from sac_lightning.core.errors import UserError
from sac_lightning.core.files import existing_part, refuse_unwritable

# Launchers of Hydra that are extras of this package.
LAUNCHER_EXTRAS = {"hydra/launcher/submitit_slurm": "slurm", "hydra/launcher/ray": "ray"}

# What the operating system says of a disk or a folder, and not of us, with the remedy.
FULL = "make room there and start the same command again; what was written before is whole"
FORBIDDEN = "change who may write there, or choose another folder"
REMEDIES = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EROFS: FORBIDDEN,
    errno.EACCES: FORBIDDEN,
    errno.EPERM: FORBIDDEN,
}

Check = Callable[[DictConfig], object]


def command(name: str, work: str, check: Check | None = None, job: str | None = None) -> Callable[[], None]:
    """Makes a function of a configuration a program: bad input ends it with one sentence and status 1.

    Args:
        name: Of the command's module and of its primary configuration file in ``conf/``, without their endings.
        work: The function, as ``module:function``. It is imported when the arguments have been accepted: torch
            takes seconds, which neither ``--help`` nor a misspelt key should cost.
        check: Refuses a configuration by a UserError, as far as can be seen without the libraries of the work.
        job: What to do instead for a job of a multirun, as ``module:function``.
    """

    def run(cfg: DictConfig) -> None:
        is_job = HydraConfig.get().mode == RunMode.MULTIRUN
        with _report_user_errors():
            resolve_name(job if job is not None and is_job else work)(cfg)

    run.__module__ = f"sac_lightning.{name}"  # Hydra calls the job after it.
    hydra_program = hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=name)(run)

    def program() -> None:
        with _report_user_errors():
            _check_arguments(name, sys.argv[1:], check)
        hydra_program()

    return program


def require_paths(*keys: str) -> Check:
    """Return a check that what some keys name, if anything, is there: a file or a folder."""

    def check(cfg: DictConfig) -> None:
        for key in keys:
            if cfg[key] is not None and not Path(str(cfg[key])).exists():
                raise UserError(f"{key}={cfg[key]} does not exist: give a path that does")

    return check


def _check_arguments(name: str, arguments: list[str], check: Check | None) -> None:
    """Raise UserError if arguments are wrong, in any job of a sweep, before anything has begun.

    Whatever may be wrong but what is named below is left to Hydra, and so are its flags.

    Raises:
        UserError: The configuration does not have a choice or a key, it lacks a value, a value holds ``=`` outside
            of quotes (as the names of Lightning's checkpoints do), ``check`` refuses it, or the output folder
            cannot be made. Hydra would say the first and the last of them in a page.
    """
    if any(argument.startswith("-") and argument not in MULTIRUN_FLAGS for argument in arguments):
        return
    try:
        asked = command_line(name, arguments)
        for job in asked.jobs:
            cfg = compose_config(name, job)
            lacking = [f"{key}=" for key in map(str, cfg) if OmegaConf.is_missing(cfg, key)]
            if lacking:
                remedy = f"python -m sac_lightning.{name} --help says how"
                raise UserError(f"{' '.join(lacking)} must be given: {remedy}")
            if check is not None:
                check(cfg)
        if asked.output_folder is not None:
            refuse_unwritable(existing_part(asked.output_folder), str(asked.output_folder))
    except MissingConfigException as error:
        extra = LAUNCHER_EXTRAS.get(str(error.missing_cfg_file))
        if extra is not None:
            raise UserError(f"this launcher is not installed: pip install 'sac-lightning[{extra}]'") from error
        choices = ", ".join(error.options or ())
        raise UserError(f"there is no {error.missing_cfg_file}: choose among {choices}") from error
    except ConfigCompositionException as error:
        first_line = str(error).splitlines()[0].rstrip(".")
        raise UserError(
            f"{first_line}: python -m sac_lightning.{name} --cfg job shows the keys that there are"
        ) from error
    except OverrideParseException as error:
        key, _, value = error.override.partition("=")
        if "=" not in value:
            return
        raise UserError(
            f"{error.override} cannot be read, as the value holds =: put it in quotes of its own, "
            f"\"{key}='{value}'\""
        ) from error
    except (HydraException, OmegaConfBaseException):
        return


@contextmanager
def _report_user_errors() -> Iterator[None]:
    """Turn an error that is the user's into one sentence and status 1."""
    try:
        yield
    except (UserError, OSError, InstantiationException, OmegaConfBaseException) as error:
        sentence = _sentence(error)
        if sentence is None:
            raise
        print(f"error: {sentence}", file=sys.stderr)
        sys.exit(1)


def _sentence(error: BaseException) -> str | None:
    """The sentence for a user, or None where the error is a defect of ours that deserves its traceback."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OmegaConfBaseException):
        return " ".join(str(error).split())
    if isinstance(error, OSError) and error.errno in REMEDIES:
        return f"{error.filename or 'a file'} cannot be written ({error.strerror}): {REMEDIES[error.errno]}"
    cause = error.__cause__
    return _sentence(cause) if cause is not None else None
