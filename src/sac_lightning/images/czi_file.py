"""Zeiss CZI, an extra: scenes, mosaics, channels and stacks, at the resolutions that the file holds."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from defusedxml import ElementTree
from pylibCZIrw import czi

from sac_lightning.images.background import find_background
from sac_lightning.images.choice import Stack
from sac_lightning.images.colour_channels import Colour
from sac_lightning.images.lengths import Size, plausible
from sac_lightning.images.planes import PlaneImage, open_planes
from sac_lightning.images.refusals import tell_broken
from sac_lightning.images.selection import Candidate, Selection
from sac_lightning.images.slide import Pixels, Slide

# At most so many pixels, seen from afar, tell the background.
SAMPLED_PIXELS = 2**20
# A level that would be smaller than this is none.
SMALLEST_SIDE = 16
# What pylibCZIrw calls the axes of planes: view, phase, illumination, rotation, block, time, depth, channel.
AXES = "VHIRBTZC"
# So many rows are decoded together: tiles of a mosaic are mostly so high, and overlap at any row.
PIECE = 512


@contextmanager
def open_czi(path: Path, selection: Selection) -> Iterator[Slide]:
    """Open a scene of the file; what its mosaic does not cover is background.

    Raises:
        UserError: The file cannot be read, or lacks what is asked for; while it is read, too.
    """
    with ExitStack() as stack:
        with tell_broken(path):
            file = stack.enter_context(czi.open_czi(str(path)))
            images = _list_scenes(file)
        yield open_planes(images, selection, path)


@dataclass(frozen=True)
class Scene:
    """A scene of the file, which has coordinates for all of them together.

    Attributes:
        file: Of pylibCZIrw.
        number: From 0; None: the file has no scenes.
        left: Where it begins.
        top: Where it begins.
        width: In pixels.
        height: In pixels.
    """

    file: Any
    number: int | None
    left: int
    top: int
    width: int
    height: int

    def read(self, at: Mapping[str, int], rows: range, zoom: float, ground: float) -> Pixels:
        """Return rows of the full resolution, zoomed, with the ground, of which 1 is white, where no tile is."""
        area = (self.left, self.top + rows.start, self.width, len(rows))
        pixels: Pixels = self.file.read(area, dict(at), self.number, zoom, background_pixel=(ground,) * 3)
        return pixels[:, :, ::-1] if pixels.shape[2] == 3 else pixels[:, :, 0]  # stored as blue, green, red

    def find_ground(self, at: Mapping[str, int]) -> float:
        """Return what stands for nothing in a plane, where 1 is the highest of whole numbers."""
        zoom = min(1.0, (SAMPLED_PIXELS / (self.width * self.height)) ** 0.5)
        black, white = (self.read(at, range(self.height), zoom, ground) for ground in (0.0, 1.0))
        there = black == white
        if there.all():
            return 0.0
        found = find_background(black[there.all(axis=2) if there.ndim == 3 else there])
        return found if black.dtype.kind == "f" else found / np.iinfo(black.dtype).max


def _list_scenes(file: Any) -> list[PlaneImage]:
    document = ElementTree.fromstring(file.raw_metadata)
    box = file.total_bounding_box
    sizes = {axis: box[axis][1] - box[axis][0] for axis in AXES if axis in box}
    axes = [axis for axis, size in sizes.items() if size > 1]
    names, colours = _read_channels(document, sizes["C"])
    in_colour = "Bgr" in file.get_channel_pixel_type(0)
    stack = Stack("".join(axes), tuple(sizes[axis] for axis in axes), names, colours, in_colour)
    zooms, size = _list_zooms(file), _read_size(document)
    scenes = file.scenes_bounding_rectangle_no_pyramid or {None: file.total_bounding_rectangle_no_pyramid}
    return [
        _describe(Scene(file, number, *place), f"scene {index}" if len(scenes) > 1 else "", stack, zooms, size)
        for index, (number, place) in enumerate(scenes.items(), 1)
    ]


def _describe(scene: Scene, name: str, stack: Stack, zooms: Sequence[float], size: Size | None) -> PlaneImage:
    sizes = [(round(scene.height * zoom), round(scene.width * zoom)) for zoom in zooms]
    levels = [high_wide for high_wide in sizes if min(high_wide) >= SMALLEST_SIDE] or sizes[:1]
    grounds: dict[tuple[tuple[str, int], ...], float] = {}

    def read(level: int, at: Mapping[str, int], top: int, bottom: int) -> Pixels:
        place = tuple(sorted(at.items()))
        if place not in grounds:
            grounds[place] = scene.find_ground(at)
        first, last = (round(row / zooms[level]) for row in (top, bottom))
        # A row at least, and as many as round down to those that are asked for.
        rows = range(min(first, scene.height - 1), max(first + 1, min(last, scene.height)))
        return _fit(scene.read(at, rows, zooms[level], grounds[place]), bottom - top, levels[level][1])

    candidate = Candidate(name, tuple(levels), stack.planes, stack.names)
    return PlaneImage(stack, candidate, size, read, (PIECE,) * len(levels))


def _fit(rows: Pixels, height: int, width: int) -> Pixels:
    """Return so many rows and columns; the last of a smaller resolution may have to be repeated."""
    missing = (max(0, height - rows.shape[0]), max(0, width - rows.shape[1]))
    if any(missing):
        rows = np.pad(rows, [(0, missing[0]), (0, missing[1]), (0, 0)][: rows.ndim], mode="edge")
    return np.ascontiguousarray(rows[:height, :width])


def _list_zooms(file: Any) -> list[float]:
    """Return by how much the file's resolutions are reduced, 1 first: those that it holds, as powers of a half."""
    found = {1.0}

    def note(_: int, tile: Any) -> bool:
        # Sides of tiles are whole numbers, and so their ratio is not exactly a power.
        found.add(2.0 ** round(np.log2(tile.physicalSize.w / max(1, tile.logicalRect.w))))
        return True

    file.enumerate_subblocks(note)
    return sorted((zoom for zoom in found if zoom <= 1), reverse=True)


def _read_channels(document: Any, count: int) -> tuple[tuple[str, ...], tuple[Colour | None, ...]]:
    """Return the names of channels, and the colours in which ZEN shows them; none if there is one."""
    if count == 1:
        return (), ()
    described = document.findall("./Metadata/Information/Image/Dimensions/Channels/Channel")
    shown = {one.get("Id"): one.findtext("Color") for one in document.iter("Channel") if one.findtext("Color")}
    if len(described) != count:
        return ("",) * count, ()
    names = tuple(one.get("Name") or "" for one in described)
    return names, tuple(_read_colour(shown.get(one.get("Id"))) for one in described)


def _read_colour(text: str | None) -> Colour | None:
    """Return red, green and blue of #AARRGGBB."""
    try:
        alpha_and_colour = bytes.fromhex((text or "").removeprefix("#"))
    except ValueError:
        return None
    if len(alpha_and_colour) not in (3, 4):
        return None
    red, green, blue = alpha_and_colour[-3:]
    return red, green, blue


def _read_size(document: Any) -> Size | None:
    """Return the size of a pixel, which the file has in metres."""
    found = {
        one.get("Id"): one.findtext("Value") for one in document.iterfind("./Metadata/Scaling/Items/Distance")
    }
    try:
        return plausible((float(found["X"] or 0) * 1e6, float(found["Y"] or 0) * 1e6))
    except (KeyError, ValueError):
        return None
