"""OME-Zarr: folders of arrays with several resolutions, versions 0.4 and 0.5, and sets of images in one."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from sac_lightning.core.errors import UserError
from sac_lightning.images.background import find_background
from sac_lightning.images.choice import Stack
from sac_lightning.images.colour_channels import Colour
from sac_lightning.images.lengths import Size, micrometres_per, plausible
from sac_lightning.images.planes import PlaneImage, open_planes
from sac_lightning.images.refusals import refuse_one_piece, tell_broken
from sac_lightning.images.selection import Candidate, Selection, is_overview_name
from sac_lightning.images.slide import Pixels, Slide


@contextmanager
def open_zarr(path: Path, selection: Selection) -> Iterator[Slide]:
    """Open an image of an OME-Zarr.

    Raises:
        UserError: The folder cannot be read, or lacks what is asked for; while it is read, too.
    """
    with tell_broken(path):
        root = zarr.open_group(path, mode="r")
        images = [_describe(group, name, path) for name, group in _find_images(root, path)]
    yield open_planes(images, selection, path)


def _find_images(root: Any, path: Path) -> list[tuple[str, Any]]:
    """Return the groups that are images: this one, those of a set, or the fields of a plate."""
    attributes = _ome(root)
    if "multiscales" in attributes:
        return [("", root)]
    if "plate" in attributes:
        wells = [well["path"] for well in attributes["plate"]["wells"]]
        fields = [f"{well}/{one['path']}" for well in wells for one in _ome(root[well])["well"]["images"]]
        return [(field, root[field]) for field in fields]
    groups = ((name, group) for name, group in root.groups() if "multiscales" in _ome(group))
    # What labels nuclei is a result, and lies in groups of its own.
    images = sorted(
        ((name, group) for name, group in groups if "image-label" not in _ome(group)),
        key=lambda one: (not one[0].isdecimal(), int(one[0]) if one[0].isdecimal() else 0, one[0]),
    )
    if not images:
        raise UserError(f"{path} holds no image with resolutions, as OME-Zarr has it: replace or remove it")
    return images


def _ome(group: Any) -> Mapping[str, Any]:
    """Return what a group says of itself: under a name of its own from version 0.5 on."""
    attributes: dict[str, Any] = group.attrs.asdict()
    found: Mapping[str, Any] = attributes.get("ome", attributes)
    return found


def _describe(group: Any, path: str, file: Path) -> PlaneImage:
    attributes = _ome(group)
    scales = attributes["multiscales"][0]
    levels = [group[dataset["path"]] for dataset in scales["datasets"]]
    array = levels[0]
    axes = [axis["name"] if isinstance(axis, Mapping) else axis for axis in scales.get("axes", "tczyx")]
    if len(axes) != array.ndim or axes[-2:] != ["y", "x"]:
        raise UserError(f"{file} has the axes {', '.join(axes)}: save it with y and x as the last")
    refuse_one_piece(max(int(np.prod(level.chunks)) for level in levels), file)
    lead = "".join(axis[:1].upper() for axis in axes[:-2])
    described = attributes.get("omero", {}).get("channels", [])
    count = dict(zip(lead, array.shape, strict=False)).get("C", 1)
    names = tuple(str(channel.get("label", "")) for channel in described)
    colours = tuple(_read_colour(channel.get("color")) for channel in described)
    if count == 1:
        names = ()
    elif len(names) != count:
        names = ("",) * count
    stack = Stack(lead, tuple(array.shape[:-2]), names, colours)
    name = str(scales.get("name") or path).strip("/")
    sizes = tuple((level.shape[-2], level.shape[-1]) for level in levels)
    candidate = Candidate(name, sizes, stack.planes, names, is_overview_name(name))

    @cache
    def find_ground(where: tuple[int, ...]) -> float | None:
        return _find_ground(array, where)

    def read(level: int, at: Mapping[str, int], top: int, bottom: int) -> Pixels:
        where, one = tuple(at.values()), levels[level]
        piece = one.chunks[-2]
        # Whole chunks, to see which of them are not there.
        first, last = top - top % piece, -(-bottom // piece) * piece
        pixels: Pixels = np.asarray(one[(*where, slice(first, last))])
        missing = _find_missing(pixels, one)
        if missing and (ground := find_ground(where)) is not None:
            for area in missing:
                pixels[area] = ground
        return pixels[top - first : bottom - first]

    pieces = tuple(level.chunks[-2] for level in levels)
    return PlaneImage(stack, candidate, _read_size(scales, len(axes)), read, pieces)


def _read_colour(colour: object) -> Colour | None:
    text = str(colour)
    if len(text) != 6 or any(letter not in "0123456789abcdefABCDEF" for letter in text):
        return None
    red, green, blue = bytes.fromhex(text)
    return red, green, blue


def _read_size(scales: Mapping[str, Any], axes: int) -> Size | None:
    """Return the size of a pixel: what its resolution and the whole image state as scale, multiplied."""
    factors = np.ones(axes)
    steps = [
        *scales["datasets"][0].get("coordinateTransformations", []),
        *scales.get("coordinateTransformations", []),
    ]
    scaled = [step["scale"] for step in steps if step.get("type") == "scale"]
    units = [axis.get("unit") if isinstance(axis, Mapping) else None for axis in scales.get("axes", [])[-2:]]
    if not scaled or len(units) != 2:
        return None
    for scale in scaled:
        factors = factors * np.asarray(scale, float)
    height, width = (micrometres_per(str(unit)) or np.nan for unit in units)
    size = (float(factors[-1] * width), float(factors[-2] * height))
    return plausible(size)


def _find_missing(pixels: Pixels, array: Any) -> list[tuple[slice, slice]]:
    """Return where whole rows of chunks hold chunks that were never written: zarr fills them with one number."""
    height, width = array.chunks[-2:]
    areas = [
        (slice(top, top + height), slice(left, left + width))
        for top in range(0, pixels.shape[0], height)
        for left in range(0, pixels.shape[1], width)
    ]
    return [area for area in areas if (pixels[area] == array.fill_value).all()]


def _find_ground(array: Any, where: tuple[int, ...]) -> float | None:
    """Return what stands for nothing, by the chunks of a row of them that are there; None if none is."""
    height = array.chunks[-2]
    for top in _from_the_middle(-(-array.shape[-2] // height)):
        pixels: Pixels = np.asarray(array[(*where, slice(top * height, (top + 1) * height))])
        there = np.ones(pixels.shape, bool)
        for area in _find_missing(pixels, array):
            there[area] = False
        if there.any():
            return find_background(pixels[there])
    return None


def _from_the_middle(count: int) -> list[int]:
    return sorted(range(count), key=lambda number: abs(number - count // 2))
