"""The size of a TIFF file's pixels in micrometres, from its metadata."""

import re

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException
from tifffile import TiffFile

# OME's and ImageJ's spellings; a name that is not here is no unit of length.
MICROMETRES = {
    "nm": 1e-3,
    "nanometer": 1e-3,
    "um": 1.0,
    "µm": 1.0,  # micro sign
    "\u03bcm": 1.0,  # Greek mu
    "\\u00b5m": 1.0,  # as ImageJ escapes it
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "mm": 1e3,
    "millimeter": 1e3,
    "cm": 1e4,
    "centimeter": 1e4,
    "inch": 25_400.0,
}
INCH, CENTIMETRE = 2, 3
# Programs fill in 72 or 300 dots per inch for no reason: what is coarser than any microscope is not believed.
MAX_OF_TAGS = 10.0

Size = tuple[float, float]


def micrometres_of(file: TiffFile) -> Size | None:
    """Read the size of a pixel (width, height) in micrometres: OME-XML, Aperio's MPP, ImageJ or the tags."""
    for size in (_size_of_ome(file), _size_of_aperio(file), _size_of_imagej(file), _size_of_tags(file)):
        if size is not None and all(0 < length < float("inf") for length in size):
            return size
    return None


def _size_of_ome(file: TiffFile) -> Size | None:
    if not file.ome_metadata:
        return None
    try:
        pixels = ElementTree.fromstring(file.ome_metadata).find(".//{*}Pixels")
    except (ElementTree.ParseError, DefusedXmlException):
        return None
    if pixels is None:
        return None
    try:
        return tuple(  # type: ignore[return-value]
            float(pixels.attrib[f"PhysicalSize{axis}"])
            * MICROMETRES[pixels.attrib.get(f"PhysicalSize{axis}Unit", "µm").lower()]
            for axis in "XY"
        )
    except (KeyError, ValueError):
        return None


def _size_of_aperio(file: TiffFile) -> Size | None:
    mpp = re.search(r"\|\s*MPP\s*=\s*(\d*\.?\d+)", file.pages.first.description)
    return None if mpp is None else (float(mpp[1]), float(mpp[1]))


def _size_of_imagej(file: TiffFile) -> Size | None:
    if not file.is_imagej:
        return None
    unit = MICROMETRES.get(str((file.imagej_metadata or {}).get("unit", "")).lower())
    per_unit = _resolution(file)
    return None if unit is None or per_unit is None else (unit / per_unit[0], unit / per_unit[1])


def _size_of_tags(file: TiffFile) -> Size | None:
    tag = file.pages.first.tags.get("ResolutionUnit")
    # A file without the unit means inches.
    unit = {INCH: 25_400.0, CENTIMETRE: 1e4}.get(int(tag.value) if tag is not None else INCH)
    per_unit = _resolution(file)
    if unit is None or per_unit is None:
        return None
    size = (unit / per_unit[0], unit / per_unit[1])
    return size if max(size) <= MAX_OF_TAGS else None


def _resolution(file: TiffFile) -> Size | None:
    """Return the pixels per unit, along x and y."""
    tags = [file.pages.first.tags.get(f"{axis}Resolution") for axis in "XY"]
    if any(tag is None for tag in tags):
        return None
    pairs = [tag.value for tag in tags if tag is not None]
    if any(0 in pair for pair in pairs):
        return None
    return tuple(above / below for above, below in pairs)
