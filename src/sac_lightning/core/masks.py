"""What the values of a user's masks mean: settings that check themselves."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sac_lightning.core.errors import UserError


@dataclass(frozen=True)
class MaskMeaning:
    """Which pixels of a mask are nucleus. With no option set, a mask of two values speaks for itself.

    Attributes:
        values: These stored values are nucleus and all others are background.
        threshold: Values of at least this are nucleus.
        inverted: True: what would be nucleus is background, and the reverse. False: masks that look inverted are
            right as they are. None: such masks are refused.
    """

    values: tuple[float, ...] | None = None
    threshold: float | None = None
    inverted: bool | None = None

    @property
    def given(self) -> bool:
        """Whether an option is set."""
        return self != MaskMeaning()


def read_mask_options(
    mask_values: float | Sequence[float] | None = None,
    threshold: float | None = None,
    inverted: bool | None = None,
) -> MaskMeaning:
    """Return what the options of a data set say of its masks.

    Raises:
        UserError: An option has a value that it cannot have, or two of them contradict each other.
    """
    many = isinstance(mask_values, Sequence) and not isinstance(mask_values, str)
    values: Sequence[Any] = mask_values if many else [mask_values]  # type: ignore[assignment]  # A list, then.
    if mask_values is not None and not (values and all(map(_is_number, values))):
        raise UserError(
            f"data.mask_values is {mask_values}: give the values that are nucleus, such as 255 or [1,2]"
        )
    if threshold is not None and not _is_number(threshold):
        raise UserError(
            f"data.threshold is {threshold}: give the least value that is nucleus, such as 128, or 0.5 for "
            "probabilities"
        )
    if inverted is not None and not isinstance(inverted, bool):
        raise UserError(f"data.inverted is {inverted}: choose true (the masks' 0 is nucleus) or false")
    if mask_values is not None and (threshold is not None or inverted):
        other = "data.threshold" if threshold is not None else "data.inverted"
        raise UserError(
            f"data.mask_values says which values are nucleus, and so does {other}: leave one of them out"
        )
    return MaskMeaning(None if mask_values is None else tuple(values), threshold, inverted)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
