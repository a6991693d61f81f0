"""Images that are sets of planes, of whatever format: which is read, and its rows at each of its resolutions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sac_lightning.images.background import is_bright
from sac_lightning.images.choice import Choice, Stack, choose_plane, choose_series
from sac_lightning.images.lengths import Size
from sac_lightning.images.refusals import tell_broken
from sac_lightning.images.selection import Candidate, Selection, describe_choice
from sac_lightning.images.slide import Pixels, Slide

# So many rows in the middle tell whether channels without names are a picture.
SAMPLED_ROWS = 256


@dataclass(frozen=True)
class PlaneImage:
    """An image of a file.

    Attributes:
        stack: Its planes.
        candidate: What a person may choose it by.
        micrometres: Width and height of a pixel.
        read: Returns, of a resolution, of the plane at a place (its number along each axis), the rows from one
            number to before another, (n, W) or (n, W, S) with S samples.
        pieces: How many rows are decoded together, of each resolution.
    """

    stack: Stack
    candidate: Candidate
    micrometres: Size | None
    read: Callable[[int, Mapping[str, int], int, int], Pixels]
    pieces: tuple[int, ...]


def open_planes(images: Sequence[PlaneImage], selection: Selection, path: Path) -> Slide:
    """Open a plane of the images of a file.

    Raises:
        UserError: The file lacks what is asked for, or is broken; while it is read, too.
    """
    candidates = tuple(image.candidate for image in images)
    index = choose_series(candidates, selection.series, path)
    image = images[index]
    with tell_broken(path):
        choice = choose_plane(image.stack, selection, lambda numbers: _is_picture(image, numbers), path)
    whole = _open_level(image, choice, 0, path)
    levels = image.candidate.levels
    return replace(
        whole,
        candidates=candidates,
        plane=choice.place,
        note=describe_choice(candidates, index, choice.page, choice.pages, choice.channel),
        levels=levels,
        open_level=(lambda level: _open_level(image, choice, level, path)) if len(levels) > 1 else None,
    )


def _open_level(image: PlaneImage, choice: Choice, level: int, path: Path) -> Slide:
    height, width = image.candidate.levels[level]
    places = [image.stack.places()[number] for number in choice.numbers]

    def read(top: int, bottom: int) -> Pixels:
        bottom = min(bottom, height)
        with tell_broken(path):
            planes = [image.read(level, at, top, max(top, bottom)) for at in places]
        return _take_samples(planes, choice)

    size, (high, wide) = image.micrometres, image.candidate.levels[0]
    scaled = None if size is None else (size[0] * wide / width, size[1] * high / height)
    return Slide(height, width, read, scaled, image.pieces[level])


def _take_samples(planes: Sequence[Pixels], choice: Choice) -> Pixels:
    """Return the rows of one plane, or of three that are red, green and blue, as (n, W) or (n, W, 3)."""
    if len(planes) == 3:
        return np.stack(planes, axis=2)
    rows = planes[0]
    if rows.ndim == 3:
        rows = rows[:, :, :3] if choice.in_colour else rows[:, :, choice.sample or 0]
    return np.ascontiguousarray(rows)


def _is_picture(image: PlaneImage, numbers: Sequence[int]) -> bool:
    """Return whether three planes without names look like red, green and blue: 8 bits, and all are bright."""
    height = image.candidate.levels[0][0]
    top = max(0, height // 2 - SAMPLED_ROWS // 2)
    places = [image.stack.places()[number] for number in numbers]
    rows = [image.read(0, at, top, min(top + SAMPLED_ROWS, height)) for at in places]
    channels = rows if len(rows) == 3 else [rows[0][:, :, channel] for channel in range(3)]
    return all(one.dtype == np.uint8 and is_bright(one.ravel()) for one in channels)
