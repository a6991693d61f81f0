"""Regions drawn in QuPath, and tissue: what is passed over, and that all else is as it was."""

import dataclasses
import gzip
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from sac_lightning.core.errors import UserError
from sac_lightning.core.view import Window
from sac_lightning.inference.predictor import Predictor
from sac_lightning.slides.notes import Notes
from sac_lightning.slides.output_folder import OutputFolder
from sac_lightning.slides.regions import Regions, read_regions
from sac_lightning.slides.segmentation import segment_file

NO_POINTS = np.zeros((0, 3), dtype=np.float32)
SQUARE = [[10, 20], [60, 20], [60, 80], [10, 80], [10, 20]]
HOLE = [[20, 30], [30, 30], [30, 40], [20, 40], [20, 30]]


def polygon(*rings: Any) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": list(rings)}


def feature(geometry: Any, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry, "properties": {"objectType": "annotation", **properties}}


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


FORMS: dict[str, Any] = {
    "collection": {"type": "FeatureCollection", "features": [feature(polygon(SQUARE, HOLE))]},
    "feature": feature(polygon(SQUARE, HOLE)),
    "list": [feature(polygon(SQUARE, HOLE)), feature({"type": "Point", "coordinates": [1, 2]})],
    "geometry": polygon(SQUARE, HOLE),
    "several": feature({"type": "MultiPolygon", "coordinates": [[SQUARE, HOLE]]}),
    "geometries": feature({"type": "GeometryCollection", "geometries": [polygon(SQUARE, HOLE)]}),
    "others": [
        feature(polygon(SQUARE, HOLE), classification={"name": "Tumor"}),
        feature(polygon([[0, 0], [9, 0], [9, 9], [0, 0]]), objectType="detection"),
        feature(polygon([[0, 0], [9, 0], [9, 9], [0, 0]]), classification={"name": "Ignore*"}),
        {"type": "Feature", "geometry": None, "properties": None},
    ],
    "children": feature(
        None, objectType="root", childObjects=[feature(None, children=[feature(polygon(SQUARE, HOLE))])]
    ),
    "empty": [feature(polygon()), feature(polygon(SQUARE, HOLE))],
}


@pytest.mark.parametrize("name", FORMS)
def test_what_qupath_and_others_write(name: str, tmp_path: Path) -> None:
    regions = read_regions(write(tmp_path / "a.geojson", FORMS[name]), [Path("b.tif")], "regions")["b.tif"]
    assert regions.shape.area == 50 * 60 - 100
    assert regions.shape.bounds == (10, 20, 60, 80)


