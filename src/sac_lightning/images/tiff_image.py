"""The images in a TIFF file, and the pages that make up the one that is chosen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from tifffile import EXTRASAMPLE, FILETYPE, PHOTOMETRIC, TiffFile, TiffPage, TiffPageSeries

from sac_lightning.core.errors import UserError
from sac_lightning.images.ome import OmeImage, read_ome, spans_files
from sac_lightning.images.selection import (
    Candidate,
    Plane,
    Selection,
    choose_channel,
    choose_page,
    is_overview_name,
)

# The names of three planes that are one picture in colour.
RED_GREEN_BLUE = (("red", "green", "blue"), ("r", "g", "b"))
PRIMARIES = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


@dataclass(frozen=True)
class TiffImage:
    """An image of a file.

    Attributes:
        series: As tifffile has it.
        ome: What the file's OME-XML says of it, if it has any.
        candidate: What a person may choose it by.
    """

    series: TiffPageSeries
    ome: OmeImage | None
    candidate: Candidate


@dataclass(frozen=True)
class TiffPlane:
    """What is read of an image.

    Attributes:
        numbers: Its page, or the three pages that are red, green and blue: counted from 0 within the series.
        sample: Which sample of each pixel of the page is read; None: all that have a meaning.
        in_colour: Whether the pages, or the samples of a page, are red, green and blue.
        place: Where the stack has this plane, if it is one.
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


def describes_other_files(file: TiffFile, path: Path) -> bool:
    """Return whether the file is one of several with one OME-XML, which describes all of them."""
    return bool(file.is_ome) and spans_files(file.ome_metadata, path.name)


def list_images(file: TiffFile, path: Path) -> list[TiffImage]:
    """Return the images of a file, in its order; masks of transparency are none.

    Raises:
        UserError: It holds none.
    """
    described = read_ome(file.pages.first.description, path.name)
    images = []
    for series in file.series:
        page = series.keyframe
        if page.subfiletype & FILETYPE.MASK and len(file.series) > 1:
            continue
        number = next((one.index for one in series if one is not None), -1)
        ome = next((one for one in described if number in one.planes), None)
        images.append(TiffImage(series, ome, _describe(series, ome, file)))
    if not images:
        raise UserError(f"{path} holds no image: replace or remove it")
    return images


def _describe(series: TiffPageSeries, ome: OmeImage | None, file: TiffFile) -> Candidate:
    name = ome.name if ome is not None and ome.name else series.name
    page = series.keyframe
    return Candidate(
        name="" if name.lower() in ("generic", "uniform") else name,
        levels=tuple((level.keyframe.imagelength, level.keyframe.imagewidth) for level in series.levels),
        pages=count_planes(series),
        channels=_name_channels(series, ome, file),
        is_overview=is_overview_name(name) or bool(page.subfiletype & FILETYPE.REDUCEDIMAGE),
    )


def count_planes(series: TiffPageSeries) -> int:
    """Return how many pages an image has, of which a file may hold one description only."""
    return max(1, prod(_lead_shape(series)))


def _lead_shape(series: TiffPageSeries) -> tuple[int, ...]:
    return tuple(series.shape[: len(series.shape) - series.keyframe.ndim])


def _lead_axes(series: TiffPageSeries) -> str:
    return series.axes[: len(_lead_shape(series))]


def _name_channels(series: TiffPageSeries, ome: OmeImage | None, file: TiffFile) -> tuple[str, ...]:
    """Return the names of the channels, "" for one without; none if it is in colour or has only one."""
    count = count_channels(series)
    if count == 1:
        return ()
    names = list(ome.channels) if ome is not None else []
    if file.is_imagej:
        # ImageJ shows the first line of a label above its plane.
        names = [str(label).split("\n")[0] for label in (file.imagej_metadata or {}).get("Labels") or []]
    return tuple(names) if len(names) == count else ("",) * count


def count_channels(series: TiffPageSeries) -> int:
    """Return how many channels an image has, in pages or in the samples of a page; 1: it may be in colour."""
    paged = dict(zip(_lead_axes(series), _lead_shape(series), strict=True)).get("C", 1)
    return paged if paged > 1 or is_colour(series.keyframe) else count_values(series.keyframe)


