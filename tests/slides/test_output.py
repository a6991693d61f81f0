"""What is written for an image: files that agree with one another, whatever its size, and QuPath's GeoJSON."""

import csv
import json
import os
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage.data import data_dir
from skimage.measure import label as regions_of
from skimage.measure import regionprops_table

from sac_lightning.core.errors import UserError
from sac_lightning.images import tiff_pixels
from sac_lightning.inference.predictor import Predictor
from sac_lightning.slides import output as results
from sac_lightning.slides import overlay, segmentation
from sac_lightning.slides.band import Band
from sac_lightning.slides.bands import join_strips
from sac_lightning.slides.output_folder import OutputFolder
from sac_lightning.slides.segmentation import segment_file

NO_POINTS = np.zeros((0, 3), dtype=np.float32)


class Black(torch.nn.Module):
    """Calls black pixels nuclei."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images (B, 3, H, W) in 0..255 to logits (B, 1, H, W)."""
        return 128 - images.mean(1, keepdim=True)


@pytest.fixture
def output(tmp_path: Path) -> OutputFolder:
    """Made, and empty."""
    folder = OutputFolder(tmp_path / "out", probability=True)
    folder.make()
    return folder


@pytest.fixture
def as_if_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of some thousand pixels are read, labelled and written in parts."""
    monkeypatch.setattr(tiff_pixels, "SMALL_PIXELS", 0)
    monkeypatch.setattr(results, "LARGE_PIXELS", 1000)
    monkeypatch.setattr(segmentation, "BAND_PIXELS", 1)
    monkeypatch.setattr(overlay, "REDUCED_PIXELS", 10_000)


def read(path: Path) -> NDArray[Any]:
    return np.asarray(tifffile.imread(path)) if path.suffix == ".tif" else np.array(Image.open(path))


def rows_of(output: OutputFolder, name: str) -> list[dict[str, float]]:
    with (output.path / "measurements" / f"{name}.csv").open(newline="") as lines:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(lines)]


def features_of(output: OutputFolder, name: str, size: tuple[int, int]) -> list[dict[str, Any]]:
    """The features of a GeoJSON file that keeps QuPath's rules and RFC 7946."""
    content = json.loads((output.path / "geojson" / f"{name}.geojson").read_text())
    assert content.keys() == {"type", "features"}
    assert content["type"] == "FeatureCollection"
    height, width = size
    for feature in content["features"]:
        assert feature.keys() == {"type", "geometry", "properties"}
        assert feature["type"] == "Feature"
        geometry, properties = feature["geometry"], feature["properties"]
        assert geometry.keys() == {"type", "coordinates"}
        assert geometry["type"] in ("Polygon", "MultiPolygon")
        polygons = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
        assert geometry["type"] == "Polygon" or len(polygons) > 1, "QuPath has no multi-polygon of one"
        for ring in (ring for polygon in polygons for ring in polygon):
            assert len(ring) >= 4
            assert ring[0] == ring[-1]
            assert all(len(xy) == 2 and 0 <= xy[0] <= width and 0 <= xy[1] <= height for xy in ring)
        assert properties.keys() == {"objectType", "classification", "measurements"}
        assert properties["objectType"] == "detection"
        assert properties["classification"]["name"] == "Nucleus"
        colour = properties["classification"]["color"]
        assert len(colour) == 3
        assert all(type(part) is int and 0 <= part <= 255 for part in colour)
        assert all(isinstance(value, int | float) for value in properties["measurements"].values())
    return list(content["features"])


