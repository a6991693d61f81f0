"""``features=DIR`` in the commands: what it is refused for, and where it is switched on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sac_lightning.core.errors import UserError
from sac_lightning.core.files import refuse_unwritable
from sac_lightning.model.build import build_model
from sac_lightning.model.segment_any_cell import SAC
from sac_lightning.model.trunk_features import TrunkFeatures, trunk_trains


def refuse_features_of_training(config: Mapping[str, Any]) -> None:
    """Raises UserError where a run cannot take what its image encoder gives from disk: nothing has been done yet.

    Args:
        config: Of train, plain, with a folder as ``features``.
    """
    name = config["model"]["name"]
    with torch.device("meta"):  # It holds no numbers: ViT-H in no time.
        model = build_model(config["model"])
    if trunk_trains(_require_sam(model, name).image_encoder):
        raise UserError(
            f"features= needs an image encoder whose trunk is frozen, and that of this {name} trains: choose "
            "model=sam, or model=sam_ft with pre-trained weights (backbone.weights), or leave features out"
        )
    if config["data"].get("augment", True):
        raise UserError(
            "features= needs training windows that are the same in every epoch: set data.augment=false, or leave "
            "features out"
        )
    refuse_unwritable(Path(config["features"]), f"features={config['features']}")


def keep_features(model: nn.Module, name: str, folder: str | None) -> None:
    """Lets a model take its trunk's tokens from a folder; None does nothing.

    Args:
        model: With all its weights.
        name: Of the model, for the error.
        folder: Is made where it does not exist.

    Raises:
        UserError: The model has no such tokens, or the folder cannot be written.
    """
    if folder is None:
        return
    encoder = _require_sam(model, name).image_encoder
    refuse_unwritable(Path(folder), f"features={folder}")
    encoder.features = TrunkFeatures(Path(folder))


def _require_sam(model: nn.Module, name: str) -> SAC:
    if not isinstance(model, SAC):
        raise UserError(f"features= keeps what SAM's image encoder gives, and {name} has none: leave features out")
    return model
