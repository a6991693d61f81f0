"""Which image, plane and channel of a file is read, and whether three channels are one picture in colour."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from sac_lightning.core.errors import UserError
from sac_lightning.images.selection import Candidate, Plane, Selection, name_candidates

# The names of three planes that are one picture in colour, and the colours in which a viewer shows them.
RED_GREEN_BLUE = (("red", "green", "blue"), ("r", "g", "b"))
PRIMARIES = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Stack:
    """The planes of an image.

    Attributes:
        axes: A letter for each axis in front of height and width: Z depth, C channel, T time, others.
        shape: How long each of these axes is.
        names: Of the channels, "" for one without; empty: there is one, or the image is in colour.
        colours: In which a viewer shows each channel, None where none is said; may be empty.
        in_colour: Whether each plane holds red, green and blue by itself.
    """

    axes: str = ""
    shape: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    colours: tuple[Colour | None, ...] = ()
    in_colour: bool = False

    @property
    def planes(self) -> int:
        """How many there are."""
        return max(1, prod(self.shape))

    @property
    def channels_are_planes(self) -> bool:
        """Whether each channel is a plane; else the channels are samples of each pixel."""
        return dict(zip(self.axes, self.shape, strict=True)).get("C", 1) > 1

    def places(self) -> list[dict[str, int]]:
        """Return where along each axis each plane lies, in order."""
        return [dict(zip(self.axes, map(int, at), strict=True)) for at in np.ndindex(*self.shape)]


@dataclass(frozen=True)
class Choice:
    """What is read of an image.

    Attributes:
        numbers: Its plane, or the three planes that are red, green and blue, counted from 0.
        sample: Which sample of each pixel is read; None: all that have a meaning.
        in_colour: Whether the planes, or the samples of a plane, are red, green and blue.
        place: Where the stack has this plane; None: it is no stack.
        page: Which of the planes to choose from it is.
        pages: How many there are to choose from.
        channel: Which channel it is; None: there is no choice.
    """

    numbers: tuple[int, ...]
    sample: int | None
    in_colour: bool
    place: Plane | None
    page: int
    pages: int
    channel: int | None


def choose_plane(
    stack: Stack, selection: Selection, is_picture: Callable[[Sequence[int]], bool], path: Path
) -> Choice:
    """Return what of an image is to be read.

    Args:
        stack: Its planes.
        selection: What is asked for.
        is_picture: Returns of three planes, or of one with three samples, that bear no names, whether they look
            like red, green and blue of one picture.
        path: Of the file.

    Raises:
        UserError: The file does not have what is asked for.
    """
    places, in_planes = stack.places(), stack.channels_are_planes
    groups: list[tuple[int, ...]] = [(number,) for number in range(len(places))]
    channel, sample, in_colour = None, None, stack.in_colour
    if selection.channel is not None:
        if in_colour and not in_planes:
            sample = choose_channel(selection.channel, RED_GREEN_BLUE[0], path)
        else:
            channel = choose_channel(selection.channel, stack.names or ("",), path)
    elif stack.names and not in_colour:
        together = _join_by_channel(places) if in_planes else groups
        if len(stack.names) == 3 and _are_red_green_blue(stack, together[0], is_picture):
            groups, in_colour = together, True
        elif not in_planes:
            channel = 0
    if channel is not None and in_planes:
        groups = [(number,) for number, at in enumerate(places) if at["C"] == channel]
    elif channel is not None and stack.names:
        sample = channel
    in_colour = in_colour and sample is None
    page = choose_page(selection.page, len(groups), path)
    at = places[groups[page][0]]
    shown = None if in_colour or not stack.names else at["C"] if in_planes else channel
    return Choice(groups[page], sample, in_colour, _place(at), page, len(groups), shown)


def _join_by_channel(places: Sequence[dict[str, int]]) -> list[tuple[int, ...]]:
    """Return the numbers of the planes that differ in nothing but their channel, in the order of channels."""
    joined: dict[tuple[int, ...], list[int]] = {}
    for number, at in enumerate(places):
        joined.setdefault(tuple(value for axis, value in at.items() if axis != "C"), []).append(number)
    return [tuple(numbers) for numbers in joined.values()]


def _are_red_green_blue(stack: Stack, numbers: Sequence[int], is_picture: Callable[[Sequence[int]], bool]) -> bool:
    """Return whether three channels are one picture in colour: by their names, else by what is in them."""
    names = tuple(name.strip().lower() for name in stack.names)
    if any(names):
        return names in RED_GREEN_BLUE
    stated = [colour for colour in stack.colours if colour is not None]
    if len(set(stated)) > 1 and tuple(stated) != PRIMARIES:
        return False
    return is_picture(numbers)


def _place(at: dict[str, int]) -> Plane | None:
    if not at:
        return None
    # Pages of which a file says no more are points in time, as Bio-Formats has it.
    unknown = [value for axis, value in at.items() if axis not in "ZCT"]
    return Plane(at.get("Z", 0), at.get("C", 0), at.get("T", unknown[0] if unknown else 0))


def choose_series(candidates: Sequence[Candidate], series: int | None, path: Path) -> int:
    """Return the index of the image to take.

    Raises:
        UserError: There is no such series.
    """
    if series is not None:
        if not 1 <= series <= len(candidates):
            raise UserError(f"{path} holds {name_candidates(candidates)}, no series {series}: choose one of these")
        return series - 1
    images = [index for index, one in enumerate(candidates) if not one.is_overview]
    return max(images or range(len(candidates)), key=lambda index: candidates[index].pixels)


def choose_page(page: int | None, pages: int, path: Path) -> int:
    """Return the index of the plane to take.

    Raises:
        UserError: There is no such page.
    """
    number = 1 if page is None else page
    if not 1 <= number <= pages:
        raise UserError(f"{path} has {pages} page{'s' * (pages != 1)}, no page {number}: choose one that it has")
    return number - 1


def choose_channel(channel: int | str, names: Sequence[str], path: Path) -> int:
    """Return the index of the channel to take, by its number from 1 or its name, in upper or lower case.

    Raises:
        UserError: There is no such channel.
    """
    lower = [name.lower() for name in names]
    if isinstance(channel, str) and channel.lower() in lower:
        return lower.index(channel.lower())
    number = int(channel) if str(channel).isdecimal() else 0
    if not 1 <= number <= len(names):
        listed = ", ".join(f"{index} ({name})" if name else f"{index}" for index, name in enumerate(names, 1))
        raise UserError(f"{path} has the channels {listed}, no channel {channel}: choose one of these")
    return number - 1
