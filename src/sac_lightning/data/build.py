"""Build the data module of a run from its settings."""

from collections.abc import Mapping
from typing import Any

from hydra.utils import instantiate

from sac_lightning.core.view import View
from sac_lightning.data.base import NucleiDataModule
from sac_lightning.data.experts import ExpertPoints


def make_data(settings: Mapping[str, Any]) -> NucleiDataModule:
    """Build the data module that the settings describe.

    Args:
        settings: ``data``, ``model``, ``view`` and ``seed`` of a run, or of a checkpoint.
    """
    arguments = {key: value for key, value in settings["data"].items() if key != "name"}
    prompts = settings["model"].get("prompts", {})  # A plain network has none; an old checkpoint lacks some.
    expert_points = ExpertPoints(
        positives=prompts.get("experts", 0),
        negatives=prompts.get("expert_negatives", 0),
        placement=prompts.get("expert_placement", "centre"),
    )
    make = instantiate(arguments, _partial_=True, _convert_="all")
    data = make(view=View(**settings["view"]), expert_points=expert_points, seed=settings["seed"])
    assert isinstance(data, NucleiDataModule)
    return data
