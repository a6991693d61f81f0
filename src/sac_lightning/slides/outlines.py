"""Nuclei as polygons along the edges of their pixels, so that a polygon's area is the number of its pixels."""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import MultiPolygon, Polygon

from sac_lightning.images.selection import Plane

CLASS_NAME, CLASS_COLOUR = "Nucleus", (255, 210, 0)


def outline(mask: NDArray[np.bool_], left: int = 0, top: int = 0) -> Polygon | MultiPolygon:
    """Return the outline of a mask (H, W), with its holes, in pixels from the corner of the image's first pixel.

    Pixels that touch only at a corner make a multi-polygon: a polygon would touch itself and be invalid.

    Args:
        mask: True somewhere.
        left: The column of the image that is the mask's first.
        top: The row of the image that is the mask's first.
    """
    steps = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    rows, starts = np.nonzero(steps == 1)
    _, ends = np.nonzero(steps == -1)
    runs = shapely.box(starts + left, rows + top, ends + left, rows + top + 1)
    shape = shapely.orient_polygons(shapely.simplify(shapely.union_all(runs), 0))
    assert isinstance(shape, Polygon | MultiPolygon)
    return shape


def format_geometry(shape: Polygon | MultiPolygon) -> dict[str, Any]:
    """Return the GeoJSON of an outline whose coordinates are whole numbers."""
    parts = [_rings(part) for part in shapely.get_parts(shape)]
    if len(parts) == 1:
        return {"type": "Polygon", "coordinates": parts[0]}
    return {"type": "MultiPolygon", "coordinates": parts}


def feature(shape: Polygon | MultiPolygon, measurements: Mapping[str, float], plane: Plane | None = None) -> str:
    """Format a nucleus as a GeoJSON feature, on one line, as QuPath writes and reads its detections.

    Args:
        shape: Its outline, with whole numbers as coordinates.
        measurements: By name; QuPath shows them in its tables. They are written to seven digits (the
            table of measurements has all), and what is no number is left out.
        plane: Of the stack in which it lies; QuPath shows it there.
    """
    geometry = format_geometry(shape)
    if plane is not None:
        geometry["plane"] = {"c": plane.c, "z": plane.z, "t": plane.t}
    properties = {
        "objectType": "detection",
        "classification": {"name": CLASS_NAME, "color": CLASS_COLOUR},
        "measurements": {name: _shorten(value) for name, value in measurements.items() if math.isfinite(value)},
    }
    content = {"type": "Feature", "geometry": geometry, "properties": properties}
    return json.dumps(content, allow_nan=False, separators=(",", ":"))


def _shorten(number: float) -> float:
    """Return a whole number as it is, another to seven digits: a hundredth of a pixel on the largest slides."""
    return int(number) if float(number).is_integer() else float(f"{number:.7g}")


def _rings(polygon: Polygon) -> list[list[list[int]]]:
    """Return the outer ring, then the holes; each closed."""
    rings = [polygon.exterior, *polygon.interiors]
    return [shapely.get_coordinates(ring).astype(int).tolist() for ring in rings]
