"""The size of a TIFF file's pixels in micrometres, from its metadata."""

import re

from tifffile import TiffFile, TiffPage

from sac_lightning.images.lengths import Size, micrometres_per, plausible
from sac_lightning.images.ome import OmeImage

INCH = 2
# Micrometres in the units of a resolution; the last two are no standard, but written.
UNITS = {INCH: 25_400.0, 3: 1e4, 4: 1e3, 5: 1.0}


def micrometres_of(file: TiffFile, page: TiffPage, image: OmeImage | None) -> Size | None:
    """Read the size of a pixel (width, height) in micrometres, from what a program writes or else from the tags.

    Args:
        file: The file.
        page: The page of the image.
        image: What the file's OME-XML says of it.
    """
    of_ome = image.micrometres if image is not None else None
    of_programs = (_size_of_aperio(page), _size_of_philips(file), _size_of_trestle(page), _size_of_imagej(file))
    sizes = (of_ome, *of_programs, _size_of_tags(page))
    # ImageJ and others turn the dots per inch that programs fill in into lengths of their own.
    return next((size for size in sizes if plausible(size) is not None), None)


def _size_of_aperio(page: TiffPage) -> Size | None:
    mpp = re.search(r"\|\s*MPP\s*=\s*([\d.,eE+-]+)", page.description)
    try:
        size = float(mpp[1].replace(",", ".")) if mpp is not None else None
    except ValueError:
        return None
    return None if size is None else (size, size)


def _size_of_philips(file: TiffFile) -> Size | None:
    if not file.is_philips:
        return None
    spacing = re.search(
        r'Name="DICOM_PIXEL_SPACING"[^>]*>"([\d.eE-]+)" "([\d.eE-]+)"', file.pages.first.description
    )
    # The largest of the sizes comes first: millimetres, of rows and of columns.
    return None if spacing is None else (float(spacing[2]) * 1e3, float(spacing[1]) * 1e3)


def _size_of_trestle(page: TiffPage) -> Size | None:
    """Return what Trestle's scanners store where others have pixels per unit: the size itself."""
    return _resolution(page) if str(page.software).startswith("MedScan") else None


def _size_of_imagej(file: TiffFile) -> Size | None:
    if not file.is_imagej:
        return None
    unit = micrometres_per(str((file.imagej_metadata or {}).get("unit", "")))
    per_unit = _resolution(file.pages.first)
    return None if unit is None or per_unit is None else (unit / per_unit[0], unit / per_unit[1])


def _size_of_tags(page: TiffPage) -> Size | None:
    tag = page.tags.get("ResolutionUnit")
    # A file without the unit means inches.
    unit = UNITS.get(int(tag.value) if tag is not None else INCH)
    per_unit = _resolution(page)
    if unit is None or per_unit is None:
        return None
    return unit / per_unit[0], unit / per_unit[1]


def _resolution(page: TiffPage) -> Size | None:
    """Return the pixels per unit, along x and y."""
    tags = [page.tags.get(f"{axis}Resolution") for axis in "XY"]
    if any(tag is None for tag in tags):
        return None
    pairs = [tag.value for tag in tags if tag is not None]
    if any(0 in pair for pair in pairs):
        return None
    return tuple(above / below for above, below in pairs)
