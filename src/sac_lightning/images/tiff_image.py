"""The images in a TIFF file, and the pages that make up the one that is chosen."""

from dataclasses import dataclass
from pathlib import Path

from tifffile import FILETYPE, PHOTOMETRIC, TiffFile, TiffPage, TiffPageSeries

from sac_lightning.core.errors import UserError
from sac_lightning.images.choice import Choice, Stack
from sac_lightning.images.colour_channels import Colour, say_colours
from sac_lightning.images.grid import Grid, find_grid
from sac_lightning.images.ome import OmeImage, read_ome, spans_files
from sac_lightning.images.ome_set import find_description
from sac_lightning.images.selection import Candidate, Plane, is_overview_name
from sac_lightning.images.tiff_pixels import count_alphas

GREY = (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.PALETTE, PHOTOMETRIC.MASK)


@dataclass(frozen=True)
class TiffImage:
    """An image of a file.

    Attributes:
        series: As tifffile has it.
        ome: What the file's OME-XML says of it, if it has any.
        stack: Its planes.
        candidate: What a person may choose it by.
    """

    series: TiffPageSeries
    ome: OmeImage | None
    stack: Stack
    candidate: Candidate


def describes_other_files(file: TiffFile, path: Path) -> bool:
    """Return whether the file is one of several with one OME-XML, which describes all of them."""
    return bool(file.is_ome) and spans_files(file.ome_metadata, path.name)


def list_images(file: TiffFile, path: Path) -> list[TiffImage]:
    """Return the images of a file, in its order; masks of transparency are none.

    Raises:
        UserError: It holds none.
    """
    xml, own = file.pages.first.description, None
    if "BinaryOnly" in xml:
        xml, own = find_description(xml, path)
    described = read_ome(xml, path.name, own)
    images = []
    for series in file.series:
        page = series.keyframe
        if page.subfiletype & FILETYPE.MASK and len(file.series) > 1:
            continue
        number = next((one.index for one in series if one is not None), -1)
        ome = next((one for one in described if number in one.planes), None)
        stack = _describe_stack(series, ome, file)
        images.append(TiffImage(series, ome, stack, _describe(series, ome, stack)))
    if not images:
        raise UserError(f"{path} holds no image: replace or remove it")
    return images


def _describe(series: TiffPageSeries, ome: OmeImage | None, stack: Stack) -> Candidate:
    name = ome.name if ome is not None and ome.name else series.name
    page = series.keyframe
    return Candidate(
        name="" if name.lower() in ("generic", "uniform") else name,
        levels=tuple((level.keyframe.imagelength, level.keyframe.imagewidth) for level in series.levels),
        pages=stack.planes,
        channels=stack.names,
        is_overview=is_overview_name(name) or bool(page.subfiletype & FILETYPE.REDUCEDIMAGE),
    )


def _describe_stack(series: TiffPageSeries, ome: OmeImage | None, file: TiffFile) -> Stack:
    page = series.keyframe
    # A single sample has an axis if its page says RGB, which series leave out.
    lead = len(series.axes) - sum(axis in series.axes or axis != "S" for axis in page.axes)
    axes, shape, in_colour = series.axes[:lead], tuple(series.shape[:lead]), is_colour(page)
    labels = _read_labels(file)
    if lead == 1 and not in_colour and len(labels) == shape[0] and say_colours(labels):
        axes = "C"  # ImageJ's "RGB Stack" has three depths, with names
    names, colours = (ome.channels, ome.colours) if ome is not None else ((), ())
    grid = _arrange(series, ome) if lead == 1 and axes not in "ZCT" else None
    if grid is not None:
        axes, shape = grid.axes, grid.shape
        names = tuple(names[c] for c in grid.channels if c < len(names))
        colours = tuple(colours[c] for c in grid.channels if c < len(colours))
    paged = dict(zip(axes, shape, strict=True)).get("C", 1)
    count = paged if paged > 1 or in_colour else count_values(page)
    if count == 1:
        return Stack(axes, shape, in_colour=in_colour)
    if file.is_imagej:
        names, colours = labels, _read_tables(file)
    known = names if len(names) == count else ("",) * count
    return Stack(axes, shape, known, colours, in_colour)


def _arrange(series: TiffPageSeries, ome: OmeImage | None) -> Grid | None:
    """Return what the pages of one file of a set are, which only the XML knows; None: it does not say."""
    pages = [] if ome is None else [ome.planes.get(page.index) for page in series if page is not None]
    return find_grid([plane for plane in pages if plane is not None]) if None not in pages else None


def _read_labels(file: TiffFile) -> tuple[str, ...]:
    """Return the first line of each label of ImageJ, which it shows above the plane."""
    labels = (file.imagej_metadata or {}).get("Labels") or []
    return tuple(str(label).split("\n")[0] for label in labels)


def _read_tables(file: TiffFile) -> tuple[Colour, ...]:
    """Return the colours in which ImageJ shows the channels: the last of each look-up table."""
    tables = (file.imagej_metadata or {}).get("LUTs") or []
    return tuple((int(table[0, -1]), int(table[1, -1]), int(table[2, -1])) for table in tables)


def is_colour(page: TiffPage) -> bool:
    """Return whether a page says that it is in colour, whatever kind of, and has as many samples."""
    return page.photometric not in GREY and page.samplesperpixel >= 3


def count_values(page: TiffPage) -> int:
    """Return how many samples of each pixel are values, without those that the file calls alpha."""
    return max(1, page.samplesperpixel - count_alphas(page))


def place_of(image: TiffImage, choice: Choice) -> Plane | None:
    """Return where the stack has a plane: by the file's OME-XML, which also knows of its other files."""
    number = choice.numbers[0]
    page = image.series[number] if number < len(image.series) else None
    if page is not None and image.ome is not None and len(image.ome.planes) > 1:
        return image.ome.planes.get(page.index, choice.place)
    return choice.place
