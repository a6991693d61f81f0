"""TIFF files of any kind and size, and slides that are TIFF files: tiled, striped, pyramids, stacks, channels."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from tifffile import EXTRASAMPLE, PHOTOMETRIC, TiffFile, TiffPage

from sac_lightning.images.choice import Choice, choose_plane, choose_series
from sac_lightning.images.colour_channels import looks_like_alpha
from sac_lightning.images.covered_rows import cover_rows
from sac_lightning.images.luminance import is_luminance, is_whole_luminance, to_colours
from sac_lightning.images.palette import is_display_table, read_brightness
from sac_lightning.images.pillow_file import open_picture
from sac_lightning.images.pixel_size import micrometres_of
from sac_lightning.images.quiet import silence_errors
from sac_lightning.images.refusals import refuse_claims, tell_broken
from sac_lightning.images.selection import Selection, describe_choice
from sac_lightning.images.slide import Pixels, Slide
from sac_lightning.images.tiff_image import (
    TiffImage,
    describes_other_files,
    list_images,
    place_of,
)
from sac_lightning.images.tiff_pixels import TiffRows, count_alphas, find_page, open_rows

GREY_OR_COLOUR = (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR)
# The tag in which maps and mosaics say which number is nothing.
GDAL_NODATA = 42113
# So many rows tell whether planes are a picture in colour, and the background of transparent pixels ...
SAMPLED_ROWS = 256
# ... and so many, if tiles have to be decoded for each.
SAMPLED_STRIPS = 16


@contextmanager
def open_tiff(path: Path, selection: Selection) -> Iterator[Slide]:
    """Open an image of the file at its full resolution.

    Args:
        path: Of the file.
        selection: Which image; QuPath, too, shows the first plane of a stack or a hyperstack first.

    Raises:
        UserError: The file cannot be read, claims too much, or lacks what is asked for; while it is read, too.
    """
    with ExitStack() as stack:
        with tell_broken(path):
            slide = _open_image(stack, path, selection)
        yield slide


def _open_image(stack: ExitStack, path: Path, selection: Selection) -> Slide:
    file = stack.enter_context(TiffFile(path))
    if describes_other_files(file, path):
        # Of a set of files, each is read for what is in itself.
        file = stack.enter_context(TiffFile(path, is_ome=False))
    images = list_images(file, path)
    candidates = tuple(image.candidate for image in images)
    index = choose_series(candidates, selection.series, path)
    image = images[index]

    def sample_planes(numbers: Sequence[int]) -> Pixels:
        return _sample_planes(file, image, numbers, path)

    plane = choose_plane(image.stack, selection, sample_planes, path)
    note = describe_choice(candidates, index, plane.page, plane.pages, plane.channel)
    whole = _open_level(file, image, plane, path, 0)

    def open_level(level: int) -> Slide:
        with tell_broken(path):
            return _open_level(file, image, plane, path, level)

    levels = image.candidate.levels
    return replace(
        whole,
        candidates=candidates,
        plane=place_of(image, plane),
        note=note,
        levels=levels,
        open_level=open_level if len(levels) > 1 else None,
    )


def _open_level(file: TiffFile, image: TiffImage, plane: Choice, path: Path, level: int) -> Slide:
    """Open a resolution of an image, 0 the full one."""
    resolution = replace(image, series=image.series.levels[level])
    page = find_page(resolution.series, plane.numbers[0], path)
    refuse_claims(page, path)
    rows = _open_plane(file, resolution, plane, page, path)
    size = micrometres_of(file, find_page(image.series, plane.numbers[0], path), image.ome)
    height, width = image.candidate.levels[0]
    scaled = None if size is None else (size[0] * width / rows.width, size[1] * height / rows.height)

    def read_or_tell(top: int, bottom: int) -> Pixels:
        with tell_broken(path):
            return rows.read(top, bottom)

    return Slide(rows.height, rows.width, read_or_tell, scaled if level else size, rows.piece)


def _open_plane(file: TiffFile, image: TiffImage, plane: Choice, page: TiffPage, path: Path) -> TiffRows:
    if _is_for_pillow(page):
        # CMYK, black and white, colours by luminance: Pillow knows what they look like.
        with silence_errors():
            picture = open_picture(path, Selection(page=page.index + 1))
        return TiffRows(picture.height, picture.width, lambda *rows: plane.take_samples(picture.read(*rows)), 1)
    pages = [open_rows(file, image.series, number, path) for number in plane.numbers]
    first = pages[0]
    if page.photometric == PHOTOMETRIC.YCBCR and is_luminance(page):
        return replace(first, read=lambda *rows: plane.take_samples(to_colours(first.read(*rows))))
    if len(pages) >= 3:
        first = replace(first, read=lambda *rows: np.stack([one.read(*rows) for one in pages], axis=2))
    colours = _read_palette(page) if len(pages) == 1 else None
    if colours is not None:
        return replace(first, read=lambda *rows: colours[first.read(*rows)])
    alphas = count_alphas(page)
    if plane.alpha or (plane.in_colour and not alphas and _has_unnamed_alpha(page, first)):
        return _cover_rows(first, plane, lambda strip: strip[:, :, 3])
    if alphas and plane.sample is None and page.samplesperpixel == alphas + (3 if plane.in_colour else 1):
        premultiplied = EXTRASAMPLE.ASSOCALPHA in page.extrasamples
        return _cover_rows(first, plane, lambda strip: strip[:, :, -1], premultiplied)
    nodata = _read_nodata(page)
    if nodata is not None:
        return _cover_rows(first, plane, lambda strip: _differs(plane.take_samples(strip), nodata))
    return replace(first, read=lambda *rows: plane.take_samples(first.read(*rows)))


def _has_unnamed_alpha(page: TiffPage, rows: TiffRows) -> bool:
    """Return whether the fourth sample of a page, of which the file says nothing, looks like alpha."""
    return page.samplesperpixel == 4 and looks_like_alpha(_middle(rows)[:, :, 3])


def _read_nodata(page: TiffPage) -> float | None:
    """Return the number that stands for nothing, as mosaics may have one; None: there is none."""
    tag = page.tags.get(GDAL_NODATA)
    try:
        return None if tag is None else float(tag.value)
    except (TypeError, ValueError):
        return None


def _differs(values: Pixels, nodata: float) -> Pixels:
    there: Pixels = np.asarray(values != nodata)
    return there if there.ndim == 2 else np.asarray(there.any(axis=2))


def _cover_rows(
    rows: TiffRows, plane: Choice, find_alpha: Callable[[Pixels], Pixels], premultiplied: bool = False
) -> TiffRows:
    """Return rows of all samples of a page with what is read of them, background where their alpha is 0."""
    steps = SAMPLED_ROWS if rows.piece == 1 else SAMPLED_STRIPS
    sampled = range(0, rows.height, max(1, rows.height // steps))
    return replace(rows, read=cover_rows(rows.read, sampled, plane.take_samples, find_alpha, premultiplied))


def _is_for_pillow(page: TiffPage) -> bool:
    if page.photometric == PHOTOMETRIC.YCBCR:
        return is_luminance(page) and not is_whole_luminance(page)
    return page.photometric not in (*GREY_OR_COLOUR, PHOTOMETRIC.PALETTE) or page.bitspersample == 1


def _read_palette(page: TiffPage) -> Pixels | None:
    """Return the colours (n, 3) of a page's numbers, or brightness (n,); None if these are what was measured."""
    if page.photometric != PHOTOMETRIC.PALETTE or page.colormap is None:
        return None
    colours = page.colormap.T  # 16 bits by the standard; some programs write 8.
    eight = (colours if colours.max() < 256 else colours >> 8).astype(np.uint8)
    if is_display_table(eight):
        return None
    brightness = read_brightness(eight)
    return eight if brightness is None else brightness


def _sample_planes(file: TiffFile, image: TiffImage, numbers: Sequence[int], path: Path) -> Pixels:
    """Return pixels (n, S) of planes, or of all samples of one."""
    refuse_claims(image.series.keyframe, path)
    rows = np.dstack([_middle(open_rows(file, image.series, number, path)) for number in numbers])
    return rows.reshape(-1, rows.shape[2])


def _middle(rows: TiffRows) -> Pixels:
    top = max(0, rows.height // 2 - SAMPLED_ROWS // 2)
    return rows.read(top, min(top + SAMPLED_ROWS, rows.height))
