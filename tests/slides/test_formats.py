"""Results as other programs read them: each is read by a library that did not write it, or by its description."""

import csv
import gzip
import importlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import tifffile
import zarr
from numpy.typing import NDArray
from PIL import Image
from roifile import ROI_TYPE, ImagejRoi, roiread

from sac_lightning.core.errors import UserError
from sac_lightning.images.open_image import open_image
from sac_lightning.images.selection import Plane
from sac_lightning.images.slide import Slide
from sac_lightning.slides import formats, label_pyramid, row_store
from sac_lightning.slides.band import Band
from sac_lightning.slides.formats import read_formats, refuse_geojson
from sac_lightning.slides.output import Results
from sac_lightning.slides.output_folder import OutputFolder
from sac_lightning.slides.row_store import RowStore

MICROMETRES = (0.25, 0.5)
ALL = ("ome-zarr", "spatialdata", "imagej")
NO_POINTS, NO_SIGNS = np.zeros((0, 2), dtype=np.float32), np.zeros(0, dtype=np.int64)


@pytest.fixture
def labels() -> NDArray[np.int32]:
    """A nucleus with a hole, one of two parts that touch at a corner, and one at the edges."""
    labels = np.zeros((75, 90), dtype=np.int32)
    labels[10:30, 10:30] = 1
    labels[15:20, 15:20] = 0
    labels[40:50, 20:50] = labels[50:55, 50:53] = 2
    labels[60:, 70:] = 3
    return labels


def write(output: OutputFolder, name: str, labels: NDArray[np.int32], fails: bool = False, **options: Any) -> None:
    """Write results in two bands, as if the image were large."""
    raw = np.random.default_rng(0).random(labels.shape, dtype=np.float32)
    slide = Slide(*labels.shape, lambda top, bottom: raw[top:bottom], **{"micrometres": MICROMETRES, **options})
    rgb = np.zeros((*labels.shape, 3), dtype=np.uint8)
    output.make()
    with Results(output, name, slide) as results:
        probability = (labels > 0).astype(np.float32)
        first, second = np.where(labels == 1, labels, 0), np.where(labels > 1, labels, 0)
        results.add(Band(0, 30, raw, rgb, probability, first, first))
        results.add(Band(30, len(raw) - 30, *(a[30:] for a in (raw, rgb, probability, labels, second))))
        results.finish(NO_POINTS, NO_SIGNS)
        if fails:
            raise InterruptedError