def is_colour(page: TiffPage) -> bool:
    """Return whether a page says that it holds red, green and blue, and has as many samples."""
    return page.photometric in (PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR) and page.samplesperpixel >= 3


def count_values(page: TiffPage) -> int:
    """Return how many samples of each pixel are values, without those that the file calls alpha."""
    return max(1, page.samplesperpixel - count_alphas(page))


def count_alphas(page: TiffPage) -> int:
    """Return how many samples of each pixel the file calls alpha."""
    return sum(int(extra) in (EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA) for extra in page.extrasamples)


def choose_plane(
    image: TiffImage, selection: Selection, is_picture: Callable[[Sequence[int]], bool], path: Path
) -> TiffPlane:
    """Return what of an image is to be read.

    Args:
        image: It.
        selection: What is asked for.
        is_picture: Returns of three pages, or of one with three samples, that bear no names, whether they look
            like red, green and blue of one picture.
        path: Of the file.

    Raises:
        UserError: The file does not have what is asked for.
    """
    axes, names = _lead_axes(image.series), image.candidate.channels
    places = [dict(zip(axes, map(int, at), strict=True)) for at in np.ndindex(*_lead_shape(image.series))]
    groups: list[tuple[int, ...]] = [(number,) for number in range(len(places))]
    in_pages = max((at.get("C", 0) for at in places), default=0) > 0
    channel, sample, in_colour = None, None, is_colour(image.series.keyframe)
    if selection.channel is not None:
        if in_colour and not in_pages:
            sample = choose_channel(selection.channel, ("red", "green", "blue"), path)
        else:
            channel = choose_channel(selection.channel, names or ("",), path)
    elif names and not in_colour:
        together = _join_by_channel(places) if in_pages else groups
        if len(names) == 3 and _are_red_green_blue(image, together[0], is_picture):
            groups, in_colour = together, True
        elif not in_pages:
            channel = 0
    if channel is not None and in_pages:
        groups = [(number,) for number, at in enumerate(places) if at["C"] == channel]
    elif channel is not None and names:
        sample = channel
    in_colour = in_colour and sample is None
    page = choose_page(selection.page, len(groups), path)
    at = places[groups[page][0]]
    shown = None if in_colour or not names else at["C"] if in_pages else channel
    return TiffPlane(groups[page], sample, in_colour, _place(image, groups[page][0], at), page, len(groups), shown)


def _join_by_channel(places: Sequence[dict[str, int]]) -> list[tuple[int, ...]]:
    """Return the numbers of the pages that differ in nothing but their channel, in the order of channels."""
    joined: dict[tuple[int, ...], list[int]] = {}
    for number, at in enumerate(places):
        joined.setdefault(tuple(value for axis, value in at.items() if axis != "C"), []).append(number)
    return [tuple(numbers) for numbers in joined.values()]


def _are_red_green_blue(
    image: TiffImage, numbers: Sequence[int], is_picture: Callable[[Sequence[int]], bool]
) -> bool:
    """Return whether three channels are one picture in colour: by their names, else by what is in them."""
    names = tuple(name.strip().lower() for name in image.candidate.channels)
    if any(names):
        return names in RED_GREEN_BLUE
    colours = image.ome.colours if image.ome is not None else ()
    if any(colour is not None for colour in colours) and colours != PRIMARIES and len(set(colours)) > 1:
        return False
    return is_picture(numbers)


def _place(image: TiffImage, number: int, at: dict[str, int]) -> Plane | None:
    if image.ome is not None:
        page = image.series[number] if number < len(image.series) else None
        if page is not None and page.index in image.ome.planes and len(image.ome.planes) > 1:
            return image.ome.planes[page.index]
    if not at:
        return None
    # Pages of which a file says no more are points in time, as Bio-Formats has it.
    unknown = [value for axis, value in at.items() if axis not in "ZCT"]
    return Plane(at.get("Z", 0), at.get("C", 0), at.get("T", unknown[0] if unknown else 0))
