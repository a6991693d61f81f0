"""Objects of QuPath in the GeoJSON that it exports, compressed or not, in the forms of all its versions."""

import gzip
import json
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sac_lightning.core.errors import UserError
from sac_lightning.slides.qupath_classes import class_names

JSON_ENDINGS = (".geojson", ".json")
ENDINGS = (*JSON_ENDINGS, ".geojson.gz", ".json.gz", ".zip")
# Of the text in a compressed file: a million points have a tenth of it.
MOST_BYTES = 2**30
# What is no annotation of a person; the second names are those that 0.2 wrote as an id.
NOT_DRAWN = (
    *("detection", "cell", "tile", "root"),
    *("PathDetectionObject", "PathCellObject", "PathTileObject", "PathRootObject"),
)
# Where the versions say what an object is; the first that is there counts, as for QuPath.
KIND_KEYS = ("objectType", "object_type", "type")
CHILD_KEYS = ("childObjects", "children")

# Raised over a damaged file or one of something else; OverflowError of a number with hundreds of digits.
DAMAGE = (
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
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


@dataclass(frozen=True)
class QupathObject:
    """An object of QuPath, or a feature or geometry by another program.

    Attributes:
        geometries: GeoJSON's, none of which is a collection.
        names: Of its class, those of the classes that it is derived from first; empty: it has none.
        drawn: Whether it is an annotation; False: it was found, or it is missing.
    """

    geometries: list[dict[str, Any]]
    names: list[str]
    drawn: bool


def is_of_qupath(path: Path) -> bool:
    """Return whether a file is QuPath's: by its ending, or a ZIP file by what is in it."""
    if path.suffix.lower() != ".zip":
        return path.suffix.lower() in (*JSON_ENDINGS, ".gz")
    try:
        with zipfile.ZipFile(path) as archive:
            return bool(_json_names(archive))
    except DAMAGE:
        return False


def find_ending(file: Path, endings: Iterable[str] = ENDINGS) -> str:
    """Return the ending of a file, the longest if two fit; empty: it has none of them."""
    return max((ending for ending in endings if file.name.lower().endswith(ending)), key=len, default="")


@contextmanager
def tell_damage(path: Path, what: str) -> Iterator[None]:
    """Turn what reading a file of QuPath raises into a sentence.

    Args:
        path: Of the file.
        what: It should hold, as QuPath calls it.

    Raises:
        UserError: The file cannot be read, or holds something else.
    """
    try:
        yield
    except DAMAGE as error:
        reason = str(error) if isinstance(error, OSError) else f"it is not GeoJSON of {what}"
        raise UserError(f"{path} cannot be used ({reason}): export {what} from QuPath as GeoJSON") from error


def read_objects(path: Path) -> Iterator[QupathObject]:
    """Yield the objects of a file.

    To be called within tell_damage.
    """
    for content in _contents(path):
        if len(content) > MOST_BYTES:
            raise ValueError("too large")
        yield from _objects(json.loads(content))


def _contents(path: Path) -> Iterator[bytes]:
    """Yield the text of a file, or of each GeoJSON in a ZIP file."""
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as archive:
            for name in _json_names(archive):
                with archive.open(name) as file:
                    yield file.read(MOST_BYTES + 1)
    elif path.suffix.lower() == ".gz":
        with gzip.open(path) as file:
            yield file.read(MOST_BYTES + 1)
    else:
        yield path.read_bytes()


def _json_names(archive: zipfile.ZipFile) -> list[str]:
    """Return the names of the GeoJSON in a ZIP file, without what macOS adds of its own."""
    names = [name for name in archive.namelist() if name.lower().endswith(JSON_ENDINGS)]
    return [name for name in names if not PurePosixPath(name).name.startswith(".")]


def _objects(content: Any) -> Iterator[QupathObject]:
    """Yield those of a collection, a list (as older QuPaths write), a feature with its children, or a geometry."""
    if isinstance(content, list):
        for item in content:
            yield from _objects(item)
    elif content["type"] == "FeatureCollection":
        yield from _objects(list(content["features"]))
    elif content["type"] == "Feature":
        properties = content.get("properties") or {}
        kinds = [properties[key] for key in KIND_KEYS if key in properties]
        kind = str(kinds[0] if kinds else content.get("id"))
        drawn = kind not in NOT_DRAWN and not properties.get("isMissing")
        names = class_names(properties.get("classification"))
        yield QupathObject(list(_parts(content["geometry"])), names, drawn)
        for key in CHILD_KEYS:
            yield from _objects(list(properties.get(key) or []))
    else:
        yield QupathObject(list(_parts(content)), [], True)


def _parts(geometry: Any) -> Iterator[dict[str, Any]]:
    """Yield a geometry, or those of a collection; none of null, which lies nowhere."""
    if geometry and geometry["type"] == "GeometryCollection":
        for part in geometry["geometries"]:
            yield from _parts(part)
    elif geometry:
        yield geometry
