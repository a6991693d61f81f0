"""Expert points of QuPath's GeoJSON (those of a CSV: test_predict.py)."""

import json
from pathlib import Path
from typing import Any

import pytest

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
        ([point("Point", [1, 1], named("Tumor"))], "a point has Tumor, and only Positive"),
        ([point("Point", [1, 1], None)], "a point has no class"),
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
    with pytest.raises(UserError, match="holds no GeoJSON"):
        read_points(tmp_path / "empty", [Path("a.png")])
