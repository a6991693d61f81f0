"""The files that a data set of this package reads, from its settings alone, without torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sac_lightning.data.canonical import data_root, find_split_files
from sac_lightning.data.folder_files import divide_pairs, find_pairs
from sac_lightning.data.sample_files import SampleFiles

FIXED_SPLITS = {
    "sac_lightning.data.DSB2018": "dsb2018",
    "sac_lightning.data.GlaS": "glas",
    "sac_lightning.data.MoNuSeg": "monuseg",
}


def list_files(settings: Mapping[str, Any]) -> Mapping[str, Sequence[SampleFiles]] | None:
    """Return the files of each part in the order of its samples; None for a class of one's own.

    Args:
        settings: The configuration's ``data``, resolved, with public names.

    Raises:
        UserError: As the data set itself, when it looks for its samples.
    """
    target, root = settings["_target_"], settings.get("root")
    if target == "sac_lightning.data.Synthetic":
        return {}
    if target in FIXED_SPLITS:
        return find_split_files(data_root(root) / FIXED_SPLITS[target])
    if target == "sac_lightning.data.Folder" and root is not None:
        ratios = {part: settings[f"{part}_ratio"] for part in ("val", "test")}
        pairs = find_pairs(Path(root))
        return divide_pairs(pairs, Path(root), settings["split"], ratios, settings["split_seed"])
    return None