def check_agreement(output: OutputFolder, name: str, raw: NDArray[Any]) -> NDArray[Any]:
    """Mask, label map, outlines and table say the same; gives the label map."""
    size = raw.shape[:2]
    labels = read(output.path / "labels" / f"{name}.tif")
    mask = next((output.path / "masks").glob(f"{name}.*"))
    assert labels.dtype == np.uint16
    assert np.array_equal(read(mask), (labels > 0).astype(np.uint8) * 255)
    assert len(np.unique(labels)) - 1 == regions_of(labels > 0, connectivity=2).max() == labels.max()
    rows, features = rows_of(output, name), features_of(output, name, size)
    areas = np.bincount(labels.ravel())
    assert [row["label"] for row in rows] == [
        feature["properties"]["measurements"]["label"] for feature in features
    ]
    assert sorted(row["label"] for row in rows) == list(range(1, labels.max() + 1))
    grey = raw if raw.ndim == 2 else raw.mean(axis=2)
    wanted = ("label", "centroid", "axis_major_length", "axis_minor_length", "solidity", "intensity_mean")
    table = regionprops_table(labels, grey, properties=wanted)
    for row, feature in zip(rows, features, strict=True):
        label = int(row["label"])
        shape = shapely.from_geojson(json.dumps(feature["geometry"]))
        assert shape.is_valid
        assert shape.area == row["area"] == areas[label]
        centre = shape.centroid
        assert (centre.x - 0.5, centre.y - 0.5) == pytest.approx((row["centroid_x"], row["centroid_y"]))
        expected = [table[key][label - 1] for key in table if key != "label"]
        names = ("centroid_y", "centroid_x", "major_axis", "minor_axis", "solidity", "mean_intensity")
        assert [row[key] for key in names] == pytest.approx(expected, rel=1e-4, abs=1e-4)
    return labels


def test_the_files_of_an_image_agree(
    output: OutputFolder,
    dark: Callable[..., Predictor],
    scene: Callable[..., NDArray[np.uint8]],
    tmp_path: Path,
) -> None:
    image, predictor = scene(120, 170), dark(64)
    Image.fromarray(image).save(tmp_path / "a b.png")
    segment_file(predictor, tmp_path / "a b.png", NO_POINTS, output)
    assert check_agreement(output, "a b", image).max() > 10
    nuclei = predictor.segment(image)
    assert np.array_equal(read(output.path / "masks" / "a b.png") > 0, nuclei.mask)
    assert np.array_equal(read(output.path / "probabilities" / "a b.tif"), nuclei.probability)
    assert read(output.path / "overlays" / "a b.png").shape == image.shape
    assert output.is_done("a b")


@pytest.mark.usefixtures("as_if_large")
def test_the_files_of_a_large_image_agree_and_cut_no_nucleus(
    output: OutputFolder,
    dark: Callable[..., Predictor],
    scene: Callable[..., NDArray[np.uint8]],
    tmp_path: Path,
) -> None:
    image = scene(700, 170)
    image[90:600, 40:46] = 20  # through all strips
    options: dict[str, Any] = {"tile": (64, 64), "compression": "zlib", "photometric": "rgb"}
    with tifffile.TiffWriter(tmp_path / "a.tif", ome=False) as writer:
        writer.write(image, subifds=1, resolution=(20_000, 40_000), resolutionunit="CENTIMETER", **options)
        writer.write(image[::2, ::2], subfiletype=1, **options)
    predictor = dark(64, stretch=True)
    segment_file(predictor, tmp_path / "a.tif", NO_POINTS, output)
    labels = check_agreement(output, "a", image)
    nuclei = predictor.segment(image)
    assert np.array_equal(labels > 0, nuclei.mask)
    assert len(np.unique(labels[100:590, 43])) == 1, "one nucleus through all strips"
    assert os.listdir(output.path / "masks") == ["a.tif"]
    picture = read(output.path / "overlays" / "a.jpg")
    assert picture.shape == (175, 42, 3), "a fourth"
    assert np.abs(picture[:, :, 2].astype(int) - read_reduced(image)).mean() < 40
    row = rows_of(output, "a")[0]
    assert row["area_um2"] == pytest.approx(row["area"] * 0.5 * 0.25)
    with tifffile.TiffFile(output.path / "labels" / "a.tif") as file:
        assert file.pages.first.tags["XResolution"].value == (20_000, 1), "the label map knows its pixels, too"
    assert output.is_done("a")


def read_reduced(image: NDArray[np.uint8]) -> NDArray[Any]:
    """The last channel, each 4 x 4 pixels as their mean."""
    height, width = image.shape[0] // 4, image.shape[1] // 4
    blocks = image[: height * 4, : width * 4, 2].reshape(height, 4, width, 4)
    return np.asarray(blocks.mean(axis=(1, 3)))


@pytest.mark.usefixtures("as_if_large")
@pytest.mark.parametrize("crop", [32, 64, 100])
def test_in_parts_the_regions_are_those_of_the_whole(
    crop: int,
    output: OutputFolder,
    dark: Callable[..., Predictor],
    scene: Callable[..., NDArray[np.uint8]],
    tmp_path: Path,
) -> None:
    image = scene(400, 130, seed=crop)
    Image.fromarray(image).save(tmp_path / "a.png")
    segment_file(dark(crop), tmp_path / "a.png", NO_POINTS, output)
    labels = read(output.path / "labels" / "a.tif")
    whole = regions_of(dark(crop).segment(image).mask, connectivity=2)
    pairs = np.unique(np.stack([labels.ravel(), whole.ravel()]), axis=1)
    assert pairs.shape[1] == whole.max() + 1 == labels.max() + 1


