"""What a model was made with: a backbone by its name, and the settings from which a model is built again.

The sizes of a backbone and the public names (``_target_``) stand in the configuration alone.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sac_lightning.core.configuration import read_choice
from sac_lightning.core.errors import UserError
from sac_lightning.core.prompts import Prompts
from sac_lightning.model.image_encoder import Backbone

OWN = "own"


def choose_backbone(backbone: Backbone | str, weights: str | None = OWN) -> Backbone:
    """Return a backbone that goes by its name, or the one that is given.

    Args:
        backbone: ``vit_t``, ``vit_b``, ``vit_l``, ``vit_h``; or the sizes themselves.
        weights: Of a backbone that goes by its name: ``own`` for the weights of that name, another name, the path
            of a file, or None for none.

    Raises:
        UserError: There is no backbone of this name, or weights are given beside a Backbone, which names its own.
    """
    if isinstance(backbone, Backbone):
        if weights != OWN:
            raise UserError(f"weights is {weights} beside a Backbone, which names its own: set Backbone.weights")
        return backbone
    sizes = read_choice("backbone", backbone)
    del sizes["_target_"]
    if weights != OWN:
        sizes["weights"] = weights
    return Backbone(**sizes)


def describe_model(
    method: str, backbone: Backbone, prompts: Prompts, image_size: int, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the settings of a model, as ``model`` of the configuration has them, for build.build_model.

    Args:
        method: The name of a file in ``conf/model``.
        backbone: Sizes and weights of the image encoder.
        prompts: Which points.
        image_size: Side of the input in pixels.
        options: Further arguments of the method.
    """
    targets = read_choice("prompts", "auto")
    described = asdict(prompts)
    generator = {"_target_": targets["generator"]["_target_"], **described["generator"]}
    settings = {
        "name": method,
        "_target_": read_choice("model", method)["_target_"],
        "backbone": {"_target_": read_choice("backbone", "vit_t")["_target_"], **asdict(backbone)},
        "prompts": {"_target_": targets["_target_"], **described, "generator": generator},
        "image_size": image_size,
        **options,
    }
    plain: dict[str, Any] = _replace_tuples(settings)
    return plain


def _replace_tuples(value: Any) -> Any:
    """Return a value with lists for tuples, which a checkpoint's settings do not hold."""
    if isinstance(value, Mapping):
        return {key: _replace_tuples(item) for key, item in value.items()}
    return [_replace_tuples(item) for item in value] if isinstance(value, tuple | list) else value