@pytest.mark.parametrize(
    "classification",
    [
        "Tumor",
        "Tumor: Large",
        ["Tumor", "Large"],
        {"names": ["Tumor", "Large"]},
        {"name": "Large", "parentClass": {"name": "Tumor"}},
        {},
        None,
    ],
)
def test_every_spelling_of_a_class_is_a_region(classification: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", feature(polygon(SQUARE), classification=classification))
    assert read_regions(path, [Path("b.tif")], "regions")["b.tif"].shape.area == 50 * 60


@pytest.mark.parametrize(
    "classification",
    [
        "Ignore*",
        {"name": "Ignore*: Foo"},
        {"names": ["Ignore*"]},
        {"names": ["Tumor", "Ignore*"]},
        {"names": "Ignore*"},
        {"name": "Foo", "parentClass": {"name": "Ignore*"}},
    ],
)
def test_every_spelling_of_a_class_to_be_ignored_is_passed_over(classification: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", feature(polygon(SQUARE), classification=classification))
    with pytest.raises(UserError, match="holds no regions"):
        read_regions(path, [Path("b.tif")], "regions")


@pytest.mark.parametrize(
    "change",
    [
        {"properties": {"objectType": "cell"}},
        {"properties": {"object_type": "detection"}},
        {"properties": {"type": "tile"}},
        {"id": "PathDetectionObject", "properties": {}},
        {"id": "PathCellObject", "properties": None},
        {"properties": {"objectType": "tma_core", "isMissing": True}},
    ],
)
def test_what_was_found_or_is_missing_is_no_region(change: dict[str, Any], tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", [feature(polygon(SQUARE)) | change])
    with pytest.raises(UserError, match="holds no regions"):
        read_regions(path, [Path("b.tif")], "regions")


@pytest.mark.parametrize(
    "change",
    [{"id": "PathAnnotationObject", "properties": {}}, {"properties": {"objectType": "tma_core"}}, {"id": 7}],
)
def test_all_else_is_a_region(change: dict[str, Any], tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", [feature(polygon(SQUARE)) | change])
    assert read_regions(path, [Path("b.tif")], "regions")["b.tif"].shape.area == 50 * 60


def test_a_zip_file_as_macos_makes_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("some/b.geojson", json.dumps(FORMS["feature"]))
        archive.writestr("__MACOSX/some/._b.geojson", b"\x00\x05\x16\x07")
    for path in (tmp_path, tmp_path / "b.zip"):
        assert read_regions(path, [Path("b.tif")], "regions")["b.tif"].shape.area == 50 * 60 - 100


def test_all_files_of_an_image_count(tmp_path: Path) -> None:
    write(tmp_path / "b.geojson", feature(polygon(SQUARE)))
    write(tmp_path / "b.tif.geojson", feature(polygon([[60, 20], [70, 20], [70, 30], [60, 30]])))
    (tmp_path / ".b.geojson").write_text("hidden")
    assert read_regions(tmp_path, [Path("b.tif")], "regions")["b.tif"].shape.area == 50 * 60 + 100


def test_a_compressed_file_and_a_folder_of_them(tmp_path: Path) -> None:
    (tmp_path / "a.geojson.gz").write_bytes(gzip.compress(json.dumps(FORMS["feature"]).encode()))
    write(tmp_path / "b.tif.geojson", FORMS["list"])
    read = read_regions(tmp_path, [Path("x/a.svs"), Path("x/b.tif")], "regions")
    assert sorted(read) == ["a.svs", "b.tif"]
    with pytest.raises(UserError, match=r"has no regions of c\.tif: .*NAME\.geojson"):
        read_regions(tmp_path, [Path("a.svs"), Path("c.tif")], "regions")


@pytest.mark.parametrize(
    "content",
    [
        b"no json",
        b"{}",
        b"[1]",
        b"null",
        b'{"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}',
        b'{"type": "Polygon", "coordinates": [[[0, 0], [NaN, 1], [2, 2], [0, 0]]]}',
        b'{"type": "Polygon", "coordinates": [[[0, 0], [1e999, 1], [2, 2], [0, 0]]]}',
        b'{"type": "Polygon", "coordinates": "all"}',
        b"\xff\xfe\x00",
        b'{"type": "FeatureCollection", "features": []}',
        b'{"type": "Point", "coordinates": [1, 2]}',
        b'{"type": "Polygon", "coordinates": [[[0, 0], [9, 9], [0, 0]]]}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_region_is_a_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.geojson").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.geojson (cannot be used|holds no regions).*QuPath"):
        read_regions(tmp_path / "a.geojson", [Path("a.tif")], "regions")


@pytest.mark.parametrize("ending", ["geojson.gz", "zip"])
def test_a_damaged_file_is_a_sentence(ending: str, tmp_path: Path) -> None:
    content = json.dumps([feature(polygon(SQUARE))] * 9).encode()
    if ending == "zip":
        with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as archive:
            archive.writestr("a.geojson", content)
        written = (tmp_path / "a.zip").read_bytes()
    else:
        written = gzip.compress(content)
    told = []
    for at in range(30, len(written) // 2, 3):
        (tmp_path / f"a.{ending}").write_bytes(written[:at] + bytes([written[at] ^ 255]) + written[at + 1 :])
        try:
            read_regions(tmp_path / f"a.{ending}", [Path("b.tif")], "regions")
        except UserError as error:
            told.append(str(error))
    assert len(told) > 5
    assert all(f"a.{ending} cannot be used" in sentence for sentence in told)


def test_numbers_that_no_image_has_overflow_nowhere(tmp_path: Path) -> None:
    far = polygon([[-1e308, -1e308], [1e308, -1e308], [1e308, 1e308], [-1e308, 1e308]])
    regions = read_regions(write(tmp_path / "a.geojson", [far, far]), [Path("a.tif")], "regions")["a.tif"]
    assert regions.within(30, 40).draw(0, 30, 40).all()


def test_a_region_that_crosses_itself_is_made_valid(tmp_path: Path) -> None:
    bow = polygon([[0, 0], [40, 40], [40, 0], [0, 40], [0, 0]])
    regions = read_regions(write(tmp_path / "a.geojson", bow), [Path("a.tif")], "regions")["a.tif"]
    assert regions.within(50, 50).contain(np.array([[4, 20], [20, 4], [36, 20]])).tolist() == [True, False, True]


def square(left: int, top: int, right: int, bottom: int) -> Regions:
    import shapely

    return Regions(shapely.box(left, top, right, bottom))


def test_regions_outside_of_the_image_are_told() -> None:
    with pytest.raises(UserError, match=r"x 500 to 600, y 0 to 90.*outside its 400x300 pixels"):
        square(500, 0, 600, 90).within(300, 400)


def test_pixels_of_a_region() -> None:
    drawn = square(16, 32, 48, 64).draw(20, 80, 60)
    assert drawn[13:43, 17:47].all()
    assert not drawn[:11].any()
    assert not drawn[:, :15].any()
    assert not drawn[45:].any()
    assert square(16, 32, 48, 64).draw(0, 6, 5, scale=16)[2:4, 1:3].all()
    assert square(0, 0, 10, 10).meet(Window(-5, -5, 8, 8))
    assert not square(0, 0, 10, 10).meet(Window(11, 0, 8, 8))


# Through predict


@dataclasses.dataclass
class Written:
    labels: NDArray[Any]
    mask: NDArray[Any]
    outlines: int
    share: float


@pytest.fixture
def segment(tmp_path: Path) -> Callable[..., Written]:
    def run(
        predictor: Predictor, image: NDArray[Any], points: NDArray[np.float32] = NO_POINTS, **options: Any
    ) -> Written:
        tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb")
        output = OutputFolder(tmp_path / "out")
        output.make()
        share = segment_file(predictor, tmp_path / "a.tif", points, output, **options).share
        return Written(
            tifffile.imread(tmp_path / "out/labels/a.tif"),
            np.array(Image.open(tmp_path / "out/masks/a.png")),
            len(json.loads((tmp_path / "out/geojson/a.geojson").read_text())["features"]),
            share,
        )

    return run


@pytest.fixture
def slide(scene: Callable[..., NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Glass with a piece of tissue at rows 320 to 480 and columns 160 to 320."""
    glass: NDArray[np.uint8] = np.random.default_rng(5).normal(241, 1.2, (900, 640, 3)).round().astype(np.uint8)
    glass[320:480, 160:320] = scene(160, 160)
    return glass


@pytest.mark.parametrize("stretch", [False, True])
def test_glass_is_passed_over_and_the_tissue_is_as_alone(
    stretch: bool, segment: Callable[..., Written], dark: Callable[..., Predictor], slide: NDArray[np.uint8]
) -> None:
    skipped, alone = segment(dark(64, stretch), slide), segment(dark(64, stretch), slide[320:480, 160:320])
    assert skipped.share < 0.1
    assert alone.share == 1
    assert np.array_equal(skipped.labels[320:480, 160:320], alone.labels)
    assert np.array_equal(skipped.mask[320:480, 160:320], alone.mask)
    assert (skipped.mask > 0).sum() == (alone.mask > 0).sum()
    assert skipped.outlines == alone.outlines > 10


@pytest.mark.parametrize("level", [241, 255])
def test_an_empty_slide_has_no_nuclei_whatever_the_model(level: int, segment: Callable[..., Written]) -> None:
    import torch

    from sac_lightning.core.view import View

    class Everything(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images[:, :1] * 0 + 9

    glass = np.random.default_rng(0).normal(level, 0.8, (300, 200, 3)).round().clip(0, 255).astype(np.uint8)
    written = segment(Predictor(Everything(), View(None, 64)), glass)
    assert (written.share, written.outlines, written.labels.max(), written.mask.max()) == (0, 0, 0, 0)


def test_only_nuclei_with_their_centre_in_a_region_are_kept_and_whole(
    segment: Callable[..., Written], dark: Callable[..., Predictor], slide: NDArray[np.uint8]
) -> None:
    whole = segment(dark(64), slide)
    regions = square(150, 330, 204, 440)
    kept = segment(dark(64), slide, regions=regions)
    centres = {}
    for number in range(1, int(whole.labels.max()) + 1):
        y, x = np.nonzero(whole.labels == number)
        centres[number] = (x.mean(), y.mean())
    inside = [n for n, (x, y) in centres.items() if 149.5 <= x <= 203.5 and 329.5 <= y <= 439.5]
    assert 0 < len(inside) < len(centres)
    assert np.array_equal(kept.labels > 0, np.isin(whole.labels, inside))
    assert np.array_equal(kept.mask > 0, kept.labels > 0)
    assert kept.outlines == kept.labels.max() == len(inside)
    assert kept.share < whole.share


def test_drawn_tissue_takes_the_place_of_what_is_found(
    segment: Callable[..., Written], dark: Callable[..., Predictor], slide: NDArray[np.uint8]
) -> None:
    drawn = segment(dark(64), slide, tissue=square(160, 320, 240, 480))
    assert drawn.labels[:, :240].any()
    assert not drawn.labels[:, 272:].any()


def test_what_lies_around_a_given_point_is_looked_at(
    segment: Callable[..., Written], dark: Callable[..., Predictor], slide: NDArray[np.uint8]
) -> None:
    slide[:] = 241
    slide[40:60, 40:60] = 235
    assert segment(dark(64), slide).share == 0
    assert segment(dark(64), slide, np.array([[50, 50, 1]], dtype=np.float32)).share > 0


def test_what_was_passed_over_is_told_in_few_lines() -> None:
    notes = Notes()
    notes.add(Path("a.svs"), "", 0.0512)
    notes.add(Path("b.svs"), "", 0.002)
    notes.add(Path("c.svs"), "", 1)
    assert notes.lines() == [
        "tissue: 5 % of a.svs was segmented",
        "tissue: less than 1 % of b.svs was segmented",
    ]
    for number, name in enumerate("defghijkl"):
        notes.add(Path(name), "", 0.5 if number > 5 else number / 10)
    assert notes.lines() == [
        "tissue: 0 % of d was segmented",
        "tissue: less than 1 % (b.svs) to 50 % (i, j, k and 1 more) of each of 10 images was segmented",
    ]


def test_many_images_without_tissue_are_named() -> None:
    notes = Notes()
    for name in "abcdefg":
        notes.add(Path(name), "", 0)
    assert notes.lines() == ["tissue: 0 % of a, b, c and 4 more was segmented"]
