"""How large nuclei are in the images that a model was trained on, and what that means for another image."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sac_lightning.core.errors import UserError

SAME = 1.15
"""Sizes of pixels that differ by less are the same. Our choice: scanners' "40x" differ by 10 % (0.2277 to 0.2528
micrometres), nuclei of one data set by more than 50 %, and an image that is left as it is keeps its sharpness."""
FURTHEST = 8.0
"""How many times as coarse or as fine as in training pixels may be: beyond, a nucleus has fewer than three
pixels, or fills a window."""
COARSEST, FINEST = 10.0, 1e-3
"""Micrometres per pixel that a microscope may have."""
OFF = "off"
"""Instead of a size of pixels: the image is taken to be of the training's magnification."""

Mpp = float | str | None
"""Micrometres per pixel as a person gives them, OFF, or None: what the file says."""


@dataclass(frozen=True)
class Scale:
    """The size of pixels and nuclei of the training; a checkpoint stores it.

    Attributes:
        micrometres: Of a side of a pixel. None: the data set does not say.
        diameter: Median diameter of the nuclei of the training truth in pixels, that of the disc of their area.
            None: not measured, as in checkpoints of before.
        structure: Median over its images of how coarse they are, see data.structure; None: not measured.
        spread: Of that among its images, a standard deviation in octaves.
        reach: By how many octaves training windows were enlarged or reduced, see data.zoom; None: by none.
    """

    micrometres: float | None = None
    diameter: float | None = None
    structure: float | None = None
    spread: float | None = None
    reach: float | None = None

    def factor_of(self, micrometres: float) -> float:
        """Return how many pixels of an image are one of the training; 1 where they are nearly the same.

        Args:
            micrometres: Of a side of a pixel of the image.

        Raises:
            UserError: Nuclei of this image cannot be told by this model, or the model's pixels are unknown.
        """
        if self.micrometres is None:
            raise UserError("the checkpoint does not say what size its pixels have: leave mpp out")
        factor = self.micrometres / micrometres
        if max(factor, 1 / factor) > FURTHEST:
            raise UserError(
                f"pixels of {micrometres:g} µm are more than {FURTHEST:g} times as "
                f"{'coarse' if factor < 1 else 'fine'} as the {self.micrometres:g} µm of the model's training: "
                f"give the right size as mpp=, or mpp={OFF} to take the image as it is"
            )
        return round_factor(factor)


def round_factor(factor: float) -> float:
    """Return 1 for a factor that is nearly 1, else the factor."""
    return 1.0 if max(factor, 1 / factor) <= SAME else factor


def read_scale(stored: Any, source: Path) -> Scale:
    """Return the scale that a checkpoint or an export stores; of one of before an empty one.

    Args:
        stored: What it holds, None if nothing.
        source: Its path, for the error.

    Raises:
        UserError: It is no scale.
    """
    if stored is None:
        return Scale()
    names = Scale.__annotations__
    if not isinstance(stored, dict) or not all(
        value is None or is_length(value) for key, value in stored.items() if key in names
    ):
        raise UserError(
            f"{source} holds no size of pixels and nuclei where it should: give one of this package's checkpoints"
        )
    return Scale(**{key: value for key, value in stored.items() if key in names})


def is_length(value: Any) -> bool:
    """Return whether a value is a finite number above 0."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def check_mpp(mpp: Any) -> Mpp:
    """Return the micrometres per pixel that a person gives; raise UserError if they are none."""
    if mpp is None or mpp == OFF:
        return mpp  # type: ignore[no-any-return]  # None or OFF
    return check_micrometres(mpp, "mpp", f", or {OFF}")


def check_micrometres(micrometres: Any, option: str = "data.micrometres", other: str = "") -> float:
    """Return the micrometres per pixel that a person gives; raise UserError if no microscope has such pixels.

    Args:
        micrometres: What was given: a number, or its text, as quotes within quotes make it.
        option: As which.
        other: What else may be given, for the message.
    """
    size = _number(micrometres)
    if not is_length(size) or not FINEST <= size <= COARSEST:
        raise UserError(
            f"{option} is {micrometres}: give micrometres per pixel from {FINEST:g} to {COARSEST:g}, such as 0.25 "
            f"for 40x and 0.5 for 20x{other}"
        )
    return float(size)


def _number(given: Any) -> Any:
    """Return the number that a text is; what is no such text stays."""
    try:
        return float(given) if isinstance(given, str) else given
    except ValueError:
        return given


def side_of_pixel(size: tuple[float, float] | None) -> float | None:
    """Return the side of a square pixel of the same area; None if it is unknown, or no microscope has such pixels.

    Pixels that are not square stay as they are: a model sees the shapes that the file shows.
    """
    if size is None or not all(FINEST <= length <= COARSEST for length in size):
        return None
    return math.sqrt(size[0] * size[1])
