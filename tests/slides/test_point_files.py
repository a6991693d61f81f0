"""Expert points of QuPath, ImageJ and napari (those of a CSV: test_predict.py)."""

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from roifile import ROI_TYPE, ImagejRoi, roiwrite

from sac_lightning.core.errors import UserError
from sac_lightning.slides.point_files import read_points


def point(kind: str, coordinates: Any, classification: Any) -> dict[str, Any]:
    """A feature as QuPath 0.6 writes it."""
    return {
        "type": "Feature",
        "id": "0b0c8d29-6c8a-4c2c-b9a5-5f1c6e1b9a10",
        "geometry": {"type": kind, "coordinates": coordinates},
        "properties": {"objectType": "annotation", "classification": classification},
    }


def named(name: str) -> dict[str, Any]:
    return {"name": name, "color": [250, 62, 62]}


FEATURES = [
    point("MultiPoint", [[10.5, 20.5], [11.0, 4.25]], named("Positive")),
    point("Point", [3.5, 1.5], named("Negative")),
    point("Polygon", [[[0, 0], [0, 5], [5, 5], [0, 0]]], named("Tumor")),
    point("MultiPoint", [[7, 8]], named("nucleus")),
    point("Point", [1, 1, 0], named("Background")),
    point("Point", [2, 2], {"names": ["Tumor", "Positive"]}),
]
EXPECTED = [[10, 20, 1], [10.5, 3.75, 1], [3, 1, 0], [6.5, 7.5, 1], [0.5, 0.5, 0], [1.5, 1.5, 1]]


def written(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_points_of_all_kinds_from_the_centre_of_the_first_pixel(tmp_path: Path) -> None:
    path = written(tmp_path / "any.geojson", {"type": "FeatureCollection", "features": FEATURES})
    assert read_points(path, [Path("a.png")])["a.png"].tolist() == EXPECTED


def test_a_bare_list_as_of_older_versions(tmp_path: Path) -> None:
    path = written(tmp_path / "any.json", FEATURES)
    assert read_points(path, [Path("a.png")])["a.png"].tolist() == EXPECTED


def test_a_single_feature(tmp_path: Path) -> None:
    path = written(tmp_path / "any.geojson", FEATURES[1])
    assert read_points(path, [Path("a.png")])["a.png"].tolist() == [[3, 1, 0]]


def test_of_several_images_the_name_decides(tmp_path: Path) -> None:
    images = [Path("a.png"), Path("b.ome.tif")]
    folder = tmp_path / "points"
    folder.mkdir()
    first = written(folder / "a.geojson", FEATURES[:1])
    written(folder / "b.ome.tif.geojson", FEATURES[1])
    (folder / "notes.txt").write_text("nothing")
    points = read_points(folder, images)
    assert {name: len(of) for name, of in points.items()} == {"a.png": 2, "b.ome.tif": 1}
    assert read_points(first, images).keys() == {"a.png"}
    written(folder / "c.geojson", FEATURES)
    with pytest.raises(UserError, match=r"c\.geojson belongs to no image"):
        read_points(folder, images)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([point("Point", [1, 1], named("Tumor"))], "only 1 of Tumor, which mean nothing: give points of the"),
        ([point("Point", [1, 1], None)], "only 1 of no class"),
        ([point("MultiPoint", [[1, 1], [2, 2]], named("Ignore*"))], r"only 2 of Ignore\*"),
        ([point("Point", [1, 1], {"names": ["Positive", "Negative"]})], "Positive: Negative"),
        ([FEATURES[2]], "holds no points"),
        ([], "holds no points"),
        ([point("Point", [1], named("Positive"))], "not GeoJSON"),
        ([point("Point", ["x", 1], named("Positive"))], "not GeoJSON"),
        ([point("MultiPoint", 3, named("Positive"))], "not GeoJSON"),
        ([{"type": "Feature"}], "not GeoJSON"),
        (["text"], "not GeoJSON"),
        ({"a": 1}, "not GeoJSON"),
        (7, "not GeoJSON"),
    ],
)
def test_what_means_nothing_is_told(content: Any, told: str, tmp_path: Path) -> None:
    path = written(tmp_path / "bad.geojson", content)
    with pytest.raises(UserError, match=told) as refused:
        read_points(path, [Path("a.png")])
    assert "bad.geojson" in str(refused.value)


