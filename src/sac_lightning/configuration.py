"""Where the packaged Hydra configuration is, and a whole one composed from it."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig


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
