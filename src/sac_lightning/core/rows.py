"""The rows of tables: one file of ``conf/`` that Hydra sees as the group ``row``, an option per row."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

ROWS = "rows.yaml"
VALUES = ("instances",)
"""What a row sets that is an option itself, not one of a part."""


@cache
def store_rows(folder: Path) -> None:
    """Make the rows known to Hydra in this process; ``row=NAME`` then acts as a file ``row/NAME.yaml`` would.

    Args:
        folder: The configuration, which holds the file of rows.
    """
    rows: Any = OmegaConf.to_container(OmegaConf.load(folder / ROWS))
    for name, settings in rows.items():
        ConfigStore.instance().store(group="row", name=name, package="_global_", node=row_config(settings))


def row_config(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of a row as Hydra would read it from a file.

    Args:
        settings: The row's label; a word for each group that it chooses an option of (``model: sam``), and a
            mapping for each part of the configuration of which it sets values (``prompts: {points: 1}``). The
            option of a part that it has chosen as well has a dotted name (``model.heads: separating``), and what
            belongs to no part stands in VALUES.
    """
    words = {key: value for key, value in settings.items() if isinstance(value, str) and key != "label"}
    defaults = [{f"override /{key}": word} for key, word in words.items() if "." not in key and key not in VALUES]
    values = {key: value for key, value in settings.items() if isinstance(value, Mapping) or key in VALUES}
    for key, word in words.items():
        if "." in key:
            part, option = key.split(".")
            values[part] = {**values.get(part, {}), option: word}
    return {"defaults": defaults, "row": settings["label"], **values}