def test_what_is_no_json_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.geojson").write_bytes(b"\xff{")
    with pytest.raises(UserError, match=r"bad\.geojson"):
        read_points(tmp_path / "bad.geojson", [Path("a.png")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no points"):
        read_points(tmp_path / "empty", [Path("a.png")])


# QuPath's classes


@pytest.mark.parametrize(
    ("classification", "label"),
    [
        (named("Positive"), 1),
        (named("POSITIVE"), 1),
        ({"name": "Nucleus", "colorRGB": -3140401}, 1),  # before 0.3
        ({"parentClass": {"name": "Tumor", "colorRGB": -3670016}, "name": "Negative", "colorRGB": -6895466}, 0),
        (named("Tumor: Positive"), 1),
        ({"names": ["Positive", "Large"], "color": [1, 2, 3]}, 1),
        ({"name": "Background*"}, 0),
        ("Negative", 0),
        ("Immune cells: nuclei", 1),
        (["Tumor", "Positive"], 1),
        ({"names": "Positive"}, 1),
        (named("Ignore*"), None),
        ({"names": ["Ignore*", "Positive"]}, None),
        ({"names": ["Positive", "Negative"]}, None),
        (named("Tumor"), None),
        (named(""), None),
        ({}, None),
        (None, None),
    ],
)
def test_every_spelling_of_a_class(classification: Any, label: int | None, tmp_path: Path) -> None:
    features = [FEATURES[1], point("MultiPoint", [[5.5, 6.5], [1.5, 1.5]], classification)]
    told: list[str] = []
    points = read_points(written(tmp_path / "a.geojson", features), [Path("a.png")], told.append)["a.png"].tolist()
    if label is None:
        assert points == EXPECTED[2:3]
        assert len(told) == 1
        assert told[0].startswith("skipped in a.geojson: 2 of ")
    else:
        assert points == [*EXPECTED[2:3], [5, 6, label], [1, 1, label]]
        assert told == []


def test_what_is_skipped_is_counted_by_class(tmp_path: Path) -> None:
    others = [point("MultiPoint", [[1, 1]] * 3, None), point("Point", [1, 1], named("Tumor"))]
    others += [point("MultiPoint", [[1, 1]] * 2, named("Ignore*")), point("Point", [2, 2], {"name": "Tumor"})]
    told: list[str] = []
    path = written(tmp_path / "a.geojson", [*FEATURES, *others])
    assert read_points(path, [Path("a.png")], told.append)["a.png"].tolist() == EXPECTED
    assert told == ["skipped in a.geojson: 2 of Ignore*, 2 of Tumor, 3 of no class"]


# Compressed


def test_geojson_compressed_by_gzip_or_zip(tmp_path: Path) -> None:
    folder = tmp_path / "points"
    folder.mkdir()
    (folder / "a.ome.tif.geojson.gz").write_bytes(gzip.compress(json.dumps(FEATURES).encode()))
    with zipfile.ZipFile(folder / "b.zip", "w") as archive:
        archive.writestr("some name.geojson", json.dumps(FEATURES))
    points = read_points(folder, [Path("a.ome.tif"), Path("b.png")])
    assert {name: of.tolist() for name, of in points.items()} == {"a.ome.tif": EXPECTED, "b.png": EXPECTED}


def test_points_within_a_region_or_a_collection(tmp_path: Path) -> None:
    inner = point("Polygon", [[[0, 0], [0, 5], [5, 5], [0, 0]]], named("Tumor"))
    inner["properties"]["childObjects"] = FEATURES[:1]
    both = {"type": "GeometryCollection", "geometries": [inner["geometry"], FEATURES[1]["geometry"]]}
    path = written(tmp_path / "a.geojson", [inner, {**FEATURES[1], "geometry": both}])
    assert read_points(path, [Path("a.png")])["a.png"].tolist() == EXPECTED[:3]


def test_the_table_of_the_point_tool(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    rows = ["x\ty\tclass\tname\tcolor\t", "10.5\t20.5\tPositive\t\t-1", "3.5\t1.5\tTumor: Negative\tany\t-1"]
    path.write_text("\r\n".join([*rows, "1.0\t1.0\t\t\t-1", "1.0\t1.0\tIgnore*\t\t-1", ""]))
    told: list[str] = []
    points = read_points(path, [Path("a.png"), Path("b.png")], told.append)["a.png"].tolist()
    assert points == [[10, 20, 1], [3, 1, 0]]
    assert told == ["skipped in a.tsv: 1 of Ignore*, 1 of no class"]
    path.write_text("x\ty\t\n1.0\t1.0\t\n")
    with pytest.raises(UserError, match="only 1 of no class"):
        read_points(path, [Path("a.png")])
    path.write_text("1.0\t1.0\n2\t2\n")
    with pytest.raises(UserError, match="line 2, is no point"):
        read_points(path, [Path("a.png")])


def test_features_that_lie_nowhere_are_passed_over(tmp_path: Path) -> None:
    nowhere = [point("MultiPoint", [], None), {"type": "Feature", "geometry": None, "properties": {}}]
    told: list[str] = []
    path = written(tmp_path / "a.geojson", [*nowhere, FEATURES[1]])
    assert read_points(path, [Path("a.png")], told.append)["a.png"].tolist() == [[3, 1, 0]]
    assert told == []


@pytest.mark.parametrize("name", ["a.geojson.gz", "a.zip", "a.roi"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"\x1f\x8b\x08\x00 and no more", b"Iout\x00"])
def test_a_broken_file_is_a_sentence(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name} cannot be used"):
        read_points(tmp_path / name, [Path("a.png")])


# ImageJ


def roi_of(points: Any, name: str, kind: ROI_TYPE = ROI_TYPE.POINT) -> ImagejRoi:
    roi = ImagejRoi.frompoints(points, name=name)
    roi.roitype = kind
    return roi


def test_points_of_imagejs_roi_manager(tmp_path: Path) -> None:
    rois = [
        roi_of(np.array([[10, 20], [11, 4]]), "0001-0234"),
        roi_of(np.array([[70_000, 3]]), "Negative-2"),
        roi_of(np.array([[6.5, 7.5]], dtype=np.float32), "background"),
        roi_of(np.array([[0, 0], [0, 5], [5, 5]]), "region", ROI_TYPE.POLYGON),
    ]
    roiwrite(tmp_path / "a.zip", rois)
    points = read_points(tmp_path / "a.zip", [Path("a.png"), Path("b.png")])
    assert points["a.png"].tolist() == [[10, 20, 1], [11, 4, 1], [70_000, 3, 0], [6.5, 7.5, 0]]
    rois[0].tofile(tmp_path / "b.roi")
    assert read_points(tmp_path / "b.roi", [Path("any.png")])["any.png"].tolist() == [[10, 20, 1], [11, 4, 1]]
    rois[3].tofile(tmp_path / "b.roi")
    with pytest.raises(UserError, match=r"b\.roi holds no points .* only regions"):
        read_points(tmp_path / "b.roi", [Path("any.png")])


def test_what_macos_adds_to_a_zip_file_is_no_selection(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("1.roi", roi_of(np.array([[10, 20]]), "1").tobytes())
        archive.writestr("__MACOSX/._1.roi", b"notes of macOS")
    assert read_points(tmp_path / "a.zip", [Path("a.png")])["a.png"].tolist() == [[10, 20, 1]]


# napari


def test_points_of_napari(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("index,axis-0,axis-1\n0.0,20.0,10.0\n1.0,4.25,11.5\n")
    assert read_points(path, [Path("a.png"), Path("b.png")])["a.png"].tolist() == [[10, 20, 1], [11.5, 4.25, 1]]


def test_points_of_napari_with_labels_on_a_stack(tmp_path: Path) -> None:
    path = tmp_path / "any.csv"
    path.write_text(
        "index,label,axis-0,axis-1,axis-2\n0,Negative,7,20,10\n1,1.0,7,4,11\n2,0,7,5,6\n3,Tumor,1,1,1\n"
    )
    told: list[str] = []
    points = read_points(path, [Path("a.png")], told.append)["a.png"].tolist()
    assert points == [[10, 20, 0], [11, 4, 1], [6, 5, 0]]
    assert told == ["skipped in any.csv: 1 of Tumor"]
    path.write_text("index,axis-0,axis-1\n0,1,2\n1,x,2\n")
    with pytest.raises(UserError, match="line 3, is no point"):
        read_points(path, [Path("a.png")])


def test_a_folder_of_all_kinds(tmp_path: Path) -> None:
    written(tmp_path / "a.geojson", FEATURES[1])
    roi_of(np.array([[10, 20]]), "").tofile(tmp_path / "a.roi")
    (tmp_path / "b.csv").write_text("index,axis-0,axis-1\n0,2,1\n")
    (tmp_path / "more.csv").write_text("image,x,y,label\nb.png,3,4,0\n")
    (tmp_path / ".b.csv.swp").write_text("hidden")
    points = read_points(tmp_path, [Path("a.png"), Path("b.png")])
    assert points["a.png"].tolist() == [[3, 1, 0], [10, 20, 1]]
    assert points["b.png"].tolist() == [[1, 2, 1], [3, 4, 0]]


# Boxes


def rectangle(left: float, top: float, right: float, bottom: float) -> list[Any]:
    """A polygon as QuPath writes a rectangle."""
    return [[[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]]


def test_a_rectangle_of_nuclei_is_a_box_and_no_other_area(tmp_path: Path) -> None:
    features = [
        point("Point", [1, 1], named("Negative")),
        point("Polygon", rectangle(10, 20, 30, 44), named("Nucleus")),
        point("Polygon", rectangle(50, 60, 55, 65), named("Positive")),
        point("Polygon", rectangle(0, 0, 90, 90), named("Tumor")),
        point("Polygon", rectangle(0, 0, 90, 90), named("Negative")),
        point("Polygon", rectangle(0, 0, 90, 90), None),
        point("Polygon", [[[5, 0], [9, 5], [5, 9], [0, 5], [5, 0]]], named("Nucleus")),
        point("Polygon", [*rectangle(0, 0, 90, 90), *rectangle(1, 1, 2, 2)], named("Nucleus")),
        point("Polygon", rectangle(7, 7, 7, 9), named("Nucleus")),
    ]
    found = point("Polygon", rectangle(1, 2, 3, 4), named("Nucleus"))
    found["properties"]["objectType"] = "detection"
    path = written(tmp_path / "any.geojson", {"type": "FeatureCollection", "features": [*features, found]})
    points = read_points(path, [Path("a.png")])["a.png"]
    assert points.tolist() == [[0.5, 0.5, 0, 0, 0], [19.5, 31.5, 1, 20, 24], [52, 62, 1, 5, 5]]


def test_a_file_of_boxes_alone_is_one_of_points(tmp_path: Path) -> None:
    path = written(tmp_path / "any.geojson", point("Polygon", rectangle(10, 20, 30, 44), named("Nucleus")))
    assert read_points(path, [Path("a.png")])["a.png"].tolist() == [[19.5, 31.5, 1, 20, 24]]


def test_a_table_of_points_and_boxes_and_a_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text("image,x,y,label,right,bottom\na,1,2,0,,\nb,10,20,1,30,44\na,4,5,1,,\n")
    written(tmp_path / "b.geojson", FEATURES[1])
    points = read_points(tmp_path, [Path("a.png"), Path("b.png")])
    assert points["a.png"].tolist() == [[1, 2, 0], [4, 5, 1]]
    assert points["b.png"].tolist() == [[20, 32, 1, 20, 24], [3, 1, 0, 0, 0]]


@pytest.mark.parametrize(
    "line", ["a,10,20,1,30,", "a,10,20,1,,44", "a,10,20,0,30,44", "a,10,20,1,10,44", "a,10,20,1,x,44"]
)
def test_half_a_box_or_one_of_the_background_is_told(line: str, tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text(f"image,x,y,label,right,bottom\n{line}\n")
    with pytest.raises(UserError, match=r"line 2, is not an image and numbers .* right and bottom"):
        read_points(tmp_path / "all.csv", [Path("a.png")])
