"""Leica LIF, an extra: the images of an experiment, their channels and stacks."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from liffile import LifFile

from sac_lightning.core.errors import UserError
from sac_lightning.images.choice import Stack
from sac_lightning.images.lengths import Size, micrometres_per, plausible
from sac_lightning.images.planes import PlaneImage, open_planes
from sac_lightning.images.refusals import refuse_one_piece, tell_broken
from sac_lightning.images.selection import Candidate, Selection, is_overview_name
from sac_lightning.images.slide import Pixels, Slide

# Leica's numbers of the axes of an image.
AXIS_NUMBERS = {"X": "1", "Y": "2"}
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "gray": (255, 255, 255)}


@contextmanager
def open_lif(path: Path, selection: Selection) -> Iterator[Slide]:
    """Open an image of the file.

    Raises:
        UserError: The file cannot be read, or lacks what is asked for; while it is read, too.
    """
    with ExitStack() as stack:
        with tell_broken(path):
            file = stack.enter_context(LifFile(path))
            described = [_describe(image, path) for image in file.images if not image.is_flim]
        images = [image for image in described if image is not None]
        if not images:
            raise UserError(f"{path} holds no image: replace or remove it")
        yield open_planes(images, selection, path)


def _describe(image: Any, path: Path) -> PlaneImage | None:
    """Return an image as planes; None if it is no image but a line or a point that was measured."""
    frames = image.frames
    if tuple(frames.frame_dims[:2]) != ("Y", "X"):
        return None
    height, width = frames.frame_shape[:2]
    refuse_one_piece(height * width, path)
    sizes = frames.sizes
    axes = tuple(axis for axis in frames.dims if axis not in frames.frame_dims)
    # Frames have no rows to ask for.
    read_frame = lru_cache(3)(lambda where: frames[where] if where else frames[0])

    def read(level: int, at: Mapping[str, int], top: int, bottom: int) -> Pixels:
        rows: Pixels = read_frame(tuple(at.get(axis, 0) for axis in axes))[top:bottom]
        return rows

    described = image.xml_element.findall("./Data/Image/ImageDescription/Channels/ChannelDescription")
    tables = [str(one.get("LUTName", "")) for one in described]
    channels = sizes.get("C", 1)
    # Red, green and blue are what ImageJ calls look-up tables, and here say nothing of the dye.
    known = channels > 1 and len(tables) == channels
    names = tuple(f"LUT {name}" if name else "" for name in tables) if known else ("",) * channels
    colours = tuple(COLOURS.get(name.lower()) for name in tables) if known else ()
    # Axes that have a letter and a number are the second of their kind.
    stack = Stack(
        "".join(axis[0] if len(axis) == 1 else "_" for axis in axes),
        tuple(sizes[axis] for axis in axes),
        names if channels > 1 else (),
        colours,
        sizes.get("S", 1) >= 3,
    )
    name = str(image.name)
    candidate = Candidate(name, ((height, width),), stack.planes, stack.names, is_overview_name(name))
    return PlaneImage(stack, candidate, _read_size(image), read, (1,))


def _read_size(image: Any) -> Size | None:
    """Return the size of a pixel: the way from the first to the last, in as many steps as lie between."""
    found = {}
    for axis, number in AXIS_NUMBERS.items():
        one = image.xml_element.find(
            f"./Data/Image/ImageDescription/Dimensions/DimensionDescription[@DimID='{number}']"
        )
        unit = None if one is None else micrometres_per(one.get("Unit", ""))
        if unit is None:
            return None
        steps = int(one.get("NumberOfElements", 0)) - 1
        found[axis] = abs(float(one.get("Length", 0))) / max(1, steps) * unit
    return plausible((found["X"], found["Y"]))
