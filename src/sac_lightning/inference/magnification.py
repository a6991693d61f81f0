"""How much an image is enlarged or reduced for a model: by its pixels' size, or by a guess from the image."""

from collections.abc import Callable
from dataclasses import dataclass
from math import log2

import numpy as np
from numpy.typing import NDArray

from sac_lightning.core.errors import UserError
from sac_lightning.core.scale import FURTHEST, OFF, Mpp, Scale, round_factor, side_of_pixel
from sac_lightning.core.view import View
from sac_lightning.data.structure import measure_structure

SPREADS = 2.0
"""A guess counts where an image is finer or coarser than the training images by more than so many standard
deviations of theirs, and by more than that and the reach of a training whose windows were made finer and coarser:
what lies within looks like them. Our choice."""

Look = Callable[[], NDArray[np.uint8]]
"""Returns an image, or a part of it in which there is something to see, (H, W, 3) RGB."""


@dataclass(frozen=True)
class Magnification:
    """What is done to an image, and why.

    Attributes:
        factor: How many of its pixels are one of the training, see View.at_scale.
        note: In words, such as ``enlarged 2 times (...)``; empty: there is nothing to say.
        guessed: Whether nothing but the image told the factor.
    """

    factor: float = 1.0
    note: str = ""
    guessed: bool = False


def find_magnification(
    scale: Scale,
    view: View,
    micrometres: tuple[float, float] | None,
    mpp: Mpp,
    look: Look,
) -> Magnification:
    """Find how much an image is enlarged or reduced for a model.

    What a person gives goes before what the file says, and that before a guess. A model that sees images whole has
    no magnification to set.

    Args:
        scale: Of the model's training.
        view: By which it sees images.
        micrometres: Width and height of a pixel as the file says them.
        mpp: As a person gives them.
        look: Returns a part (H, W, 3) of the image to guess from.

    Raises:
        UserError: ``mpp`` is given for a model that cannot use it, or is out of its reach.
    """
    refuse_mpp(scale, view, mpp)
    if view.crop is None or mpp == OFF:
        return Magnification()
    if isinstance(mpp, float):
        return _by_size(scale, mpp)
    side = side_of_pixel(micrometres)
    if scale.micrometres is None:
        return _guess(scale, look, "the model does not know the size of its pixels")
    if micrometres is None:
        return _guess(scale, look, "no size of pixels; mpp= sets it")
    try:
        if side is not None:
            return _by_size(scale, side)
    except UserError:
        pass  # as with no believable size
    return _guess(scale, look, f"pixels of {micrometres[0]:g} µm, which is not believed; mpp= sets it")


def refuse_mpp(scale: Scale, view: View, mpp: Mpp) -> None:
    """Raise UserError if a size of pixels is given for a model that cannot use it."""
    if not isinstance(mpp, float):
        return
    if view.crop is None:
        raise UserError(
            "mpp is for models that see windows (view.crop), and this one sees images whole, whatever their "
            "magnification: leave mpp out"
        )
    scale.factor_of(mpp)


def _by_size(scale: Scale, side: float) -> Magnification:
    factor = scale.factor_of(side)
    if factor == 1:
        return Magnification()
    return Magnification(
        factor, f"{_change(factor)} (pixels of {side:.3g} µm, {scale.micrometres:.3g} in training)"
    )


def _guess(scale: Scale, look: Look, why: str) -> Magnification:
    if scale.structure is None or scale.spread is None:
        return Magnification()
    structure = measure_structure(look())
    if structure is None:
        return Magnification(note=f"left at its magnification, which cannot be guessed ({why})")
    factor = min(max(structure / scale.structure, 1 / FURTHEST), FURTHEST)
    if abs(log2(factor)) <= SPREADS * scale.spread + (scale.reach or 0) or round_factor(factor) == 1:
        return Magnification(note=f"taken to be of the training's magnification, as it looks ({why})")
    return Magnification(factor, f"{_change(factor)}, by a guess from the image ({why})", guessed=True)


def _change(factor: float) -> str:
    return f"enlarged {1 / factor:.2g} times" if factor < 1 else f"reduced {factor:.2g} times"
