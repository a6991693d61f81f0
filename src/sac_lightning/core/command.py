"""What every command has in common: its Hydra configuration, the check of its arguments, and its way to fail."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import hydra
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sac_lightning.core.configuration import (
    MULTIRUN_FLAGS,
    command_line,
    compose_config,
    config_dir,
    resolve_config,
    use_public_names,
)
from sac_lightning.core.errors import UserError
from sac_lightning.core.explanations import explain_error
from sac_lightning.core.files import existing_part, refuse_unwritable
from sac_lightning.core.output import end_without_reader
from sac_lightning.core.processes import let_waiting_threads_sleep
from sac_lightning.core.rows import store_rows
from sac_lightning.core.typed_settings import check_settings

# Launchers of Hydra that are extras of this package.
LAUNCHER_EXTRAS = {"hydra/launcher/submitit_slurm": "slurm", "hydra/launcher/ray": "ray"}

Work = Callable[[DictConfig], None]
Check = Callable[[DictConfig], object]
Complete = Callable[[DictConfig, Sequence[str]], list[str]]


def command(
    name: str, check: Check | None = None, complete: Complete | None = None
) -> Callable[[Work], Callable[[], None]]:
    """Return a decorator that makes a function of a configuration a program.

    Bad input ends the program with one sentence and status 1. The decorated function imports what it calls: torch
    takes seconds, which neither ``--help`` nor a misspelt key should cost.

    Args:
        name: Of the command's module and of its primary configuration file in ``conf/``, without their endings.
        check: Raises a UserError for a wrong configuration, as far as this shows without the libraries of the
            work. It is called for every job of a sweep.
        complete: Returns, from the configuration and the arguments of a command line that is no sweep, the
            arguments to add to it.
    """

    def decorate(work: Work) -> Callable[[], None]:
        def run(cfg: DictConfig) -> None:
            with _report_user_errors():
                work(use_public_names(cfg))

        run.__module__ = f"sac_lightning.{name}"  # Hydra calls the job after it.
        hydra_program = hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=name)(run)

        def program() -> None:
            let_waiting_threads_sleep()
            with end_without_reader():
                with _report_user_errors():
                    jobs = _check_arguments(name, sys.argv[1:], check)
                    if complete is not None and len(jobs) == 1:
                        sys.argv += complete(jobs[0], sys.argv[1:])
                store_rows(config_dir())
                hydra_program()

        return program

    return decorate


def require_paths(*keys: str) -> Check:
    """Return a check that the file or folder that each of some keys names exists; null names none."""

    def check(cfg: DictConfig) -> None:
        for key in keys:
            if cfg[key] is not None and not Path(str(cfg[key])).exists():
                raise UserError(f"{key}={cfg[key]} does not exist: give a path that does")

    return check


def _check_arguments(name: str, arguments: list[str], check: Check | None) -> list[DictConfig]:
    """Return the configuration of every job, checked before anything has begun.

    It is empty where the command line is left to Hydra: with flags such as ``--help``, and with errors that are
    not named below.

    Raises:
        UserError: The configuration does not have a choice or a key, it lacks a value, a value holds ``=`` outside
            of quotes (as the names of Lightning's checkpoints do), ``check`` refuses it, or the output folder
            cannot be made. Hydra would say the first and the last of them in a page.
    """
    if any(argument.startswith("-") and argument not in MULTIRUN_FLAGS for argument in arguments):
        return []
    configs = []
    _refuse_no_choice(arguments)
    try:
        asked = command_line(name, arguments)
        for job in asked.jobs:
            cfg = compose_config(name, job)
            configs.append(cfg)
            lacking = [f"{key}=" for key in map(str, cfg) if OmegaConf.is_missing(cfg, key)]
            if lacking:
                remedy = f"python -m sac_lightning.{name} --help says how"
                raise UserError(f"{' '.join(lacking)} must be given: {remedy}")
            check_settings(resolve_config(cfg))
            if check is not None:
                check(cfg)
        if asked.output_folder is not None:
            refuse_unwritable(existing_part(asked.output_folder), str(asked.output_folder))
        return configs
    except MissingConfigException as error:
        extra = LAUNCHER_EXTRAS.get(str(error.missing_cfg_file))
        if extra is not None:
            raise UserError(f"this launcher is not installed: pip install 'sac-lightning[{extra}]'") from error
        choices = ", ".join(error.options or ())
        typed = "=".join(str(error.missing_cfg_file).rsplit("/", 1))  # model/nonsense, typed as model=nonsense
        raise UserError(f"there is no {typed}: choose among {choices}") from error
    except ConfigCompositionException as error:
        first_line = str(error).splitlines()[0].rstrip(".")
        raise UserError(
            f"{first_line}: python -m sac_lightning.{name} --cfg job shows the keys that there are"
        ) from error
    except OverrideParseException as error:
        key, _, value = error.override.partition("=")
        if "=" not in value:
            return []
        raise UserError(
            f"{error.override} cannot be read, as the value holds =: put it in quotes of its own, "
            f"\"{key}='{value}'\""
        ) from error
    except (HydraException, OmegaConfBaseException):
        return []


def _refuse_no_choice(arguments: Sequence[str]) -> None:
    """Raise UserError if an argument chooses null from a group of the configuration."""
    for argument in arguments:
        group, _, choice = argument.partition("=")
        folder = config_dir() / group
        if choice == "null" and group and folder.is_dir():
            choices = ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
            raise UserError(f"{argument} chooses nothing: choose among {choices}")


@contextmanager
def _report_user_errors() -> Iterator[None]:
    """Turn an error that the user can remedy into one sentence and status 1.

    With HYDRA_FULL_ERROR=1, which Hydra knows too, every error keeps its traceback.
    """
    try:
        yield
    except Exception as error:
        sentence = explain_error(error)
        if sentence is None or os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(f"error: {sentence}", file=sys.stderr)
        sys.exit(1)
