"""DICOM slides, an extra: a folder or the files of a series, each a resolution, a label or an overview."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pydicom
from wsidicom import WsiDicom
from wsidicom.thread import ReadExecutor

from sac_lightning.core.errors import UserError
from sac_lightning.images.choice import Stack
from sac_lightning.images.lengths import Size, plausible
from sac_lightning.images.planes import PlaneImage, open_planes
from sac_lightning.images.refusals import tell_broken
from sac_lightning.images.selection import Candidate, Selection
from sac_lightning.images.slide import Pixels, Slide

ENDING = ".dcm"


@contextmanager
def open_dicom(path: Path, selection: Selection) -> Iterator[Slide]:
    """Open a slide: the folder of its files, or one of them, to which those of its series beside it belong.

    Raises:
        UserError: It cannot be read, is no slide, or lacks what is asked for; while it is read, too.
    """
    with ExitStack() as stack:
        with tell_broken(path):
            slide = stack.enter_context(WsiDicom.open(_find_series(path)))
            pyramids = [_describe(slide, number, pyramid) for number, pyramid in enumerate(slide.pyramids)]
            labels = [_describe_overview("label", one) for one in slide.labels or ()]
            overviews = [_describe_overview("overview", one) for one in slide.overviews or ()]
        yield open_planes([*pyramids, *labels, *overviews], selection, path)


def join_series(files: Iterable[Path]) -> list[Path]:
    """Return one of the files of each series, the one with the most bytes; files that are no DICOM stay."""
    joined: dict[tuple[Path, str], list[Path]] = {}
    for file in files:
        joined.setdefault((file.parent, _read_series(file) or str(file)), []).append(file)
    return [max(same, key=lambda file: file.stat().st_size) for same in joined.values()]


def _find_series(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.suffix.lower() == ENDING)
    series = _read_series(path)
    if series is None:
        raise UserError(f"{path} is no DICOM file of a series: replace or remove it")
    beside = [file for file in sorted(path.parent.iterdir()) if file.suffix.lower() == ENDING]
    return [file for file in beside if file == path or _read_series(file) == series]


def _read_series(path: Path) -> str | None:
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"])
    except Exception:  # pydicom raises nearly anything over what is no DICOM
        return None
    return str(header.get("SeriesInstanceUID", "")) or None


def _describe(slide: Any, number: int, pyramid: Any) -> PlaneImage:
    levels, base = list(pyramid), pyramid.base_level
    paths, depths = list(base.optical_paths), sorted(base.focal_planes)
    axes = [(axis, len(values)) for axis, values in (("Z", depths), ("C", paths)) if len(values) > 1]
    colour = base.default_instance.image_data.samples_per_pixel >= 3
    names = tuple(f"path {path}" for path in paths) if len(paths) > 1 else ()
    stack = Stack("".join(axis for axis, _ in axes), tuple(count for _, count in axes), names, (), colour)

    def read(level: int, at: Mapping[str, int], top: int, bottom: int) -> Pixels:
        size = levels[level].size
        # Nothing is no region.
        area = (size.width, max(1, bottom - top))
        rows: Pixels = slide.read_region(
            (0, min(top, size.height - area[1])),
            levels[level].level,
            area,
            depths[at.get("Z", 0)],
            paths[at.get("C", 0)],
            number,
            as_array=True,
        )
        return rows[: max(0, bottom - top)]

    candidate = Candidate(
        "slide", tuple((one.size.height, one.size.width) for one in levels), stack.planes, stack.names
    )
    pieces = tuple(one.tile_size.height for one in levels)
    return PlaneImage(stack, candidate, _read_size(pyramid), read, pieces)


def _describe_overview(name: str, image: Any) -> PlaneImage:
    def read(level: int, at: Mapping[str, int], top: int, bottom: int) -> Pixels:
        with ReadExecutor() as executor:
            whole: Pixels = image.get_default_full(executor=executor)
        return whole[top:bottom]

    size = image.size
    in_colour = image.default_instance.image_data.samples_per_pixel >= 3
    candidate = Candidate(name, ((size.height, size.width),), is_overview=True)
    return PlaneImage(Stack(in_colour=in_colour), candidate, None, read, (size.height,))


def _read_size(pyramid: Any) -> Size | None:
    return plausible((float(pyramid.mpp.width), float(pyramid.mpp.height)))
