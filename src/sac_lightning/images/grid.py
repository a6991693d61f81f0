"""Along which axes the planes of a stack lie, by where each of them is."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations, product

from sac_lightning.images.selection import Plane


@dataclass(frozen=True)
class Grid:
    """The axes of a stack.

    Attributes:
        axes: Of the letters Z depth, C channel, T time those along which the planes differ, the slowest first.
        shape: How many places each of these has.
        channels: The numbers of the channels that are there, from 0.
    """

    axes: str
    shape: tuple[int, ...]
    channels: tuple[int, ...]


def find_grid(planes: Sequence[Plane]) -> Grid | None:
    """Return the axes along which planes lie, in order; None: they fill no grid one after another."""
    values = {axis: sorted({getattr(plane, axis.lower()) for plane in planes}) for axis in "ZCT"}
    for axes in permutations(axis for axis in "ZCT" if len(values[axis]) > 1):
        places = list(product(*(values[axis] for axis in axes)))
        if places == [tuple(getattr(plane, axis.lower()) for axis in axes) for plane in planes]:
            return Grid("".join(axes), tuple(len(values[axis]) for axis in axes), tuple(values["C"]))
    return None
