"""Where the Hydra configuration is, and a whole one composed from it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra import compose
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.version import setbase
from omegaconf import DictConfig, OmegaConf

from sac_lightning.core.errors import UserError
from sac_lightning.core.names import translate_names
from sac_lightning.core.rows import store_rows
from sac_lightning.core.texts import keep_texts


def config_dir() -> Path:
    """Folder of the configuration: of the installed package, or ``conf/`` of a source checkout.

    A wheel and an editable install know ``conf/`` as the package ``sac_lightning.conf``; with only
    ``src`` on the path (``PYTHONPATH=src``) that package does not exist and the checkout's folder is used.
    """
    packaged = find_spec("sac_lightning.conf")
    if packaged is not None and packaged.submodule_search_locations:
        return Path(next(iter(packaged.submodule_search_locations)))
    return Path(__file__).resolve().parents[3] / "conf"


@dataclass(frozen=True)
class ConfigFolders:
    """Where configuration files are.

    Attributes:
        main: The packaged folder, or the one that takes its place.
        own: A folder of one's own beside it; of files with one name, those of ``main`` count. None without one.
    """

    main: Path = field(default_factory=config_dir)
    own: Path | None = None


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


def compose_config(
    config_name: str, overrides: Sequence[str] = (), folders: ConfigFolders | None = None
) -> DictConfig:
    """Compose the configuration as a command would get it.

    Args:
        config_name: Primary file of ``conf/`` without its ending, such as ``train``.
        overrides: What one would type after the command, such as ``model=sam_ft``.
        folders: Where configuration files are; by default the package's.
    """
    with initialized_hydra(folders or ConfigFolders()):
        return use_public_names(compose(config_name, overrides=keep_texts(overrides)))


def use_public_names(cfg: DictConfig) -> DictConfig:
    """Return a configuration with public names: of what has a former one, and of what is one's own.

    A network or data set of one's own, given as ``model._target_=`` or ``data._target_=``, would otherwise be
    recorded under the name of the packaged one whose settings it took.
    """
    given = OmegaConf.to_container(cfg)
    public = translate_names(given)
    for group in ("model", "data"):
        _name_own(public.get(group), group)
    if public == given:
        return cfg
    renamed: DictConfig = OmegaConf.create(public)
    OmegaConf.set_struct(renamed, True)
    return renamed


def _name_own(settings: Any, group: str) -> None:
    """Give settings of one's own class its name, if they have that of a choice of the package."""
    target = settings.get("_target_") if isinstance(settings, dict) else None
    if not isinstance(target, str) or target.startswith("sac_lightning."):
        return
    if (config_dir() / group / f"{settings.get('name')}.yaml").is_file():
        settings["name"] = target.rpartition(".")[2]


@contextmanager
def initialized_hydra(folders: ConfigFolders) -> Iterator[None]:
    """Let Hydra read the configuration, the rows of tables among it."""
    store_rows(config_dir())
    setbase("1.3")
    search_path = create_config_search_path(str(folders.main))
    if folders.own is not None:
        search_path.prepend("command-line", f"file://{folders.own}", SearchPathQuery(provider="schema"))
    GlobalHydra.instance().clear()
    Hydra.create_main_hydra2("app", search_path)
    try:
        yield
    finally:
        GlobalHydra.instance().clear()


def resolve_config(cfg: DictConfig) -> dict[str, Any]:
    """Return a configuration with its interpolations resolved, as plain dicts and lists.

    Paths in it are relative to the output folder: a record or a checkpoint is the same wherever it was made.
    """
    relative = OmegaConf.merge(cfg, {"output_dir": "."}) if "output_dir" in cfg else cfg
    config = OmegaConf.to_container(relative, resolve=True)
    assert isinstance(config, dict)
    return {str(key): value for key, value in config.items()}
