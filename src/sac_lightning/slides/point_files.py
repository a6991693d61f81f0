"""Expert points that a person gives for images: as a CSV, or as GeoJSON that QuPath has exported."""

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_lightning.core.errors import UserError

GEOJSON_ENDINGS = (".geojson", ".json")
# QuPath's own classes, and the words of this package; case does not matter.
LABELS = {"positive": 1, "nucleus": 1, "negative": 0, "background": 0}

# Raised over JSON of something else, or no JSON; OverflowError of a number with hundreds of digits.
NOT_POINTS = (OSError, RecursionError, AttributeError, LookupError, TypeError, ValueError, OverflowError)

Points = dict[str, NDArray[np.float32]]


def read_points(path: Path, images: list[Path]) -> Points:
    """Read expert points, by image file name.

    Args:
        path: A CSV with the columns image (file name, with or without ending), x, y and label; a GeoJSON file of
            one image; or a folder of GeoJSON files. A GeoJSON file belongs to the image of its name; where only
            one image is segmented, a single file belongs to it whatever its name.
        images: The images that are segmented.

    Returns:
        (N, 3) x, y in pixels (whole numbers are the centres of pixels) and label per image file name.

    Raises:
        UserError: A file cannot be read, holds no points, or names an image that is not segmented.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in GEOJSON_ENDINGS)
        if not files:
            raise UserError(f"{path} holds no GeoJSON: give a folder with a file NAME.geojson per image")
        return _read_geojson(files, images)
    if path.suffix.lower() in GEOJSON_ENDINGS:
        if len(images) == 1:
            return {images[0].name: _geojson_points(path)}
        return _read_geojson([path], images)
    return _read_csv(path, images)


def _names(images: list[Path]) -> dict[str, str]:
    """Return the file name of each image by its name with and without ending."""
    return {image.name: image.name for image in images} | {image.stem: image.name for image in images}


def _read_csv(path: Path, images: list[Path]) -> Points:
    names = _names(images)
    points: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read ({error}): give a CSV with the columns image,x,y,label") from error
    for line, row in enumerate(rows, start=2):
        try:
            image, point = row["image"], (float(row["x"]), float(row["y"]), float(row["label"]))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{path}, line {line}, is not an image and numbers for x, y and label: write them in these columns"
            ) from error
        if image not in names:
            raise UserError(
                f"{path}, line {line}, names the image {image}, which is not among the images: correct it"
            )
        points[names[image]].append(point)
    return {name: _array(rows) for name, rows in points.items()}


def _array(points: Sequence[tuple[float, float, float]]) -> NDArray[np.float32]:
    """Return points as (N, 3); a number that is too large becomes infinite, which lies outside of every image."""
    with np.errstate(over="ignore"):
        return np.array(points, dtype=np.float32)


def _read_geojson(files: list[Path], images: list[Path]) -> Points:
    names = _names(images)
    points: Points = {}
    for file in files:
        if file.stem not in names:
            raise UserError(
                f"{file} belongs to no image by its name: name it after its image, or remove it from the points"
            )
        points[names[file.stem]] = _geojson_points(file)
    return points


def _geojson_points(path: Path) -> NDArray[np.float32]:
    """Read the points (N, 3) of a GeoJSON file. QuPath counts from a pixel's corner, we from its centre.

    Features that are no points, such as the regions around them, are passed over.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        points = [(x - 0.5, y - 0.5, label) for x, y, label in _points_in(_features(content))]
    except NOT_POINTS as error:
        reason = str(error) if isinstance(error, UserError | OSError) else "it is not GeoJSON of points"
        raise UserError(f"{path} cannot be used ({reason}): export points from QuPath as GeoJSON") from error
    if not points:
        raise UserError(f"{path} holds no points: export point annotations from QuPath, not only regions")
    return _array(points)


def _features(content: Any) -> list[dict[str, Any]]:
    """Return the features of a collection, of a bare list (as older QuPaths write) or of a single feature."""
    if isinstance(content, list):
        return content
    return [content] if content["type"] == "Feature" else list(content["features"])


def _points_in(features: Iterable[dict[str, Any]]) -> Iterator[tuple[float, float, int]]:
    for feature in features:
        kind, coordinates = feature["geometry"]["type"], feature["geometry"].get("coordinates")
        if kind not in ("Point", "MultiPoint"):
            continue
        label = _label(feature.get("properties") or {})
        for x, y, *_ in [coordinates] if kind == "Point" else coordinates:
            yield float(x), float(y), label


def _label(properties: dict[str, Any]) -> int:
    """Return the label that the classification of a feature stands for."""
    classification = properties.get("classification") or {}
    names = classification.get("names") or [classification.get("name")]
    labels = {LABELS[str(name).lower()] for name in names if str(name).lower() in LABELS}
    if len(labels) != 1:
        classes = ": ".join(str(name) for name in names if name) or "no class"
        raise UserError(
            f"a point has {classes}, and only Positive, Nucleus, Negative and Background mean something"
        )
    return labels.pop()
