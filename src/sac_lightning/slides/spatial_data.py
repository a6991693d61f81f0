"""Nuclei as a SpatialData store: labels, polygons, centroids and measurements, all by the number of the nucleus.

The store is of SpatialData's container format 0.1, of Zarr 2 and GeoParquet, which its versions 0.4 to 0.7 read.
The library itself wants its elements in memory as a whole, and depends on a hundred packages, some of which
exclude versions that others of ours bring (anndata wants pandas below 3).
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import shapely
import zarr
from numpy.typing import DTypeLike
from shapely import MultiPolygon, Polygon

from sac_lightning.slides.annotation_table import write_table
from sac_lightning.slides.label_pyramid import VERSION, describe_levels, write_levels
from sac_lightning.slides.measurements import Measurements
from sac_lightning.slides.row_store import RowStore

LABELS, POLYGONS, CENTROIDS, TABLE = "nuclei_labels", "nuclei", "nuclei_centroids", "measurements"
INSTANCE = "instance_id"
# Versions that the format gives its parts.
CONTAINER, RASTER, SHAPES, POINTS = "0.1", "0.2", "0.2", "0.1"
GEO = {"encoding": "WKB", "geometry_types": ["Polygon", "MultiPolygon"], "crs": None}


class SpatialStore:
    """A store that is being written."""

    def __init__(self, root: Any, path: Path, micrometres: tuple[float, float] | None, stack: ExitStack) -> None:
        """Args: root: its group; path: its folder; micrometres: of a pixel; stack: closes what is opened."""
        self.root, self.path, self.micrometres, self.stack = root, path, micrometres, stack
        self.polygons: pyarrow.parquet.ParquetWriter | None = None
        self.centroids: pyarrow.parquet.ParquetWriter | None = None
        self.rows: list[np.ndarray[Any, Any]] = []
        self.names: list[str] = []

    def add(self, shapes: list[Polygon | MultiPolygon], rows: list[Measurements]) -> None:
        """Add nuclei: the outline and the measurements of each."""
        if not rows:
            return
        if self.polygons is None or self.centroids is None:
            self._open_parts()
            self.names = list(rows[0])
        assert self.polygons is not None
        assert self.centroids is not None
        numbers = np.array([int(row["label"]) for row in rows])
        wkb = pyarrow.array(shapely.to_wkb(np.array(shapes, dtype=object)), pyarrow.binary())
        self.polygons.write_table(pyarrow.table({"geometry": wkb, INSTANCE: numbers}, schema=_polygon_schema()))
        # From the corner of the first pixel, as the polygons.
        centres = {axis: [row[f"centroid_{axis}"] + 0.5 for row in rows] for axis in ("x", "y")}
        self.centroids.write_table(pyarrow.table({**centres, INSTANCE: numbers}, schema=_point_schema()))
        self.rows.append(np.array([[row[name] for name in self.names] for row in rows], dtype=np.float64))

    def finish(self, labels: RowStore, dtype: DTypeLike) -> None:
        """Write the label map, and the table of what was added."""
        group = self.root.create_group("labels")
        group.attrs["labels"] = [LABELS]
        raster = group.create_group(LABELS)
        multiscale = {
            "name": LABELS,
            "version": "0.4-dev-spatialdata",
            "axes": [{"name": axis, "type": "space"} for axis in ("y", "x")],
            "datasets": describe_levels(write_levels(raster, labels, dtype), (1.0, 1.0)),
            "coordinateTransformations": _transformations(("y", "x"), self.micrometres),
        }
        raster.attrs.update({"multiscales": [multiscale], "spatialdata_attrs": {"version": RASTER}})
        raster.attrs["image-label"] = {"version": VERSION}  # by which 0.4 of the library knows labels
        if self.rows:
            tables = self.root.create_group("tables")
            write_table(tables, TABLE, np.concatenate(self.rows), self.names, POLYGONS, INSTANCE)

    def _open_parts(self) -> None:
        """Open the files of polygons and centroids; a store without nuclei has neither, as it may not be empty."""
        transformations = _transformations(("x", "y"), self.micrometres)
        common = {"axes": ["x", "y"], "coordinateTransformations": transformations}
        shapes = self.root.create_group(f"shapes/{POLYGONS}")
        shapes.attrs.update({**common, "encoding-type": "ngff:shapes", "spatialdata_attrs": {"version": SHAPES}})
        points = self.root.create_group(f"points/{CENTROIDS}")
        attributes = {"version": POINTS, "instance_key": INSTANCE}
        points.attrs.update({**common, "encoding-type": "ngff:points", "spatialdata_attrs": attributes})
        folder = self.path / "points" / CENTROIDS / "points.parquet"
        folder.mkdir()
        file = self.path / "shapes" / POLYGONS / "shapes.parquet"
        self.polygons = self.stack.enter_context(pyarrow.parquet.ParquetWriter(file, _polygon_schema()))
        self.centroids = self.stack.enter_context(
            pyarrow.parquet.ParquetWriter(folder / "part.0.parquet", _point_schema())
        )


@contextmanager
def open_spatial_data(path: Path, micrometres: tuple[float, float] | None) -> Iterator[SpatialStore]:
    """Open a folder to write nuclei to.

    Args:
        path: Of the folder, which is there or can be made.
        micrometres: Width and height of a pixel: with it everything lies in the coordinates ``micrometres``, too,
            beside ``global``, which are pixels.
    """
    root = zarr.open_group(path, mode="w", zarr_format=2)
    root.attrs["spatialdata_attrs"] = {"version": CONTAINER}
    with ExitStack() as stack:
        yield SpatialStore(root, path, micrometres, stack)


def _transformations(axes: tuple[str, str], micrometres: tuple[float, float] | None) -> list[dict[str, Any]]:
    """Return how pixels become the coordinates of a system, for each system."""
    pixels = {"input": _system("".join(axes), axes)}
    listed: list[dict[str, Any]] = [{"type": "identity", **pixels, "output": _system("global", axes)}]
    if micrometres is not None:
        lengths = dict(zip(("x", "y"), micrometres, strict=True))
        scale = [lengths[axis] for axis in axes]
        listed.append({"type": "scale", "scale": scale, **pixels, "output": _system("micrometres", axes)})
    return listed


def _system(name: str, axes: tuple[str, str]) -> dict[str, Any]:
    return {"name": name, "axes": [{"name": axis, "type": "space", "unit": "unit"} for axis in axes]}


def _polygon_schema() -> pyarrow.Schema:
    """Return GeoParquet's columns, with what makes the number of the nucleus pandas' index."""
    fields = [("geometry", pyarrow.binary()), (INSTANCE, pyarrow.int64())]
    columns = [
        {
            "name": INSTANCE,
            "field_name": INSTANCE,
            "pandas_type": "int64",
            "numpy_type": "int64",
            "metadata": None,
        },
        {
            "name": "geometry",
            "field_name": "geometry",
            "pandas_type": "bytes",
            "numpy_type": "object",
            "metadata": None,
        },
    ]
    index = {"index_columns": [INSTANCE], "column_indexes": [], "columns": columns, "pandas_version": "2.2.0"}
    geo = {"version": "1.0.0", "primary_column": "geometry", "columns": {"geometry": GEO}}
    return pyarrow.schema(fields, metadata={"geo": json.dumps(geo), "pandas": json.dumps(index)})


def _point_schema() -> pyarrow.Schema:
    return pyarrow.schema([("x", pyarrow.float64()), ("y", pyarrow.float64()), (INSTANCE, pyarrow.int64())])
