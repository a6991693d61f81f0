"""The three methods that tell nuclei apart, with the thresholds that a checkpoint keeps for two of them.

Free of torch: a wrong name is refused at once.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sac_lightning.core.errors import UserError

METHODS = ("components", "watershed", "prompts")
Stored = Mapping[str, Mapping[str, Any]]
"""Thresholds by method, as plain dicts, which is how a checkpoint keeps them."""


@dataclass(frozen=True)
class Components:
    """Every connected region of the mask (probability above 0.5) is a nucleus: no thresholds."""


@dataclass(frozen=True)
class Watershed:
    """The mask flooded from markers, see inference.watershed.

    Attributes:
        mask: Pixels above this probability are nucleus, in [0, 1).
        marker: Connected pixels above this probability of the prompt generator are a marker, in [0, 1).
        min_area: Nuclei of fewer pixels, as large as those of the training, are dropped.
    """

    mask: float
    marker: float
    min_area: int

    def __post_init__(self) -> None:
        """Raise UserError if a threshold is out of its range."""
        _refuse_range(mask=self.mask, marker=self.marker)
        _refuse_area(self.min_area)


@dataclass(frozen=True)
class EveryPrompt:
    """Every centroid decoded by itself, see every_prompt.candidates.

    Attributes:
        score: Masks with at most this score are dropped, in [0, 1).
        overlap: Of two masks with a greater IoU, the one of the lower score is dropped, in [0, 1).
        min_area: Nuclei of fewer pixels, as large as those of the training, are dropped.
    """

    score: float
    overlap: float
    min_area: int

    def __post_init__(self) -> None:
        """Raise UserError if a threshold is out of its range."""
        _refuse_range(score=self.score, overlap=self.overlap)
        _refuse_area(self.min_area)


@dataclass(frozen=True)
class EveryNucleus(EveryPrompt):
    """Every point answered by its nucleus, by a model that decodes nuclei, see inference.competition.

    Attributes:
        score, overlap, min_area: See EveryPrompt.
        pixel: Pixels of which no nucleus is surer than this are background, in [0, 1).
    """

    pixel: float

    def __post_init__(self) -> None:
        """Raise UserError if a threshold is out of its range."""
        super().__post_init__()
        _refuse_range(pixel=self.pixel)


Tuned = Watershed | EveryPrompt
Separation = Components | Watershed | EveryPrompt
TUNED: dict[str, type[Watershed] | type[EveryPrompt]] = {"watershed": Watershed, "prompts": EveryPrompt}


def scale_area(area: int, factor: float) -> int:
    """Return how many pixels of an image an area of the training has, see View.at_scale."""
    return round(area * factor**2)


def scale_separation(separation: Separation, factor: float) -> Separation:
    """Return a method for images of another magnification, see View.at_scale: only areas depend on it."""
    if isinstance(separation, Components):
        return separation
    return replace(separation, min_area=scale_area(separation.min_area, factor))


def refuse_method(method: object) -> None:
    """Raise UserError if there is no such method."""
    if method not in METHODS:
        raise UserError(f"instances is {method}: choose {', '.join(METHODS[:-1])} or {METHODS[-1]}")


def method_of(separation: Separation) -> str:
    """Return the method's name."""
    return next((name for name, kind in TUNED.items() if isinstance(separation, kind)), "components")


def describe_separation(separation: Separation) -> dict[str, Any]:
    """Return a method and its thresholds as a plain dict, for a record."""
    return {"method": method_of(separation), **asdict(separation)}


def choose_separation(method: str | None, stored: Stored, source: Path) -> Separation:
    """Return a method with the thresholds of a checkpoint.

    Args:
        method: One of METHODS. None: watershed where the checkpoint has its thresholds, else components.
        stored: The thresholds in the checkpoint.
        source: Path of the checkpoint, for the error.

    Raises:
        UserError: There is no such method, the checkpoint has no thresholds for it, or they are out of range.
    """
    if not isinstance(stored, Mapping):
        raise UserError(
            f"{source} holds no thresholds where they should be: give one of this package's checkpoints"
        )
    if method is None:
        method = "watershed" if "watershed" in stored else "components"
    refuse_method(method)
    if method == "components":
        return Components()
    remedy = f"python -m sac_lightning.evaluate checkpoint=F instances={method} tune=true puts them into a .ckpt"
    if method not in stored:
        raise UserError(f"{source} holds no thresholds for instances={method}: {remedy}")
    try:
        kind = EveryNucleus if method == "prompts" and "pixel" in stored[method] else TUNED[method]
        return kind(**stored[method])
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{source} holds no thresholds that mean something for instances={method}: {remedy}"
        ) from error


def _refuse_range(**values: float) -> None:
    for name, value in values.items():
        if isinstance(value, bool) or not 0 <= value < 1:
            raise UserError(f"the threshold {name} is {value}: choose a number in [0, 1)")


def _refuse_area(min_area: int) -> None:
    if type(min_area) is not int or min_area < 0:
        raise UserError(f"min_area is {min_area}: choose a whole number of pixels, 0 or more")


THRESHOLD = 0.5
