"""How much training windows are changed, and the ranges of the augmentation of scale."""

from collections.abc import Sequence
from typing import Any, Literal

from sac_lightning.core.errors import UserError

STRONG: Literal["strong"] = "strong"
Augment = bool | Literal["strong"]
"""False: nothing is changed. True: symmetries and mild jitter, as for every table. STRONG: see data.transforms."""


def check_augment(augment: Augment) -> Augment:
    """Return how much windows are changed; raise UserError if it is no such word."""
    if not isinstance(augment, bool) and augment != STRONG:
        raise UserError(f"data.augment is {augment}: choose true, false or {STRONG}")
    return augment


def check_zoom(zoom: Sequence[float]) -> tuple[float, float]:
    """Return the range of a window's side; raise UserError if it is none."""
    if (
        not isinstance(zoom, Sequence)
        or len(zoom) != 2
        or not all(map(_is_number, zoom))
        or not 0 < zoom[0] <= zoom[1]
    ):
        raise UserError(f"data.zoom is {zoom}: give two factors, the smaller first, such as [0.8,1.25], or null")
    return float(zoom[0]), float(zoom[1])


def check_coarser(coarser: float) -> float:
    """Return how coarse windows may be made; raise UserError if it is less than they are."""
    if not _is_number(coarser) or coarser < 1:
        raise UserError(f"data.coarser is {coarser}: give a factor of 1 or more, such as 4, or null")
    return float(coarser)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
