"""A command line as Hydra reads it: its flags, the folders of its configuration, the jobs that it stands for."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.conf import HydraConf
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from sac_lightning.core.configuration import ConfigFolders, initialized_hydra
from sac_lightning.core.errors import UserError
from sac_lightning.core.texts import keep_texts

EXPERIMENT = "experiment"


@dataclass(frozen=True)
class Flags:
    """What is typed after a command, taken apart.

    Attributes:
        overrides: What is no flag, with names that look like numbers in quotes.
        sweeps: Whether ``-m`` is there.
        folders: Where configuration files are.
        config_name: Primary file that is to replace the command's; None without ``--config-name``.
        runs: False where Hydra only answers a question, such as ``--help`` or ``--cfg``.
    """

    overrides: list[str]
    sweeps: bool = False
    folders: ConfigFolders = field(default_factory=ConfigFolders)
    config_name: str | None = None
    runs: bool = True

    def arguments(self, overrides: Sequence[str]) -> list[str]:
        """Return what to type for the same flags with other overrides."""
        named = [] if self.config_name is None else [f"--config-name={self.config_name}"]
        return [*folder_flags(self.folders), *named, *(["-m"] if self.sweeps else []), *overrides]


def read_flags(arguments: Sequence[str]) -> Flags:
    """Take apart what is typed after a command.

    Raises:
        UserError: A folder of configuration files is not there.
    """
    known, others = get_args_parser().parse_known_args(list(arguments))
    # argparse takes overrides up to a flag; those behind it are among the others.
    overrides = keep_texts([*known.overrides, *(other for other in others if not other.startswith("-"))])
    asks = known.help or known.hydra_help or known.cfg or known.info or known.shell_completion
    unknown = any(other.startswith("-") for other in others)
    if asks or unknown or known.experimental_rerun is not None:
        return Flags(overrides, runs=False)
    folders = ConfigFolders()
    if known.config_path is not None:
        if not Path(known.config_path).is_absolute():
            raise UserError(
                f"--config-path={known.config_path} takes the place of the whole configuration and must be an "
                "absolute path: --config-dir adds a folder to the configuration"
            )
        folders = ConfigFolders(main=_existing("--config-path", known.config_path))
    if known.config_dir is not None:
        folders = ConfigFolders(folders.main, _existing("--config-dir", known.config_dir))
    return Flags(overrides, known.multirun, folders, known.config_name)


def _existing(flag: str, folder: str) -> Path:
    """Return a folder of configuration files as an absolute path."""
    if not Path(folder).is_dir():
        raise UserError(f"{flag}={folder} does not exist: give a folder that does")
    return Path(folder).absolute()


def folder_flags(folders: ConfigFolders) -> list[str]:
    """Return the flags with which a command finds its configuration in these folders."""
    main = [] if folders.main == ConfigFolders().main else [f"--config-path={folders.main}"]
    return main if folders.own is None else [*main, f"--config-dir={folders.own}"]


def folders_of(hydra: DictConfig | HydraConf) -> ConfigFolders:
    """Return where Hydra found the configuration of a job, by its own configuration there."""
    found = {source.provider: Path(source.path) for source in hydra.runtime.config_sources}
    return ConfigFolders(found.get("main", ConfigFolders().main), found.get("command-line"))


@dataclass(frozen=True)
class CommandLine:
    """What Hydra would make of what one types after a command.

    Attributes:
        overrides: As typed, of one experiment.
        jobs: The overrides of every job: of one, or of those of a sweep.
        hydra: Hydra's own configuration.
        is_sweep: Whether it is one.
    """

    overrides: list[str]
    jobs: list[list[str]]
    hydra: DictConfig
    is_sweep: bool

    @property
    def output_folder(self) -> Path | None:
        """The folder into which Hydra would write, the run's or the sweep's; None: into none."""
        if self.hydra.output_subdir is None:
            return None
        return Path(self.hydra.sweep.dir if self.is_sweep else self.hydra.run.dir).absolute()

    @property
    def is_named_by_time(self) -> bool:
        """Whether the output folder of a run is named after the time, so that two may get one name."""
        typed = any(override.lstrip("+").startswith("hydra.run.dir=") for override in self.overrides)
        settings = OmegaConf.to_container(self.hydra.run, resolve=False)
        assert isinstance(settings, dict)
        return (
            not typed
            and not self.is_sweep
            and self.hydra.output_subdir is not None
            and "${now:" in settings["dir"]
        )


def read_command_line(config_name: str, flags: Flags) -> CommandLine:
    """Read a command line of at most one experiment as Hydra would.

    Args:
        config_name: As for compose_config.
        flags: Of the command line.
    """
    with initialized_hydra(flags.folders):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        cfg = hydra.compose_config(
            config_name,
            list(flags.overrides),
            run_mode=RunMode.MULTIRUN,
            with_log_configuration=False,
            validate_sweep_overrides=False,
        )
        if cfg.hydra.mode != RunMode.MULTIRUN and not flags.sweeps:
            return CommandLine(flags.overrides, [flags.overrides], cfg.hydra, is_sweep=False)
        swept = [f"{key}={value}" for key, value in (cfg.hydra.sweeper.get("params") or {}).items()]
        jobs = BasicSweeper.split_arguments(_parser().parse_overrides([*swept, *flags.overrides]), None)[0]
        return CommandLine(flags.overrides, jobs, cfg.hydra, is_sweep=True)


def split_experiments(flags: Flags) -> list[Flags]:
    """Return a sweep over experiments as a command line for each of them.

    The sweep of an experiment stands in its file, which Hydra reads only where one experiment is chosen for the
    whole sweep: of a list it would run one job each.
    """
    if not flags.sweeps and "hydra.mode=MULTIRUN" not in flags.overrides:
        return [flags]
    with initialized_hydra(flags.folders):
        for index, override in enumerate(_parser().parse_overrides(flags.overrides)):
            if override.key_or_group == EXPERIMENT and override.is_discrete_sweep():
                key, others = override.get_key_element(), flags.overrides
                each = [f"{key}={value}" for value in override.sweep_string_iterator()]
                return [
                    replace(flags, overrides=[*others[:index], one, *others[index + 1 :]])
                    for one in dict.fromkeys(each)
                ]
    return [flags]


def sweep_jobs(
    config_name: str, overrides: Sequence[str], folders: ConfigFolders | None = None
) -> list[list[str]]:
    """Return the overrides of every job that a command line stands for; see read_command_line.

    Args:
        config_name: As for compose_config.
        overrides: What one would type, an experiment or comma-separated values among it.
        folders: Where configuration files are; by default the package's.
    """
    return read_command_line(config_name, Flags(keep_texts(overrides), folders=folders or ConfigFolders())).jobs


def _parser() -> OverridesParser:
    """Return what reads overrides by the folders that Hydra was initialised with."""
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    return OverridesParser.create(hydra.config_loader)
