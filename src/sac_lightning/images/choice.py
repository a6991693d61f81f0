"""Which image, plane and channel of a file is read."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_lightning.core.errors import UserError
from sac_lightning.images.colour_channels import RED_GREEN_BLUE, Colour, Sampler, find_colours
from sac_lightning.images.selection import Candidate, Plane, Selection, name_candidates


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
        numbers: Its plane, or the planes that are red, green, blue and, if there is a fourth, alpha; from 0.
        sample: Which sample of each pixel is read; None: all that have a meaning.
        in_colour: Whether the planes, or the samples of a plane, are red, green and blue.
        place: Where the stack has this plane; None: it is no stack.
        page: Which of the planes to choose from it is.
        pages: How many there are to choose from.
        channel: Which channel it is; None: there is no choice.
        alpha: Whether the last plane, or the fourth sample of a plane, is the alpha of what is in colour.
    """

    numbers: tuple[int, ...]
    sample: int | None
    in_colour: bool
    place: Plane | None
    page: int
    pages: int
    channel: int | None
    alpha: bool = False

    def take_samples(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return what is read of rows (n, W) or (n, W, S) with S samples: (n, W) grey or (n, W, 3) RGB."""
        if rows.ndim == 3:
            rows = rows[:, :, :3] if self.in_colour else rows[:, :, self.sample or 0]
        return np.ascontiguousarray(rows)


def choose_plane(stack: Stack, selection: Selection, sample_planes: Sampler, path: Path) -> Choice:
    """Return what of an image is to be read.

    Args:
        stack: Its planes.
        selection: What is asked for.
        sample_planes: Returns pixels (n, S) of all samples of planes, one number each or one number with samples.
        path: Of the file.

    Raises:
        UserError: The file does not have what is asked for.
    """
    places, in_planes = stack.places(), stack.channels_are_planes
    groups: list[tuple[int, ...]] = [(number,) for number in range(len(places))]
    channel, sample, in_colour, alpha = None, None, stack.in_colour, False
    if selection.channel is not None:
        if in_colour and not in_planes:
            sample = choose_channel(selection.channel, RED_GREEN_BLUE, path)
        else:
            channel = choose_channel(selection.channel, stack.names or ("",), path)
    elif stack.names and not in_colour:
        together = _join_by_channel(places) if in_planes else groups
        order = _find_colours(stack, together[0], sample_planes)
        if order is not None:
            groups = [tuple(one[index] for index in order) for one in together] if in_planes else groups
            in_colour, alpha = True, len(order) > len(RED_GREEN_BLUE)
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
    return Choice(groups[page], sample, in_colour, _place(at), page, len(groups), shown, alpha)


def _find_colours(stack: Stack, numbers: Sequence[int], sample_planes: Sampler) -> tuple[int, ...] | None:
    """Return which channels of some planes are red, green, blue and alpha; None: they are no one picture."""

    def sample(channels: Sequence[int]) -> NDArray[Any]:
        if stack.channels_are_planes:
            return sample_planes([numbers[channel] for channel in channels])
        return sample_planes(numbers)[:, list(channels)]

    order = find_colours(stack.names, stack.colours, sample)
    # The samples of a pixel stay in their order.
    return order if stack.channels_are_planes or order == tuple(range(len(stack.names))) else None


def _join_by_channel(places: Sequence[dict[str, int]]) -> list[tuple[int, ...]]:
    """Return the numbers of the planes that differ in nothing but their channel, in the order of channels."""
    joined: dict[tuple[int, ...], list[int]] = {}
    for number, at in enumerate(places):
        joined.setdefault(tuple(value for axis, value in at.items() if axis != "C"), []).append(number)
    return [tuple(numbers) for numbers in joined.values()]


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
    """Return the index of the channel to take, by its number from 1, or its name in upper or lower case.

    Raises:
        UserError: There is no such channel.
    """
    number = int(channel) if str(channel).isdecimal() else 0
    if 1 <= number <= len(names):
        return number - 1
    # A wavelength is a name as well.
    lower, name = [one.strip().lower() for one in names], str(channel).strip().lower()
    if name in lower:
        return lower.index(name)
    listed = ", ".join(f"{index} ({one})" if one else f"{index}" for index, one in enumerate(names, 1))
    raise UserError(f"{path} has the channels {listed}, no channel {channel}: choose one of these")
