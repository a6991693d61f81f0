"""Nuclei as a set of ImageJ's regions of interest: a ZIP file that its ROI Manager opens."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import shapely
from roifile import ROI_TYPE, ImagejRoi
from shapely import MultiPolygon, Polygon

from sac_lightning.images.selection import Plane
from sac_lightning.slides.measurements import Measurements

# ImageJ's operations of a path: begin here, draw a line to there, close.
BEGIN, LINE, CLOSE = 0, 1, 4


class RoiSet:
    """A set of regions that is being written."""

    def __init__(self, archive: zipfile.ZipFile, plane: Plane | None) -> None:
        """Args: archive: for the regions; plane: of the stack in which the nuclei lie."""
        self.archive, self.plane = archive, plane

    def add(self, shapes: list[Polygon | MultiPolygon], rows: list[Measurements]) -> None:
        """Add nuclei, named after their labels."""
        for shape, row in zip(shapes, rows, strict=True):
            name = f"{int(row['label']):06}"
            roi = make_roi(shape, name)
            if self.plane is not None:
                roi.c_position, roi.z_position, roi.t_position = (
                    number + 1 for number in (self.plane.c, self.plane.z, self.plane.t)
                )
            # No time: the same nuclei are the same bytes.
            self.archive.writestr(zipfile.ZipInfo(f"{name}.roi"), roi.tobytes(), zipfile.ZIP_DEFLATED)


@contextmanager
def open_roi_set(path: Path, plane: Plane | None) -> Iterator[RoiSet]:
    """Open a ZIP file to write nuclei to."""
    with zipfile.ZipFile(path, "w") as archive:
        yield RoiSet(archive, plane)


def make_roi(shape: Polygon | MultiPolygon, name: str) -> ImagejRoi:
    """Return a nucleus as a traced region, or, if it has holes or parts, as a composite one.

    Corners are those of pixels, as in ImageJ, so that the region covers the nucleus's pixels.
    """
    rings = [ring for part in shapely.get_parts(shape) for ring in (part.exterior, *part.interiors)]
    corners = [shapely.get_coordinates(ring).astype(np.int32)[:-1] for ring in rings]
    if len(corners) == 1:
        roi = ImagejRoi.frompoints(corners[0], name=name)
        roi.roitype = ROI_TYPE.TRACED
        # The last column and row of corners bound the region: it has no pixel beyond them.
        roi.right, roi.bottom = (int(end) for end in corners[0].max(axis=0))
        return roi
    left, top, right, bottom = (int(bound) for bound in shape.bounds)
    path = [number for ring in corners for number in _draw(ring)]
    return ImagejRoi(
        roitype=ROI_TYPE.RECT,
        left=left,
        top=top,
        right=right,
        bottom=bottom,
        shape_roi_size=len(path),
        multi_coordinates=np.array(path, dtype=np.float32),
        name=name,
    )


def _draw(ring: np.ndarray) -> Iterator[float]:
    """Yield the operations that draw a ring (n, 2) of x and y."""
    for index, (x, y) in enumerate(ring):
        yield from (BEGIN if index == 0 else LINE, x, y)
    yield CLOSE
