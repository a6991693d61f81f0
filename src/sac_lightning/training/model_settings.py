"""What a model says of itself: the settings that it was made with, and the view that follows from them."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from sac_lightning.core.errors import UserError
from sac_lightning.core.view import View
from sac_lightning.data.base import WHOLE_IMAGE


def settings_of(model: nn.Module) -> Mapping[str, Any]:
    """Return the settings that a model was made with; of one's own network the name of its class alone."""
    settings = getattr(model, "settings", None)
    if isinstance(settings, Mapping) and "_target_" in settings:
        return settings
    return {"name": type(model).__name__}


def view_whole_images(model: Mapping[str, Any]) -> View:
    """Return the view of whole images at the side that a model was made for, by its settings."""
    return View(model["image_size"]) if "image_size" in model else WHOLE_IMAGE


def refuse_view(view: View, model: Mapping[str, Any]) -> None:
    """Raise UserError if a view has another image size than the model."""
    side = model.get("image_size", view.image_size)
    if side != view.image_size:
        raise UserError(
            f"the model {model['name']} takes {side} pixels, but view.image_size is {view.image_size}: make them "
            f"the same, such as {model['name']}(image_size={view.image_size})"
        )