# TIFF


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.float32])
def test_a_tiff_file_is_as_imagej_reads_it(
    dtype: type[np.generic], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_store, "STRIP_BYTES", 2000)
    values = np.random.default_rng(0).integers(0, 250, (77, 300)).astype(dtype)
    with (tmp_path / "rows").open("w+b") as file:
        store = RowStore(file, 300, dtype)
        store.append(values)
        store.write_tiff(tmp_path / "a.tif", dtype, MICROMETRES)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        page = tiff.pages.first
        assert (tiff.is_bigtiff, page.is_tiled, page.dtype) == (False, False, dtype)
        assert page.tags["RowsPerStrip"].value == max(1, 2000 // (300 * np.dtype(dtype).itemsize))
        # Deflate with a predictor opens in it, and shows other numbers.
        is_float = dtype is np.float32
        assert (page.compression, page.predictor) == ((8, 1) if is_float else (5, 2))
        assert page.tags["ResolutionUnit"].value == 3, "centimetres, of which it makes micrometres"
        assert page.tags["XResolution"].value == (40_000, 1)
        assert page.tags["YResolution"].value == (20_000, 1)
        assert np.array_equal(page.asarray(), values)
    assert np.array_equal(np.array(Image.open(tmp_path / "a.tif")), values), "libtiff's view"


def test_what_imagej_opens() -> None:
    assert row_store.opens_in_imagej(46_000, 46_000, np.uint8)
    assert not row_store.opens_in_imagej(46_500, 46_500, np.uint8), "above 2,147,483,647 pixels"
    assert row_store.opens_in_imagej(45_000, 45_000, np.uint16)
    assert not row_store.opens_in_imagej(33_000, 33_000, np.uint32), "above 4 GB"


def test_beyond_that_it_is_a_bigtiff_in_tiles_and_this_is_told(
    tmp_path: Path, labels: NDArray[np.int32], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_store, "MOST_BYTES", 2 * labels.size - 1)
    output = OutputFolder(tmp_path)
    write(output, "a", labels)
    assert output.beyond_imagej == [tmp_path / "labels" / "a.tif"]
    with tifffile.TiffFile(tmp_path / "labels" / "a.tif") as tiff:
        assert (tiff.is_bigtiff, tiff.pages.first.is_tiled) == (True, True)
        assert np.array_equal(tiff.asarray(), labels)


# GeoJSON


def test_compressed_geojson_is_the_plain_one(tmp_path: Path, labels: NDArray[np.int32]) -> None:
    write(OutputFolder(tmp_path / "plain"), "a.b", labels)
    write(OutputFolder(tmp_path / "compressed", compressed=True), "a.b", labels)
    plain = (tmp_path / "plain" / "geojson" / "a.b.geojson").read_bytes()
    compressed = (tmp_path / "compressed" / "geojson" / "a.b.geojson.gz").read_bytes()
    assert gzip.decompress(compressed) == plain
    assert len(compressed) < len(plain) / 2
    write(OutputFolder(tmp_path / "again", compressed=True), "a.b", labels)
    assert (tmp_path / "again" / "geojson" / "a.b.geojson.gz").read_bytes() == compressed, "without a time"


def test_either_form_of_geojson_is_the_result(tmp_path: Path, labels: NDArray[np.int32]) -> None:
    plain, compressed = OutputFolder(tmp_path), OutputFolder(tmp_path, compressed=True)
    write(plain, "a", labels)
    write(plain, "a.geojson", labels)
    assert plain.is_done("a")
    assert compressed.is_done("a")
    write(compressed, "a", labels)
    names = sorted(path.name for path in (tmp_path / "geojson").iterdir())
    assert names == ["a.geojson.geojson", "a.geojson.gz"], "never two of one image"
    assert plain.is_done("a")


def test_measurements_have_seven_digits_and_those_that_are_no_number_are_left_out(
    tmp_path: Path, labels: NDArray[np.int32]
) -> None:
    raw = np.full(labels.shape, np.nan, dtype=np.float32)
    raw[labels > 1] = 1e-5 / 3
    slide = Slide(*labels.shape, lambda top, bottom: raw[top:bottom])
    output = OutputFolder(tmp_path)
    output.make()
    rgb = np.zeros((*labels.shape, 3), dtype=np.uint8)
    with Results(output, "a", slide) as results:
        results.add(Band(0, len(raw), raw, rgb, (labels > 0).astype(np.float32), labels, labels))
        results.finish(NO_POINTS, NO_SIGNS)
    features = json.loads((tmp_path / "geojson" / "a.geojson").read_text())["features"]
    first, second, _ = (feature["properties"]["measurements"] for feature in features)
    assert "mean_intensity" not in first
    assert first["label"] == 1
    assert second["mean_intensity"] == 3.333333e-06
    with (tmp_path / "measurements" / "a.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert second["centroid_x"] == pytest.approx(float(rows[1]["centroid_x"]), rel=1e-6)


# OME-Zarr


def test_labels_as_ome_zarr(tmp_path: Path, labels: NDArray[np.int32], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_pyramid, "SMALLEST", 25)
    monkeypatch.setattr(label_pyramid, "CHUNK", 16)
    write(OutputFolder(tmp_path, formats=("ome-zarr",)), "a", labels)
    path = tmp_path / "ome_zarr" / "a.ome.zarr"
    group = zarr.open_group(path, mode="r")
    assert group.metadata.zarr_format == 2
    assert group.attrs["image-label"] == {"version": "0.4"}
    (multiscale,) = group.attrs["multiscales"]
    assert multiscale["axes"] == [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"]
    for level, dataset in enumerate(multiscale["datasets"]):
        factor = 2**level
        array = group[dataset["path"]]
        assert array.dtype == np.uint16
        assert np.array_equal(array[:], labels[::factor, ::factor])
        assert dataset["coordinateTransformations"] == [{"type": "scale", "scale": [0.5 * factor, 0.25 * factor]}]
        assert (path / dataset["path"] / "0" / "0").is_file(), "chunks in folders"
    assert level == 2
    with open_image(path) as slide:  # by the same names and sizes as any other image
        assert slide.micrometres == MICROMETRES
        assert np.array_equal(slide.read(0, slide.height), labels)


# SpatialData


def systems_of(attributes: dict[str, Any]) -> dict[str, Any]:
    """What makes pixels the coordinates of each system."""
    listed = attributes["coordinateTransformations"]
    return {one["output"]["name"]: one.get("scale", one["type"]) for one in listed}


@pytest.mark.needs("pyarrow")
def test_a_spatialdata_store_whose_parts_meet(tmp_path: Path, labels: NDArray[np.int32]) -> None:
    parquet = importlib.import_module("pyarrow.parquet")
    write(OutputFolder(tmp_path, formats=("spatialdata",)), "a", labels)
    path = tmp_path / "spatialdata" / "a.zarr"
    root = zarr.open_group(path, mode="r")
    raster = root["labels/nuclei_labels"]
    (multiscale,) = raster.attrs["multiscales"]
    assert np.array_equal(raster["0"][:], labels)
    assert raster.attrs["image-label"] == {"version": "0.4"}
    assert systems_of(multiscale) == {"global": "identity", "micrometres": [0.5, 0.25]}
    for element in ("shapes/nuclei", "points/nuclei_centroids"):
        assert systems_of(dict(root[element].attrs)) == {"global": "identity", "micrometres": [0.25, 0.5]}
    polygons = parquet.read_table(path / "shapes" / "nuclei" / "shapes.parquet")
    centroids = parquet.read_table(path / "points" / "nuclei_centroids" / "points.parquet")
    table = root["tables/measurements"]
    numbers = polygons["instance_id"].to_pylist()
    assert numbers == centroids["instance_id"].to_pylist() == table["obs/instance_id"][:].tolist() == [1, 2, 3]
    shapes = shapely.from_wkb(np.array(polygons["geometry"].to_pylist(), dtype=object))
    assert shapely.area(shapes).tolist() == np.bincount(labels.ravel())[1:].tolist()
    found = np.stack([centroids[axis].to_numpy() for axis in "xy"], axis=1)
    assert found == pytest.approx(shapely.get_coordinates(shapely.centroid(shapes)))
    names = table["var/_index"][:].tolist()
    assert table["X"][:, names.index("area")].tolist() == shapely.area(shapes).tolist()
    assert dict(table.attrs) | {"region": "nuclei", "instance_key": "instance_id"} == dict(table.attrs)


@pytest.mark.needs("spatialdata")
def test_the_library_reads_it(tmp_path: Path, labels: NDArray[np.int32]) -> None:
    spatialdata = importlib.import_module("spatialdata")
    write(OutputFolder(tmp_path, formats=("spatialdata",)), "a", labels)
    data = spatialdata.read_zarr(tmp_path / "spatialdata" / "a.zarr")
    assert sorted(data.coordinate_systems) == ["global", "micrometres"]
    _, table = spatialdata.join_spatialelement_table(
        sdata=data, spatial_element_names="nuclei", table_name="measurements"
    )
    assert table.to_df()["area"].tolist() == data.shapes["nuclei"].area.tolist()


@pytest.mark.needs("pyarrow")
@pytest.mark.parametrize("micrometres", [None, MICROMETRES])
def test_an_image_without_nuclei_in_every_format(micrometres: Any, tmp_path: Path) -> None:
    output = OutputFolder(tmp_path, formats=ALL)
    write(output, "a", np.zeros((40, 50), dtype=np.int32), micrometres=micrometres)
    assert output.is_done("a")
    root = zarr.open_group(tmp_path / "spatialdata" / "a.zarr", mode="r")
    assert sorted(root.group_keys()) == ["labels"], "the format has no empty polygons, points or tables"
    assert zipfile.ZipFile(tmp_path / "imagej_rois" / "a.zip").namelist() == []


# ImageJ's regions


def test_regions_of_imagej(tmp_path: Path, labels: NDArray[np.int32]) -> None:
    write(OutputFolder(tmp_path, formats=("imagej",)), "a", labels, plane=Plane(z=4, c=1, t=0))
    rois = roiread(tmp_path / "imagej_rois" / "a.zip")
    assert isinstance(rois, list)
    assert [roi.name for roi in rois] == ["000001", "000002", "000003"]
    assert [roi.roitype for roi in rois] == [ROI_TYPE.RECT, ROI_TYPE.RECT, ROI_TYPE.TRACED]
    for number, roi in enumerate(rois, start=1):
        rows, columns = np.nonzero(labels == number)
        box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert (roi.left, roi.top, roi.right, roi.bottom) == box
        assert area_of(roi) == len(rows)
        assert (roi.c_position, roi.z_position, roi.t_position) == (2, 5, 1)


def area_of(roi: ImagejRoi) -> float:
    """What lies in an odd number of rings, as ImageJ fills a composite region."""
    area = shapely.Polygon()
    for ring in roi.coordinates(multi=True):
        area = area.symmetric_difference(shapely.Polygon(ring))
    return float(area.area)


# What is asked for


@pytest.mark.needs("pyarrow")
def test_results_in_further_formats_are_whole_or_not_there(tmp_path: Path, labels: NDArray[np.int32]) -> None:
    output = OutputFolder(tmp_path, formats=ALL)
    assert not output.is_done("a")
    with pytest.raises(InterruptedError):
        write(output, "a", labels, fails=True)
    assert [path for path in tmp_path.rglob("*") if path.parent != tmp_path] == []
    write(output, "a", labels)
    (tmp_path / "ome_zarr" / "a.ome.zarr" / "mine").touch()
    write(output, "a", labels)
    assert not (tmp_path / "ome_zarr" / "a.ome.zarr" / "mine").exists(), "replaced as a whole"
    assert all(len(list((tmp_path / kind).iterdir())) == 1 for kind in output.kinds)


def test_formats_are_read_one_or_several() -> None:
    assert read_formats(None) == ()
    assert read_formats("ome-zarr") == ("ome-zarr",)
    assert read_formats(["imagej", "ome-zarr", "imagej"]) == ("imagej", "ome-zarr")
    for unknown in ("zarr", ["imagej", 3], 7, {"a": 1}):
        with pytest.raises(UserError, match="is none: choose among ome-zarr, spatialdata, imagej"):
            read_formats(unknown)
    with pytest.raises(UserError, match="geojson=gz is none: choose among plain, compressed"):
        refuse_geojson("gz")


def test_without_what_it_needs_a_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda package: None)
    with pytest.raises(UserError, match=r"needs pyarrow: pip install 'sac-lightning\[spatial\]'"):
        read_formats(["ome-zarr", "spatialdata"])
    assert read_formats(["ome-zarr", "imagej"]) == ("ome-zarr", "imagej")
