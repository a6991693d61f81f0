"""Regions that a person draws in QuPath, as GeoJSON: which parts of an image the work is limited to."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Polygon
from shapely.geometry.base import BaseGeometry

from sac_lightning.core.errors import UserError
from sac_lightning.core.view import Window
from sac_lightning.slides.qupath_classes import is_ignored
from sac_lightning.slides.qupath_file import find_ending, read_objects, tell_damage

AREAS = ("Polygon", "MultiPolygon")
# Pixels from the corner, beyond every image; with numbers far above them shapely's sums overflow.
FARTHEST = 1e9
# cv2 takes whole numbers, of so many parts of a pixel.
SHIFT = 4


@dataclass(frozen=True)
class Regions:
    """The regions of one image.

    Attributes:
        shape: All of them, in pixels from the corner of the image's first pixel.
    """

    shape: BaseGeometry

    def within(self, height: int, width: int) -> "Regions":
        """Return the part within an image.

        Raises:
            UserError: There is none.
        """
        inside = self.shape.intersection(shapely.box(0, 0, width, height))
        if inside.area == 0:
            left, top, right, bottom = (round(edge) for edge in self.shape.bounds)
            raise UserError(
                f"its regions (x {left} to {right}, y {top} to {bottom}) lie outside its {width}x{height} pixels: "
                "export those of this image, in pixels of its full resolution"
            )
        shapely.prepare(inside)
        return Regions(inside)

    def meet(self, window: Window) -> bool:
        """Return whether any part lies in a window of the image."""
        right, bottom = window.left + window.width, window.top + window.height
        return bool(self.shape.intersects(shapely.box(window.left, window.top, right, bottom)))

    def contain(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which points (N, 2), xy with whole numbers at the centres of pixels, lie in them, (N,)."""
        inside: NDArray[np.bool_] = shapely.intersects_xy(self.shape, points[:, 0] + 0.5, points[:, 1] + 0.5)
        return inside

    def draw(self, top: int, bottom: int, width: int, scale: int = 1) -> NDArray[np.bool_]:
        """Return which pixels of some rows (n, W) they cover, also in part; or squares of ``scale`` pixels."""
        canvas = np.zeros((bottom - top, width), dtype=np.uint8)
        inside = shapely.clip_by_rect(self.shape, 0, top * scale, width * scale, bottom * scale)
        for part in shapely.get_parts(shapely.get_parts(inside)):
            if isinstance(part, Polygon) and not part.is_empty:
                # Whole numbers are the centres of pixels here.
                rings = [
                    np.round((shapely.get_coordinates(ring) / scale - (0.5, top + 0.5)) * 2**SHIFT).astype(
                        np.int32
                    )
                    for ring in (part.exterior, *part.interiors)
                ]
                cv2.fillPoly(canvas, rings, 1, shift=SHIFT)
        return canvas > 0


def read_regions(path: Path, images: list[Path], option: str) -> dict[str, Regions]:
    """Read regions, by image file name.

    Args:
        path: A file of one image by QuPath, or a folder with one or several for each, named after it.
        images: The images that are segmented.
        option: Of the command, for sentences.

    Raises:
        UserError: A file cannot be read or holds no regions, or an image has none.
    """
    if not path.is_dir():
        if len(images) == 1:
            return {images[0].name: _read_files([path])}
        files = [path]
    else:
        files = sorted(file for file in path.iterdir() if find_ending(file) and not file.name.startswith("."))
    by_name = defaultdict(list)
    for file in files:
        by_name[file.name[: len(file.name) - len(find_ending(file))]].append(file)
    chosen = {image.name: [*by_name[image.name], *by_name[image.stem]] for image in images}
    lacking = [name for name, named in chosen.items() if not named]
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise UserError(
            f"{option}={path} has no regions of {lacking[0]}{more}: give a folder with a file NAME.geojson for "
            "each image, or only the images that have one"
        )
    return {name: _read_files(named) for name, named in chosen.items()}


def _read_files(paths: list[Path]) -> Regions:
    return Regions(shapely.union_all([_read_file(path) for path in paths]))


def _read_file(path: Path) -> BaseGeometry:
    with tell_damage(path, "annotations"):
        drawn = [shown for shown in read_objects(path) if shown.drawn and not is_ignored(shown.names)]
        areas = [area for shown in drawn for area in shown.geometries if area["type"] in AREAS]
        shape = shapely.union_all([_shape(area) for area in areas])
    if shape.area == 0:
        raise UserError(f"{path} holds no regions: export annotations with an area from QuPath, as GeoJSON")
    return shape


def _shape(geometry: dict[str, Any]) -> BaseGeometry:
    """Return a polygon of GeoJSON; one that crosses itself is made valid."""
    polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    rings = [[np.array(ring, dtype=np.float64)[:, :2] for ring in polygon] for polygon in polygons if polygon]
    if not all(np.isfinite(ring).all() for polygon in rings for ring in polygon):
        raise ValueError("a coordinate is no number")
    near = [[ring.clip(-FARTHEST, FARTHEST) for ring in polygon] for polygon in rings]
    return shapely.make_valid(shapely.MultiPolygon([(outer, holes) for outer, *holes in near]))
