"""Regions that a person draws in QuPath, as GeoJSON: which parts of an image the work is limited to."""

import gzip
import json
from collections.abc import Iterator
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

ENDINGS = (".geojson", ".json", ".geojson.gz", ".json.gz")
AREAS = ("Polygon", "MultiPolygon")
# QuPath's objects that are found and not drawn, and its classes that end so are to be left alone.
FOUND_OBJECTS = ("detection", "cell", "tile")
IGNORED = "*"
# Raised over JSON of something else, or no JSON.
NOT_REGIONS = (
    OSError,
    EOFError,
    RecursionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    OverflowError,
)
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
        path: A GeoJSON file of one image, or a folder with one for each, named after it.
        images: The images that are segmented.
        option: Of the command, for sentences.

    Raises:
        UserError: A file cannot be read or holds no regions, or an image has none.
    """
    if not path.is_dir():
        if len(images) == 1:
            return {images[0].name: _read_file(path)}
        files = [path]
    else:
        files = sorted(file for file in path.iterdir() if file.name.lower().endswith(ENDINGS))
    by_name = {_name(file): file for file in files}
    chosen = {image.name: by_name.get(image.name, by_name.get(image.stem)) for image in images}
    lacking = [name for name, file in chosen.items() if file is None]
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise UserError(
            f"{option}={path} has no regions of {lacking[0]}{more}: give a folder with a file NAME.geojson for "
            "each image, or only the images that have one"
        )
    return {name: _read_file(file) for name, file in chosen.items() if file is not None}


def _name(file: Path) -> str:
    """Return the name of the image that a file is named after."""
    ending = next((ending for ending in reversed(ENDINGS) if file.name.lower().endswith(ending)), "")
    return file.name[: len(file.name) - len(ending)]


def _read_file(path: Path) -> Regions:
    try:
        raw = path.read_bytes()
        content = json.loads(gzip.decompress(raw) if path.suffix.lower() == ".gz" else raw)
        shapes = [_shape(geometry) for geometry in _areas(content)]
    except NOT_REGIONS as error:
        reason = str(error) if isinstance(error, OSError) else "it is not GeoJSON of regions"
        raise UserError(f"{path} cannot be used ({reason}): export annotations from QuPath as GeoJSON") from error
    shape = shapely.union_all(shapes) if shapes else Polygon()
    if shape.area == 0:
        raise UserError(f"{path} holds no regions: export annotations with an area from QuPath, as GeoJSON")
    return Regions(shape)


def _areas(content: Any) -> Iterator[dict[str, Any]]:
    """Yield the polygons of a collection, a list (as older QuPaths write), a feature or a bare geometry."""
    if isinstance(content, list):
        for item in content:
            yield from _areas(item)
    elif content["type"] == "FeatureCollection":
        yield from _areas(list(content["features"]))
    elif content["type"] == "GeometryCollection":
        yield from _areas(list(content["geometries"]))
    elif content["type"] == "Feature":
        properties = content.get("properties") or {}
        classification = properties.get("classification") or {}
        ignored = str(classification.get("name") or "").endswith(IGNORED)
        if content["geometry"] and properties.get("objectType") not in FOUND_OBJECTS and not ignored:
            yield from _areas(content["geometry"])
    elif content["type"] in AREAS:
        yield content


def _shape(geometry: dict[str, Any]) -> BaseGeometry:
    """Return a polygon of GeoJSON; one that crosses itself is made valid."""
    polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    rings = [[np.array(ring, dtype=np.float64)[:, :2] for ring in polygon] for polygon in polygons]
    if not all(np.isfinite(ring).all() for polygon in rings for ring in polygon):
        raise ValueError("a coordinate is no number")
    return shapely.make_valid(shapely.MultiPolygon([(outer, holes) for outer, *holes in rings]))
