"""Where the packaged Hydra configuration is, a whole one composed from it, and the jobs of a sweep."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

MULTIRUN_FLAGS = ("-m", "--multirun")


def config_dir() -> Path:
    """Folder of the configuration: of the installed package, or ``conf/`` of a source checkout.

    A wheel and an editable install know ``conf/`` as the package ``sac_lightning.conf``; with only
    ``src`` on the path (``PYTHONPATH=src``) that package does not exist and the checkout's folder is used.
    """
    packaged = find_spec("sac_lightning.conf")
    if packaged is not None and packaged.submodule_search_locations:
        return Path(next(iter(packaged.submodule_search_locations)))
    return Path(__file__).resolve().parents[2] / "conf"


def composed(config_name: str, overrides: Sequence[str] = ()) -> DictConfig:
    """The configuration as a command would get it.

    Args:
        config_name: Primary file of ``conf/`` without its ending, such as ``train``.
        overrides: What one would type after the command, such as ``model=sam_ft``.
    """
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose(config_name, overrides=list(overrides))


def sweep_jobs(config_name: str, overrides: Sequence[str]) -> list[list[str]]:
    """The overrides of every job that a command line stands for: one list, or the jobs of its sweep.

    Args:
        config_name: As for composed.
        overrides: What one would type, an experiment or comma-separated values among it; ``-m`` is understood.
    """
    arguments = [override for override in overrides if override not in MULTIRUN_FLAGS]
    with _command_line(config_name, overrides) as (hydra, cfg, is_sweep):
        if not is_sweep:
            return [arguments]
        swept = [f"{key}={value}" for key, value in (cfg.hydra.sweeper.params or {}).items()]
        parser = OverridesParser.create(hydra.config_loader)
        return BasicSweeper.split_arguments(parser.parse_overrides([*swept, *arguments]), None)[0]


def output_folder(config_name: str, overrides: Sequence[str]) -> Path | None:
    """The folder into which Hydra would write for a command line, the run's or the sweep's; None: into none.

    Args:
        config_name: As for composed.
        overrides: As for sweep_jobs.
    """
    with _command_line(config_name, overrides) as (_, cfg, is_sweep):
        if cfg.hydra.output_subdir is None:
            return None
        return Path(cfg.hydra.sweep.dir if is_sweep else cfg.hydra.run.dir).absolute()


@contextmanager
def _command_line(config_name: str, overrides: Sequence[str]) -> Iterator[tuple[Hydra, DictConfig, bool]]:
    """Hydra, the configuration with Hydra's own of what one would type, and whether it is a sweep."""
    arguments = [override for override in overrides if override not in MULTIRUN_FLAGS]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        cfg = hydra.compose_config(
            config_name,
            arguments,
            run_mode=RunMode.MULTIRUN,
            with_log_configuration=False,
            validate_sweep_overrides=False,
        )
        yield hydra, cfg, cfg.hydra.mode == RunMode.MULTIRUN or len(arguments) < len(overrides)


def plain(cfg: DictConfig) -> dict[str, Any]:
    """A configuration with its interpolations resolved, as plain dicts and lists.

    Paths in it are relative to the output folder: a record or a checkpoint is the same wherever it was made.
    """
    config = OmegaConf.to_container(OmegaConf.merge(cfg, {"output_dir": "."}), resolve=True)
    assert isinstance(config, dict)
    return {str(key): value for key, value in config.items()}
