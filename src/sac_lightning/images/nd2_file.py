"""Nikon ND2, an extra: positions, channels and stacks."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import nd2
import numpy as np

from sac_lightning.images.choice import Stack
from sac_lightning.images.colour_channels import Colour
from sac_lightning.images.lengths import Size, plausible
from sac_lightning.images.planes import PlaneImage, open_planes
from sac_lightning.images.refusals import refuse_one_piece, tell_broken
from sac_lightning.images.selection import Candidate, Selection
from sac_lightning.images.slide import Pixels, Slide

# nd2's letters of the axes within a frame: channel, height, width, samples.
IN_FRAME = "CYXS"
POSITION = "P"


@contextmanager
def open_nd2(path: Path, selection: Selection) -> Iterator[Slide]:
    """Open a position of the file.

    Raises:
        UserError: The file cannot be read, or lacks what is asked for; while it is read, too.
    """
    with ExitStack() as stack:
        with tell_broken(path):
            file = stack.enter_context(nd2.ND2File(path))
            images = _list_positions(file, path)
        yield open_planes(images, selection, path)


def _list_positions(file: Any, path: Path) -> list[PlaneImage]:
    sizes: Mapping[str, int] = file.sizes
    height, width, channels = sizes["Y"], sizes["X"], sizes.get("C", 1)
    refuse_one_piece(height * width, path)
    # A frame of a file that is compressed is decompressed whole, and asked for rows many times.
    read_frame = lru_cache(1)(lambda number: file.read_frame(number).reshape(channels, height, width, -1))
    frames = [axis for axis in sizes if axis not in IN_FRAME]
    stack = _describe_stack(file, sizes, channels)

    def describe(position: int, name: str) -> PlaneImage:
        def read(level: int, at: Mapping[str, int], top: int, bottom: int) -> Pixels:
            where = [position if axis == POSITION else at.get(axis, 0) for axis in frames]
            number = int(np.ravel_multi_index(where, [sizes[axis] for axis in frames])) if frames else 0
            rows: Pixels = read_frame(number)[at.get("C", 0), top:bottom]
            return rows if rows.shape[2] > 1 else rows[:, :, 0]

        candidate = Candidate(name, ((height, width),), stack.planes, stack.names)
        return PlaneImage(stack, candidate, _read_size(file), read, (1,))

    count = sizes.get(POSITION, 1)
    return [describe(position, f"position {position + 1}" if count > 1 else "") for position in range(count)]


def _describe_stack(file: Any, sizes: Mapping[str, int], channels: int) -> Stack:
    axes = [axis for axis in sizes if axis not in ("Y", "X", "S", POSITION)]
    names: tuple[str, ...] = ()
    colours: tuple[Colour | None, ...] = ()
    if channels > 1:
        described = [one.channel for one in _list_channels(file)]
        known = len(described) == channels
        names = tuple(one.name for one in described) if known else ("",) * channels
        colours = tuple((one.color.r, one.color.g, one.color.b) for one in described) if known else ()
    return Stack("".join(axes), tuple(sizes[axis] for axis in axes), names, colours, sizes.get("S", 1) >= 3)


def _read_size(file: Any) -> Size | None:
    """Return the size of a pixel; a file without calibration says 1 x 1 x 1, or 0."""
    channels = _list_channels(file)
    if not channels or not all(channels[0].volume.axesCalibrated[:2]):
        return None
    width, height = channels[0].volume.axesCalibration[:2]
    return plausible((float(width), float(height)))


def _list_channels(file: Any) -> Sequence[Any]:
    """Return what the file says of its channels; nothing if nd2 does not understand it, as it has the pixels."""
    try:
        return file.metadata.channels or ()
    except Exception:  # nd2 0.12: UnboundLocalError over a channel without a dye
        return ()
