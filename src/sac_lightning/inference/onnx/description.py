"""What a graph's numbers do not tell: how its images are cut, how its points are chosen, what it was made from."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sac_lightning.core.scale import Scale, read_scale
from sac_lightning.core.view import View
from sac_lightning.model.point_selection import PointSelection

KEY = "sac_lightning"
"""Of the description among an ONNX file's metadata."""
FORMAT = 1


@dataclass(frozen=True)
class Description:
    """The description of an export, the same in each of its files: text, nothing that is called.

    Attributes:
        model: Name of the model, such as ``sac``.
        checkpoint: SHA-256 of the checkpoint that it was made from.
        view: How it sees images.
        selection: How its automatic points are chosen, see PointSelection; None where it takes no points.
        thresholds: By which it tells nuclei apart, see inference.thresholds.Stored.
        scale: The size of pixels and nuclei of its training; an export of before does not say it.
        refine: Whether its mask is the prompt generator's with what the decoder adds to it, see
            promptable.resize_to_input.
        nucleus_field: See Promptable; None where its decoder answers all points with one mask.
    """

    model: str
    checkpoint: str
    view: View
    selection: dict[str, Any] | None
    thresholds: dict[str, dict[str, Any]] = field(default_factory=dict)
    scale: Scale = field(default_factory=Scale)
    refine: bool = False
    nucleus_field: int | None = None

    @property
    def image_size(self) -> int:
        """Return the side of the input in pixels; raise ValueError if it has none."""
        if type(self.view.image_size) is not int:
            raise ValueError("the size of the input is no whole number")
        return self.view.image_size

    def point_selection(self) -> PointSelection | None:
        """Return the selection of its points; None if it takes none."""
        return None if self.selection is None else PointSelection(**self.selection)

    def text(self) -> str:
        """Return it as JSON."""
        return json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True)


def read_description(text: str) -> Description:
    """Read a description from its JSON.

    Raises:
        ValueError: It is no description, or one of a later format.
    """
    try:
        content = json.loads(text)
        if content.pop("format") != FORMAT:
            raise ValueError("another format")
        scale = read_scale(content.get("scale"), Path("the export"))
        description = Description(**{**content, "view": View(**content["view"]), "scale": scale})
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise ValueError("no description of this version of the package") from error
    if not isinstance(description.view.crop, int | None):
        raise ValueError("the size of the windows is no whole number")
    if not isinstance(description.refine, bool):
        raise ValueError("whether the mask is refined is neither true nor false")
    field = description.nucleus_field
    if field is not None and (type(field) is not int or field < 1):
        raise ValueError("the part of an embedding that shows a nucleus is no number of tokens")
    if not isinstance(description.thresholds, dict):
        raise ValueError("the thresholds are no mapping")
    return description
