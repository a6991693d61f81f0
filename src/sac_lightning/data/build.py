"""Build the data module of a run from its settings."""

import inspect
from collections.abc import Mapping
from typing import Any

from hydra.utils import instantiate

from sac_lightning.core.errors import UserError
from sac_lightning.core.view import View
from sac_lightning.data.base import NucleiDataModule
from sac_lightning.data.experts import ExpertPoints


def make_data(settings: Mapping[str, Any]) -> NucleiDataModule:
    """Make the data module of the settings.

    Args:
        settings: The configuration's ``data``, ``model``, ``view`` and ``seed``, resolved.

    Raises:
        UserError: A data set of one's own is no NucleiDataModule, or does not pass on what it is given.
    """
    arguments = {key: value for key, value in settings["data"].items() if key != "name"}
    make = instantiate(arguments, _partial_=True, _convert_="all")
    expert_points = make_expert_points(settings["model"])
    given = {"view": View(**settings["view"]), "expert_points": expert_points, "seed": settings["seed"]}
    target = settings["data"].get("_target_")
    try:
        inspect.signature(make.func).bind(**make.keywords, **given)
    except TypeError as error:
        raise UserError(f"{target}: {error}: take **given, and hand it to NucleiDataModule.__init__") from error
    data = make(**given)
    if not isinstance(data, NucleiDataModule):
        raise UserError(f"data is a {type(data).__name__}: name a subclass of sac_lightning.data.NucleiDataModule")
    return data


def make_expert_points(model_settings: Mapping[str, Any]) -> ExpertPoints:
    """Make the expert points that a model's settings ask for; none for a plain network."""
    prompts = model_settings.get("prompts", {})  # An old checkpoint does not have all of them.
    return ExpertPoints(
        positives=prompts.get("experts", 0),
        negatives=prompts.get("expert_negatives", 0),
        placement=prompts.get("expert_placement", "centre"),
    )
