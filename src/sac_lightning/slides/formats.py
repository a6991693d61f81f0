"""The forms in which predict writes nuclei beside its own files, for programs that read neither."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from sac_lightning.core.errors import UserError

GEOJSON = ("plain", "compressed")


@dataclass(frozen=True)
class Format:
    """A form of the results.

    Attributes:
        folder: In which it lies.
        ending: Of its file or folder.
        package: What it needs, of the extra ``spatial``; empty: nothing.
    """

    folder: str
    ending: str
    package: str = ""


FORMATS = {
    "ome-zarr": Format("ome_zarr", "ome.zarr"),
    "spatialdata": Format("spatialdata", "zarr", "pyarrow"),
    "imagej": Format("imagej_rois", "zip"),
}


def read_formats(named: object) -> tuple[str, ...]:
    """Return the names of the formats that a person asks for, one or a list.

    Raises:
        UserError: There is no such format, or what it needs is not installed.
    """
    listed = named if isinstance(named, Sequence) and not isinstance(named, str) else [named]
    names = () if named is None else tuple(map(str, listed))
    for name in names:
        if name not in FORMATS:
            raise UserError(f"formats={name} is none: choose among {', '.join(FORMATS)}, or several in [ ]")
        package = FORMATS[name].package
        if package and find_spec(package) is None:
            raise UserError(f"formats={name} needs {package}: pip install 'sac-lightning[spatial]'")
    return tuple(dict.fromkeys(names))


def refuse_geojson(form: object) -> None:
    """Raise UserError if GeoJSON cannot be written in this form."""
    if form not in GEOJSON:
        raise UserError(f"geojson={form} is none: choose among {', '.join(GEOJSON)}")
