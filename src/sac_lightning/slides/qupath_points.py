"""Points that a person has drawn in QuPath and exported as GeoJSON."""

import gzip
import json
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sac_lightning.core.errors import UserError
from sac_lightning.slides.point_labels import UNCLASSIFIED, FoundPoints, label_of

JSON_ENDINGS = (".geojson", ".json")
# Of the text in a compressed file: a million points have a tenth of it.
MOST_BYTES = 2**30
# Between the names of a class that is derived from another.
SEPARATOR = ":"

# Raised over JSON of something else, or no JSON; OverflowError of a number with hundreds of digits.
NOT_POINTS = (
    EOFError,
    OSError,
    RecursionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


def is_of_qupath(path: Path) -> bool:
    """Return whether a file is QuPath's: by its ending, or a ZIP file by what is in it."""
    if path.suffix.lower() != ".zip":
        return path.suffix.lower() in (*JSON_ENDINGS, ".gz")
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.lower().endswith(JSON_ENDINGS) for name in archive.namelist())
    except NOT_POINTS:
        return False


def read_qupath(path: Path) -> FoundPoints:
    """Read the points of a GeoJSON file, which may be compressed.

    QuPath counts from a pixel's corner, we from its centre. Features that are no points, such as the regions
    around them, are passed over.

    Raises:
        UserError: The file cannot be read, or is no GeoJSON.
    """
    found = FoundPoints()
    try:
        for text in _texts(path):
            for feature in _features(json.loads(text)):
                _add_feature(feature, found)
    except NOT_POINTS as error:
        reason = str(error) if isinstance(error, OSError) else "it is not GeoJSON of points"
        raise UserError(f"{path} cannot be used ({reason}): export points from QuPath as GeoJSON") from error
    return found


def _texts(path: Path) -> Iterator[str]:
    """Yield the text of a file, or of each GeoJSON in a ZIP file."""
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.lower().endswith(JSON_ENDINGS):
                    with archive.open(name) as file:
                        yield _decode(file.read(MOST_BYTES + 1))
    elif path.suffix.lower() == ".gz":
        with gzip.open(path) as file:
            yield _decode(file.read(MOST_BYTES + 1))
    else:
        yield _decode(path.read_bytes())


def _decode(content: bytes) -> str:
    if len(content) > MOST_BYTES:
        raise ValueError("too large")
    return content.decode("utf-8-sig")


def _features(content: Any) -> list[dict[str, Any]]:
    """Return the features of a collection, of a bare list (as older QuPaths write) or of a single feature."""
    if isinstance(content, list):
        return content
    return [content] if content["type"] == "Feature" else list(content["features"])


def _add_feature(feature: dict[str, Any], found: FoundPoints) -> None:
    geometry: dict[str, Any] = feature["geometry"] or {"type": ""}  # null: the feature lies nowhere
    kind = geometry["type"]
    if kind in ("Point", "MultiPoint"):
        coordinates: Any = geometry.get("coordinates")
        points = [(float(x), float(y)) for x, y, *_ in ([coordinates] if kind == "Point" else coordinates)]
        add_points(points, class_names((feature.get("properties") or {}).get("classification")), found)


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


def class_names(classification: Any) -> list[str]:
    """Return the names of a class: of a text, of name or names, or of a class with its parents (before 0.4)."""
    if classification is None:
        return []
    if isinstance(classification, str):
        return [name.strip() for name in classification.split(SEPARATOR)]
    names = classification.get("names") or [classification.get("name")]
    parents = class_names(classification.get("parentClass"))
    return [*parents, *(part.strip() for name in names if name for part in str(name).split(SEPARATOR))]
