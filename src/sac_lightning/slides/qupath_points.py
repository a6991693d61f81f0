"""Points that a person has drawn in QuPath and exported as GeoJSON."""

from pathlib import Path
from typing import Any

from sac_lightning.slides.point_labels import UNCLASSIFIED, FoundPoints, label_of
from sac_lightning.slides.qupath_classes import SEPARATOR
from sac_lightning.slides.qupath_file import read_objects, tell_damage


def read_qupath(path: Path) -> FoundPoints:
    """Read the points of a GeoJSON file, which may be compressed.

    QuPath counts from a pixel's corner, we from its centre. Objects that are no points, such as the regions
    around them, are passed over.

    Raises:
        UserError: The file cannot be read, or is no GeoJSON.
    """
    found = FoundPoints()
    with tell_damage(path, "points"):
        for shown in read_objects(path):
            points = [point for geometry in shown.geometries for point in _points(geometry)]
            add_points(points, shown.names, found)
    return found


def _points(geometry: dict[str, Any]) -> list[tuple[float, float]]:
    """Return x and y of each point of a geometry; of an area none."""
    kind = geometry["type"]
    if kind not in ("Point", "MultiPoint"):
        return []
    coordinates: Any = geometry.get("coordinates")
    return [(float(x), float(y)) for x, y, *_ in ([coordinates] if kind == "Point" else coordinates)]


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
