"""Where the packaged Hydra configuration is, a whole one composed from it, and the jobs of a sweep."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from sac_lightning.core.errors import UserError
from sac_lightning.core.names import translate_names
from sac_lightning.core.rows import store_rows

MULTIRUN_FLAGS = ("-m", "--multirun")


def config_dir() -> Path:
    """Folder of the configuration: of the installed package, or ``conf/`` of a source checkout.

    A wheel and an editable install know ``conf/`` as the package ``sac_lightning.conf``; with only
    ``src`` on the path (``PYTHONPATH=src``) that package does not exist and the checkout's folder is used.
    """
    packaged = find_spec("sac_lightning.conf")
    if packaged is not None and packaged.submodule_search_locations:
        return Path(next(iter(packaged.submodule_search_locations)))
    return Path(__file__).resolve().parents[3] / "conf"


def read_choice(group: str, name: str) -> dict[str, Any]:
    """Read one file of the configuration as it stands, without what it takes from other files.

    Args:
        group: A folder of the configuration, such as ``backbone``.
        name: A file in it without its ending, such as ``vit_t``.

    Raises:
        UserError: There is no such file.
    """
    choices = {path.stem: path for path in sorted((config_dir() / group).glob("*.yaml"))}
    if name not in choices:
        raise UserError(f"there is no {group} {name}: choose one of {', '.join(choices)}")
    choice = OmegaConf.to_container(OmegaConf.load(choices[name]))
    assert isinstance(choice, dict)
    return {str(key): value for key, value in choice.items()}


def compose_config(config_name: str, overrides: Sequence[str] = ()) -> DictConfig:
    """Compose the configuration as a command would get it.

    Args:
        config_name: Primary file of ``conf/`` without its ending, such as ``train``.
        overrides: What one would type after the command, such as ``model=sam_ft``.
    """
    with _initialized_hydra():
        return use_public_names(compose(config_name, overrides=list(overrides)))


def use_public_names(cfg: DictConfig) -> DictConfig:
    """Return a configuration in which every ``_target_`` that has a former name has its public one."""
    given = OmegaConf.to_container(cfg)
    public = translate_names(given)
    if public == given:
        return cfg
    renamed: DictConfig = OmegaConf.create(public)
    OmegaConf.set_struct(renamed, True)
    return renamed


@contextmanager
def _initialized_hydra() -> Iterator[None]:
    """Let Hydra read the packaged configuration, the rows of tables among it."""
    store_rows(config_dir())
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        yield


@dataclass(frozen=True)
class CommandLine:
    """What Hydra would make of what one types after a command.

    Attributes:
        jobs: The overrides of every job: of one, or of those of a sweep.
        hydra: Hydra's own configuration.
        is_sweep: Whether it is one.
    """

    jobs: list[list[str]]
    hydra: DictConfig
    is_sweep: bool

    @property
    def output_folder(self) -> Path | None:
        """The folder into which Hydra would write, the run's or the sweep's; None: into none."""
        if self.hydra.output_subdir is None:
            return None
        return Path(self.hydra.sweep.dir if self.is_sweep else self.hydra.run.dir).absolute()


def command_line(config_name: str, overrides: Sequence[str]) -> CommandLine:
    """Reads a command line as Hydra would.

    Args:
        config_name: As for compose_config.
        overrides: What one would type, an experiment or comma-separated values among it; ``-m`` is understood.
    """
    arguments = [override for override in overrides if override not in MULTIRUN_FLAGS]
    with _initialized_hydra():
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        cfg = hydra.compose_config(
            config_name,
            arguments,
            run_mode=RunMode.MULTIRUN,
            with_log_configuration=False,
            validate_sweep_overrides=False,
        )
        if cfg.hydra.mode != RunMode.MULTIRUN and len(arguments) == len(overrides):
            return CommandLine([arguments], cfg.hydra, is_sweep=False)
        swept = [f"{key}={value}" for key, value in (cfg.hydra.sweeper.params or {}).items()]
        parser = OverridesParser.create(hydra.config_loader)
        jobs = BasicSweeper.split_arguments(parser.parse_overrides([*swept, *arguments]), None)[0]
        return CommandLine(jobs, cfg.hydra, is_sweep=True)


def sweep_jobs(config_name: str, overrides: Sequence[str]) -> list[list[str]]:
    """The overrides of every job that a command line stands for; see command_line."""
    return command_line(config_name, overrides).jobs


def resolve_config(cfg: DictConfig) -> dict[str, Any]:
    """Return a configuration with its interpolations resolved, as plain dicts and lists.

    Paths in it are relative to the output folder: a record or a checkpoint is the same wherever it was made.
    """
    relative = OmegaConf.merge(cfg, {"output_dir": "."}) if "output_dir" in cfg else cfg
    config = OmegaConf.to_container(relative, resolve=True)
    assert isinstance(config, dict)
    return {str(key): value for key, value in config.items()}
