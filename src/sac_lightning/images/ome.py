"""What OME-XML says of the images in a TIFF file: names, channels, pixel sizes, and which plane each page is."""

from dataclasses import dataclass, field
from math import nan
from typing import Any

import numpy as np
from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from sac_lightning.images.lengths import Size, micrometres_per
from sac_lightning.images.selection import Plane

# A file that claims more planes than this is not believed.
MOST_PLANES = 2**20


@dataclass(frozen=True)
class OmeImage:
    """An image of the XML.

    Attributes:
        name: May be empty.
        channels: The name of each, empty where it has none.
        colours: Red, green and blue (0..255) of each channel in which a viewer shows it, None where none is said.
        micrometres: Width and height of a pixel.
        planes: Which plane each page of the file is, by the page's number from 0.
    """

    name: str
    channels: tuple[str, ...]
    colours: tuple[tuple[int, int, int] | None, ...]
    micrometres: Size | None
    planes: dict[int, Plane] = field(default_factory=dict)


def read_ome(xml: str | None, file_name: str, own: str | None = None) -> tuple[OmeImage, ...]:
    """Return the images that OME-XML describes; none if it is no such XML.

    Args:
        xml: The text.
        file_name: Of the TIFF file: one XML may describe several, and pages of the others are left out.
        own: The identifier of the file's own pages, if it is known.
    """
    try:
        root = ElementTree.fromstring(xml) if xml and "OME" in xml else None
        if root is None:
            return ()
        own = own or _find_own_uuid(root, file_name)
        return tuple(_read_image(image, own) for image in root.findall("./{*}Image"))
    except (ElementTree.ParseError, DefusedXmlException, ValueError, KeyError, OverflowError):
        return ()


def spans_files(xml: str | None, file_name: str) -> bool:
    """Return whether OME-XML says that some of its pages are in other files."""
    try:
        root = ElementTree.fromstring(xml) if xml and "UUID" in xml else None
        if root is None:
            return False
        own = _find_own_uuid(root, file_name)
        return any(uuid.text != own for uuid in root.findall(".//{*}TiffData/{*}UUID"))
    except (ElementTree.ParseError, DefusedXmlException, ValueError):
        return False


def _find_own_uuid(root: Any, file_name: str) -> str | None:
    """Return which identifier the file's own pages have."""
    uuids = root.findall(".//{*}TiffData/{*}UUID")
    stated: str | None = root.attrib.get("UUID")
    if stated is not None and any(uuid.text == stated for uuid in uuids):
        return stated
    named = [uuid.text for uuid in uuids if uuid.attrib.get("FileName", "").lower() == file_name.lower()]
    return str(named[0]) if named else stated


def _read_image(image: Any, own: str | None) -> OmeImage:
    pixels = image.find("./{*}Pixels")
    if pixels is None:
        return OmeImage(image.attrib.get("Name", ""), (), (), None)
    channels = pixels.findall("./{*}Channel")
    return OmeImage(
        name=image.attrib.get("Name", ""),
        channels=tuple(channel.attrib.get("Name", "") for channel in channels),
        colours=tuple(_read_colour(channel.attrib.get("Color")) for channel in channels),
        micrometres=_read_size(pixels.attrib),
        planes=_read_planes(pixels, own),
    )


def _read_size(attributes: dict[str, str]) -> Size | None:
    sides = []
    for axis in "XY":
        unit = micrometres_per(attributes.get(f"PhysicalSize{axis}Unit", "µm"))
        try:
            sides.append(float(attributes[f"PhysicalSize{axis}"]) * (unit or nan))
        except (KeyError, ValueError):
            return None
    return sides[0], sides[1]


def _read_colour(number: str | None) -> tuple[int, int, int] | None:
    """Return the colour of a signed 32-bit number: red, green, blue, alpha, a byte each."""
    try:
        whole = int(number) % 2**32 if number is not None else -1
    except ValueError:
        return None
    return (whole >> 24 & 255, whole >> 16 & 255, whole >> 8 & 255) if whole >= 0 else None


def _read_planes(pixels: Any, own: str | None) -> dict[int, Plane]:
    order = pixels.attrib.get("DimensionOrder", "XYZCT")[2:].lower()
    sizes = {axis: int(pixels.attrib.get(f"Size{axis.upper()}", 1)) for axis in order}
    samples = [int(channel.attrib.get("SamplesPerPixel", 1)) for channel in pixels.findall("./{*}Channel")]
    if samples and samples[0] > 1:
        sizes["c"] = max(1, sizes["c"] // samples[0])
    shape = [sizes[axis] for axis in order]
    total = int(np.prod(shape))
    planes: dict[int, Plane] = {}
    for data in pixels.findall("./{*}TiffData"):
        uuid = data.find("./{*}UUID")
        if uuid is not None and own is not None and uuid.text != own:
            continue
        attributes = data.attrib
        at = [int(attributes.get(f"First{axis.upper()}", 0)) for axis in order]
        first = int(np.ravel_multi_index(at, shape, order="F"))
        count = int(attributes.get("PlaneCount", 1 if "IFD" in attributes else total))
        for step in range(min(count, total - first, MOST_PLANES)):
            where = np.unravel_index(first + step, shape, order="F")
            plane = dict(zip(order, map(int, where), strict=True))
            planes[int(attributes.get("IFD", 0)) + step] = Plane(plane["z"], plane["c"], plane["t"])
    return planes