def test_sixteen_bits_are_measured_in_their_own_numbers(
    output: OutputFolder, dark: Callable[..., Predictor], scene: Callable[..., NDArray[np.uint8]], tmp_path: Path
) -> None:
    deep = scene(90, 100)[:, :, 0].astype(np.uint16) * 40 + 1000
    metadata = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(tmp_path / "a.ome.tif", deep, metadata=metadata)
    segment_file(dark(64), tmp_path / "a.ome.tif", NO_POINTS, output)
    check_agreement(output, "a.ome", deep)
    row = rows_of(output, "a.ome")[0]
    assert row["mean_intensity"] > 1000
    assert row["major_axis_um"] == pytest.approx(row["major_axis"] / 2)


def test_an_image_without_nuclei_has_empty_files(
    output: OutputFolder, dark: Callable[..., Predictor], tmp_path: Path
) -> None:
    image = np.full((50, 40, 3), 250, dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    segment_file(dark(64), tmp_path / "a.png", NO_POINTS, output)
    assert features_of(output, "a", (50, 40)) == rows_of(output, "a") == []
    assert not read(output.path / "labels" / "a.tif").any()
    assert np.array_equal(read(output.path / "overlays" / "a.png"), image)


def test_scikit_images_immunohistochemistry(
    output: OutputFolder, dark: Callable[..., Predictor], tmp_path: Path
) -> None:
    path = Path(data_dir, "ihc.png")
    segment_file(dark(256), path, NO_POINTS, output)
    assert check_agreement(output, "ihc", np.array(Image.open(path))[:, :, :3]).max() > 50


@pytest.mark.real_data
@pytest.mark.parametrize("dataset", ["dsb2018", "monuseg"])
def test_real_images(dataset: str, output: OutputFolder, dark: Callable[..., Predictor], data_root: Path) -> None:
    path = sorted((data_root / dataset / "images").iterdir())[0]
    segment_file(dark(256, stretch=True), path, NO_POINTS, output)
    check_agreement(output, path.stem, np.array(Image.open(path)))


def test_one_band_is_in_memory_at_a_time(
    output: OutputFolder,
    dark: Callable[..., Predictor],
    scene: Callable[..., NDArray[np.uint8]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    given: list[weakref.ref[Band]] = []

    def watched(*arguments: Any) -> Iterator[Band]:
        waiting = []
        for band in join_strips(*arguments):
            assert all(reference() is None for reference in given)
            given.append(weakref.ref(band))
            waiting.append(band)
            del band
            yield waiting.pop()

    monkeypatch.setattr(segmentation, "BAND_PIXELS", 1)
    monkeypatch.setattr(segmentation, "join_strips", watched)
    Image.fromarray(scene(600, 90)).save(tmp_path / "a.png")
    segment_file(dark(64), tmp_path / "a.png", NO_POINTS, output)
    assert len(given) > 2


def test_after_an_error_nothing_is_left(
    output: OutputFolder, dark: Callable[..., Predictor], scene: Callable[..., NDArray[np.uint8]], tmp_path: Path
) -> None:
    Image.fromarray(scene(90, 90)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a\.png: the point \(95, 3\) lies outside"):
        segment_file(dark(64), tmp_path / "a.png", np.array([[95, 3, 1]], dtype=np.float32), output)
    assert [path for path in output.path.rglob("*") if path.is_file()] == []
    assert not output.is_done("a")


def test_a_label_map_has_32_bits_only_where_it_must(
    output: OutputFolder, dark: Callable[..., Predictor], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    image = np.full((520, 520, 3), 255, dtype=np.uint8)
    image[::2, ::2] = 0
    Image.fromarray(image).save(tmp_path / "a.png")
    predictor = dark(None)
    monkeypatch.setattr(predictor, "model", Black())
    # Single pixels are no tissue.
    segment_file(predictor, tmp_path / "a.png", NO_POINTS, output, tissue=False)
    labels = read(output.path / "labels" / "a.tif")
    assert labels.max() == 67_600
    assert labels.dtype == np.uint32
