"""What every command has in common: its Hydra configuration, the check of its arguments, and its way to fail."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf

from sac_lightning.core.command_line import (
    EXPERIMENT,
    CommandLine,
    Flags,
    read_command_line,
    read_flags,
    split_experiments,
)
from sac_lightning.core.configuration import compose_config, config_dir, resolve_config, use_public_names
from sac_lightning.core.errors import UserError
from sac_lightning.core.explanations import explain_error
from sac_lightning.core.files import claim_folder, existing_part, refuse_unwritable
from sac_lightning.core.hydra_errors import explain_hydra
from sac_lightning.core.output import end_without_reader
from sac_lightning.core.processes import is_first_process, let_waiting_threads_sleep
from sac_lightning.core.rows import store_rows
from sac_lightning.core.texts import keep_texts, quote
from sac_lightning.core.typed_settings import check_settings

Work = Callable[[DictConfig], None]
Check = Callable[[DictConfig], object]
Complete = Callable[[DictConfig, Sequence[str]], list[str]]
Imply = Callable[[Sequence[str]], list[str]]
CheckSweep = Callable[[CommandLine, Sequence[DictConfig]], None]

INTERRUPTED = 130
"""Status of a program that SIGINT has ended, as shells have it."""


def command(
    name: str,
    check: Check | None = None,
    complete: Complete | None = None,
    check_sweep: CheckSweep | None = None,
    imply: Imply | None = None,
) -> Callable[[Work], Callable[[], None]]:
    """Return a decorator that makes a function of a configuration a program.

    Bad input ends the program with one sentence and status 1. The decorated function imports what it calls: torch
    takes seconds, which neither ``--help`` nor a misspelt key should cost.

    Args:
        name: Of the command's module and of its primary configuration file in ``conf/``, without their endings.
        check: Raises a UserError for a wrong configuration, as far as this shows without the libraries of the
            work. It is called for every job of a sweep.
        complete: Returns, from the configuration and the overrides of a command line that is no sweep, the
            overrides to add to it.
        check_sweep: Raises a UserError for a sweep whose jobs, each right by itself, should not be begun. It gets
            their configurations.
        imply: Returns, from the overrides as typed, of a sweep too, the choices that they imply and leave open.
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
                    typed = keep_texts(sys.argv[1:])
                    if imply is not None:
                        typed += imply(read_flags(typed).overrides)
                    flags = read_flags(typed)
                    prepare = partial(_prepare, name, check=check, complete=complete, check_sweep=check_sweep)
                    each = [prepare(one) for one in _split(name, flags)] if flags.runs else [typed]
                store_rows(config_dir())
                _run_each(hydra_program, each)

        return program

    return decorate


def require_paths(*keys: str) -> Check:
    """Return a check that the file or folder that each of some keys names exists; null names none."""

    def check(cfg: DictConfig) -> None:
        for key in keys:
            if cfg[key] is not None and not Path(str(cfg[key])).exists():
                raise UserError(f"{key}={cfg[key]} does not exist: give a path that does")

    return check


def _split(name: str, flags: Flags) -> list[Flags]:
    """Return a command line as one for each experiment that it names."""
    with explain_hydra(name):
        return split_experiments(flags)
    return [flags]


def _prepare(
    name: str, flags: Flags, check: Check | None, complete: Complete | None, check_sweep: CheckSweep | None
) -> list[str]:
    """Return the arguments for Hydra, after a check of every job before anything has begun.

    They are what was typed where that is left to Hydra, with errors that are not named below.

    Raises:
        UserError: The configuration does not have a choice or a key, it lacks a value, a value cannot be read or
            is a list outside of a sweep, ``check`` or ``check_sweep`` refuses it, or the output folder cannot be
            made. Hydra would say most of this in a page.
    """
    _refuse_no_choice(flags.overrides)
    with explain_hydra(name):
        config_name = flags.config_name or name
        line = read_command_line(config_name, flags)
        configs = [compose_config(config_name, job, flags.folders) for job in line.jobs]
        for cfg in configs:
            lacking = [f"{key}=" for key in map(str, cfg) if OmegaConf.is_missing(cfg, key)]
            if lacking:
                remedy = f"python -m sac_lightning.{name} --help says how"
                raise UserError(f"{' '.join(lacking)} must be given: {remedy}")
            check_settings(resolve_config(cfg))
            if check is not None:
                check(cfg)
        if line.output_folder is not None:
            refuse_unwritable(existing_part(line.output_folder), str(line.output_folder))
        if line.is_sweep and check_sweep is not None:
            check_sweep(line, configs)
        return flags.arguments(_complete(line, configs, complete))
    return flags.arguments(flags.overrides)


def _complete(line: CommandLine, configs: Sequence[DictConfig], complete: Complete | None) -> list[str]:
    """Return the overrides with those that ``complete`` adds, or with a folder that no other run has."""
    if line.is_sweep:
        return line.overrides
    added = [] if complete is None else complete(configs[0], line.overrides)
    if not added and line.is_named_by_time and is_first_process():
        assert line.output_folder is not None
        added = [f"hydra.run.dir={quote(str(claim_folder(line.output_folder)))}"]
    return [*line.overrides, *added]


def _run_each(hydra_program: Callable[[], object], each: Sequence[Sequence[str]]) -> None:
    """Let Hydra run command lines one after the other; of several, none stops the others."""
    failed = False
    for arguments in each:
        sys.argv[1:] = arguments
        if len(each) == 1:
            hydra_program()
            return
        print(*(argument for argument in arguments if EXPERIMENT in argument.partition("=")[0]), flush=True)
        try:
            hydra_program()
        except SystemExit as end:
            failed = failed or bool(end.code)
    if failed:
        sys.exit(1)


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
    """Turn an error that the user can remedy into one sentence and status 1, an interruption into one and 130.

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
    except KeyboardInterrupt:
        print("interrupted: what was finished is kept", file=sys.stderr)
        sys.exit(INTERRUPTED)
