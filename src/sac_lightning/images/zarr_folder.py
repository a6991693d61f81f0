"""OME-Zarr: folders of arrays with several resolutions, versions 0.4 and 0.5, and sets of images in one."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from sac_lightning.core.errors import UserError, unreadable
from sac_lightning.images.background import find_background, is_bright
from sac_lightning.images.choice import Choice, Colour, Stack, choose_plane, choose_series
from sac_lightning.images.lengths import MICROMETRES, Size
from sac_lightning.images.refusals import refuse_one_piece
from sac_lightning.images.selection import Candidate, Selection, describe_choice, is_overview_name
from sac_lightning.images.slide import Pixels, Slide

# zarr has no exception of its own for a folder that is broken.
BROKEN = (OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError, ArithmeticError)
# So many rows in the middle tell whether channels without names are a picture, and what stands for nothing.
SAMPLED_ROWS = 256


@dataclass(frozen=True)
class ZarrImage:
    """An image of the folder.

    Attributes:
        array: At its full resolution, with height and width last.
        stack: Its planes.
        micrometres: Width and height of a pixel.
        candidate: What a person may choose it by.
    """

    array: Any
    stack: Stack
    micrometres: Size | None
    candidate: Candidate


@contextmanager
def open_zarr(path: Path, selection: Selection) -> Iterator[Slide]:
    """Open an image of an OME-Zarr at its full resolution.

    Raises:
        UserError: The folder cannot be read, or lacks what is asked for; while it is read, too.
    """
    try:
        slide = _open_image(path, selection)
    except BROKEN as error:
        raise unreadable(path, error) from error
    yield slide


def _open_image(path: Path, selection: Selection) -> Slide:
    root = zarr.open_group(path, mode="r")
    images = [_describe(group, name) for name, group in _find_images(root, path)]
    candidates = tuple(image.candidate for image in images)
    index = choose_series(candidates, selection.series, path)
    image = images[index]
    height, width = image.array.shape[-2:]
    refuse_one_piece(int(np.prod(image.array.chunks)), path)

    def is_picture(numbers: Sequence[int]) -> bool:
        middle = max(0, height // 2 - SAMPLED_ROWS // 2)
        planes = [_read_plane(image, number, middle, middle + SAMPLED_ROWS) for number in numbers]
        return image.array.dtype == np.uint8 and all(is_bright(plane.ravel()) for plane in planes)

    choice = choose_plane(image.stack, selection, is_picture, path)
    piece = image.array.chunks[-2]
    note = describe_choice(candidates, index, choice.page, choice.pages, choice.channel)

    def read(top: int, bottom: int) -> Pixels:
        try:
            return _read_choice(image, choice, top, min(bottom, height), piece)
        except BROKEN as error:
            raise unreadable(path, error) from error

    return Slide(height, width, read, image.micrometres, piece, candidates, choice.place, note)


def _find_images(root: Any, path: Path) -> list[tuple[str, Any]]:
    """Return the groups that are images: this one, those of a set, or the fields of a plate."""
    attributes = _ome(root)
    if "multiscales" in attributes:
        return [("", root)]
    if "plate" in attributes:
        wells = [well["path"] for well in attributes["plate"]["wells"]]
        fields = [f"{well}/{one['path']}" for well in wells for one in _ome(root[well])["well"]["images"]]
        return [(field, root[field]) for field in fields]
    names = sorted((name for name in root.group_keys() if name.isdecimal()), key=int)
    images = [(name, root[name]) for name in names if "multiscales" in _ome(root[name])]
    if not images:
        raise UserError(f"{path} holds no image with resolutions, as OME-Zarr has it: replace or remove it")
    return images


def _ome(group: Any) -> Mapping[str, Any]:
    """Return what a group says of itself: under a name of its own from version 0.5 on."""
    attributes: dict[str, Any] = group.attrs.asdict()
    found: Mapping[str, Any] = attributes.get("ome", attributes)
    return found


def _describe(group: Any, path: str) -> ZarrImage:
    attributes = _ome(group)
    scales = attributes["multiscales"][0]
    levels = [group[dataset["path"]] for dataset in scales["datasets"]]
    array = levels[0]
    axes = [axis["name"] if isinstance(axis, Mapping) else axis for axis in scales.get("axes", "tczyx")]
    if len(axes) != array.ndim or axes[-2:] != ["y", "x"]:
        raise UserError(f"its axes are {', '.join(axes)}: save it with y and x as the last")
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
    return ZarrImage(array, stack, _read_size(scales, len(axes)), candidate)


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
    height, width = (MICROMETRES.get(str(unit).lower(), np.nan) for unit in units)
    size = (float(factors[-1] * width), float(factors[-2] * height))
    return size if all(np.isfinite(length) and length > 0 for length in size) else None


def _read_plane(image: ZarrImage, number: int, top: int, bottom: int) -> Pixels:
    at = tuple(image.stack.places()[number].values())
    rows: Pixels = np.asarray(image.array[(*at, slice(top, bottom))])
    return rows


def _read_choice(image: ZarrImage, choice: Choice, top: int, bottom: int, piece: int) -> Pixels:
    # Whole chunks, to see which of them are not there.
    first, last = top - top % piece, -(-bottom // piece) * piece
    planes = [_read_plane(image, number, first, last) for number in choice.numbers]
    pixels = np.stack(planes, axis=2) if len(planes) == 3 else planes[0]
    if choice.in_colour:
        pixels = _cover_missing(pixels, image, piece)
    return np.ascontiguousarray(pixels[top - first : top - first + max(0, bottom - top)])


def _cover_missing(pixels: Pixels, image: ZarrImage, piece: int) -> Pixels:
    """Return colours with white in the chunks that were never written: zarr fills them with one number."""
    fill, columns = image.array.fill_value, image.array.chunks[-1]
    for top in range(0, pixels.shape[0], piece):
        for left in range(0, pixels.shape[1], columns):
            chunk = pixels[top : top + piece, left : left + columns]
            if (chunk == fill).all():
                pixels[top : top + piece, left : left + columns] = _white(image)
    return pixels


def _white(image: ZarrImage) -> float:
    if image.array.dtype == np.uint8:
        return 255.0
    return find_background(np.asarray(image.array[(0,) * (image.array.ndim - 2)]).ravel())
