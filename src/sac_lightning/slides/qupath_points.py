"""Points, and boxes around nuclei, that a person has drawn in QuPath and exported as GeoJSON."""

from itertools import pairwise
from pathlib import Path
from typing import Any

from sac_lightning.slides.point_labels import UNCLASSIFIED, FoundPoints, label_of
from sac_lightning.slides.qupath_classes import SEPARATOR
from sac_lightning.slides.qupath_file import read_objects, tell_damage


def read_qupath(path: Path) -> FoundPoints:
    """Read the points of a GeoJSON file, which may be compressed.

    QuPath counts from a pixel's corner, we from its centre. A rectangle that was drawn, of a class that stands for
    nuclei, is a box around one. Other objects, such as the regions around points, are passed over.

    Raises:
        UserError: The file cannot be read, or is no GeoJSON.
    """
    found = FoundPoints()
    with tell_damage(path, "points"):
        for shown in read_objects(path):
            points = [point for geometry in shown.geometries for point in _points(geometry)]
            add_points(points, shown.names, found)
            if shown.drawn and label_of(shown.names) == 1:
                found.boxes.extend(box for geometry in shown.geometries for box in _boxes(geometry))
    return found


def _points(geometry: dict[str, Any]) -> list[tuple[float, float]]:
    """Return x and y of each point of a geometry; of an area none."""
    kind = geometry["type"]
    if kind not in ("Point", "MultiPoint"):
        return []
    coordinates: Any = geometry.get("coordinates")
    return [(float(x), float(y)) for x, y, *_ in ([coordinates] if kind == "Point" else coordinates)]


def _boxes(geometry: dict[str, Any]) -> list[tuple[float, float, float, float]]:
    """Return left, top, right and bottom of a geometry that is an upright rectangle, from a pixel's centre."""
    if geometry["type"] != "Polygon" or len(geometry["coordinates"]) != 1:
        return []
    corners = [(float(x), float(y)) for x, y, *_ in geometry["coordinates"][0]]
    columns, rows = (sorted(set(values)) for values in zip(*corners, strict=True))
    steps = [(x == next_x) != (y == next_y) for (x, y), (next_x, next_y) in pairwise(corners)]
    if (len(columns), len(rows), len(set(corners))) != (2, 2, 4) or steps != [True] * 4:
        return []
    return [(columns[0] - 0.5, rows[0] - 0.5, columns[1] - 0.5, rows[1] - 0.5)]


def add_points(points: list[tuple[float, float]], names: list[str], found: FoundPoints) -> None:
    """Add points of one class.

    Args:
        points: x and y of each, from the corner of the first pixel.
        names: Of the class; empty: they have none.
        found: What has been found; gets them.
    """
    label = label_of(names)
    if not points:
        return
    if label is None:
        found.skipped[f"{SEPARATOR} ".join(names) or UNCLASSIFIED] += len(points)
    else:
        found.points.extend((x - 0.5, y - 0.5, label) for x, y in points)
