"""Images that are sets of planes, of whatever format: which is read, and its rows at each of its resolutions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sac_lightning.images.choice import Choice, Stack, choose_plane, choose_series
from sac_lightning.images.covered_rows import cover_rows
from sac_lightning.images.lengths import Size
from sac_lightning.images.refusals import tell_broken
from sac_lightning.images.selection import Candidate, Selection, describe_choice
from sac_lightning.images.slide import Pixels, Slide

# So many rows in the middle tell whether channels are one picture in colour.
SAMPLED_ROWS = 256
# So many tell the background of transparent pixels: each may have to be decoded with others.
SAMPLED_STRIPS = 16


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
        choice = choose_plane(image.stack, selection, lambda numbers: _sample_planes(image, numbers), path)
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

    def read_all(top: int, bottom: int) -> Pixels:
        bottom = min(bottom, height)
        with tell_broken(path):
            planes = [image.read(level, at, top, max(top, bottom)) for at in places]
        return planes[0] if len(planes) == 1 else np.stack(planes, axis=2)

    def read(top: int, bottom: int) -> Pixels:
        return choice.take_samples(read_all(top, bottom))

    sampled = range(0, height, max(1, height // SAMPLED_STRIPS))
    covered = cover_rows(read_all, sampled, choice.take_samples, lambda rows: rows[:, :, 3])
    size, (high, wide) = image.micrometres, image.candidate.levels[0]
    scaled = None if size is None else (size[0] * wide / width, size[1] * high / height)
    return Slide(height, width, covered if choice.alpha else read, scaled, image.pieces[level])


def _sample_planes(image: PlaneImage, numbers: Sequence[int]) -> Pixels:
    """Return pixels (n, S) of planes, or of all samples of one."""
    height = image.candidate.levels[0][0]
    top = max(0, height // 2 - SAMPLED_ROWS // 2)
    places = [image.stack.places()[number] for number in numbers]
    rows = np.dstack([image.read(0, at, top, min(top + SAMPLED_ROWS, height)) for at in places])
    return rows.reshape(-1, rows.shape[2])
