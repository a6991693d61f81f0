"""The readers of the official layouts, on tiny layouts made here and on the real ones if SAC_DATA has them."""

import csv
import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from sac_lightning.core.errors import UserError
from sac_lightning.data.official import OfficialImage, Source, dsb2018, glas, monuseg

RGB = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
READERS = {"dsb2018": dsb2018.read, "monuseg": monuseg.read, "glas": glas.read}
TRAIN, TEST = "MoNuSeg 2018 Training Data", "MoNuSegTestData"


def _save(array: npt.NDArray[np.uint8], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def _rectangle(left: int, top: int, right: int, bottom: int) -> npt.NDArray[np.uint8]:
    """A mask of 6 x 8 pixels, 255 on columns left to right and rows top to bottom, ends included."""
    mask = np.zeros((6, 8), np.uint8)
    mask[top : bottom + 1, left : right + 1] = 255
    return mask


def _region(*corners: tuple[float, float]) -> str:
    vertices = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in corners)
    return f"<Region><Vertices>{vertices}</Vertices></Region>"


def _aperio(*regions: str) -> str:
    return f"<Annotations><Annotation><Regions>{''.join(regions)}</Regions></Annotation></Annotations>"


SQUARE = _region((2, 1), (6, 1), (6, 4), (2, 4))


def _dsb2018(folder: Path) -> Path:
    alpha = np.full((6, 8, 1), 7, np.uint8)
    for name in ("b", "a"):
        _save(np.concatenate([RGB, alpha], axis=2), folder / "stage1_train" / name / "images" / f"{name}.png")
        _save(_rectangle(0, 0, 3, 2), folder / "stage1_train" / name / "masks" / "1.png")
        _save(_rectangle(2, 1, 5, 4), folder / "stage1_train" / name / "masks" / "2.png")
    _save(RGB, folder / "stage1_test" / "c" / "images" / "c.png")
    return folder / "stage1_train"


def _monuseg(folder: Path) -> Path:
    _save(RGB, folder / TRAIN / "Tissue Images" / "TCGA-1.tif")
    _save(RGB, folder / TEST / "TCGA-0.tif")
    (folder / TRAIN / "Annotations").mkdir()
    (folder / TRAIN / "Annotations" / "TCGA-1.xml").write_text(_aperio(SQUARE))
    (folder / TEST / "TCGA-0.xml").write_text(_aperio(SQUARE, _region((5, 3), (8, 3), (8, 6), (5, 6))))
    return folder / TRAIN


def _glas(folder: Path) -> Path:
    inner = folder / "Warwick QU Dataset (Released 2016_07_08)"
    for name in ("train_2", "testA_1", "testB_10"):
        _save(RGB, inner / f"{name}.bmp")
        labels = _rectangle(0, 0, 1, 1) // 255 * 4 + _rectangle(4, 0, 5, 5) // 255 * 2
        _save(labels, inner / f"{name}_anno.bmp")
    grades = [
        "name,patient, grade (GlaS), grade (other)",
        "train_2,1, benign, x",
        "testA_1,2, malignant, y",
    ]
    (inner / "Grade.csv").write_text("\r\n".join(grades))
    return inner


LAYOUTS: dict[str, Callable[[Path], Path]] = {"dsb2018": _dsb2018, "monuseg": _monuseg, "glas": _glas}


def _zipped(folder: Path) -> Path:
    archive = folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = path.relative_to(folder)
            file.write(path, name)
            file.writestr(str("__MACOSX" / name), b"not a picture")
            file.writestr(str(name.with_name(f"._{name.name}")), b"not a picture")
    return archive


def _read(dataset: str, source: Path) -> dict[str, OfficialImage]:
    return {image.name: image for image in READERS[dataset](source)}


def _delete(folder: Path, name: str) -> None:
    next(folder.rglob(name)).unlink()


@pytest.mark.parametrize("dataset", READERS)
def test_every_image_keeps_its_pixels_whatever_part_of_the_layout_is_named(dataset: str, tmp_path: Path) -> None:
    inner = LAYOUTS[dataset](tmp_path / "given")
    whole = _read(dataset, tmp_path / "given")
    assert list(whole) == sorted(whole), "images come sorted by name"
    for image in whole.values():
        np.testing.assert_array_equal(image.image, RGB)
        assert image.image.dtype == np.uint8
        assert image.instances.dtype == np.int32
    part, zipped = _read(dataset, inner), _read(dataset, _zipped(tmp_path / "given"))
    assert list(zipped) == list(whole)
    assert part.keys() <= whole.keys()
    for image in [*part.values(), *zipped.values()]:
        np.testing.assert_array_equal(image.instances, whole[image.name].instances)
        assert (image.split, image.note) == (whole[image.name].split, whole[image.name].note)


@pytest.mark.parametrize("dataset", READERS)
def test_the_number_of_images_is_known_before_they_are_read(dataset: str, tmp_path: Path) -> None:
    LAYOUTS[dataset](tmp_path)
    reading = READERS[dataset](tmp_path)
    assert len(reading) == len(list(reading))


def test_dsb2018_gives_a_pixel_of_two_masks_to_the_first(tmp_path: Path) -> None:
    _dsb2018(tmp_path)
    images = _read("dsb2018", tmp_path)
    assert list(images) == ["a", "b"], "the unannotated test images are left out"
    expected = np.zeros((6, 8), int)
    expected[1:5, 2:6] = 2
    expected[0:3, 0:4] = 1
    np.testing.assert_array_equal(images["a"].instances, expected)
    assert images["a"].split == "unsplit"


def test_dsb2018_drops_a_nucleus_that_others_hide_and_leaves_no_gap(tmp_path: Path) -> None:
    masks = _dsb2018(tmp_path) / "a" / "masks"
    _save(_rectangle(0, 0, 1, 1), masks / "1b.png")
    assert sorted(np.unique(_read("dsb2018", tmp_path)["a"].instances)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        ((10, 10, 10), "fluorescence"),
        ((220, 220, 220), "brightfield_grey"),
        ((200, 120, 180), "histology_colour"),
    ],
)
def test_modality_by_colour_and_brightness(colour: tuple[int, int, int], expected: str) -> None:
    assert dsb2018.classify_modality(np.full((4, 4, 3), colour, np.uint8)) == expected


def test_monuseg_polygon_covers_the_pixels_between_its_corners(tmp_path: Path) -> None:
    _monuseg(tmp_path)
    images = _read("monuseg", tmp_path)
    assert [(image.name, image.split) for image in images.values()] == [
        ("TCGA-0", "test"),
        ("TCGA-1", "train"),
    ]
    expected = np.zeros((6, 8), int)
    expected[1:4, 2:6] = 1  # Corners (2, 1) and (6, 4) of Aperio enclose columns 2 to 5 and rows 1 to 3.
    np.testing.assert_array_equal(images["TCGA-1"].instances, expected)
    expected[3:6, 5:8] = 2
    np.testing.assert_array_equal(images["TCGA-0"].instances, expected, "a later region lies over an earlier")


def test_monuseg_clips_regions_at_the_border_and_ignores_lines(tmp_path: Path) -> None:
    _monuseg(tmp_path)
    outside, line = _region((-3, -3), (2, -3), (2, 2), (-3, 2)), _region((0, 5), (7, 5))
    (tmp_path / TEST / "TCGA-0.xml").write_text(_aperio(line, outside))
    expected = np.zeros((6, 8), int)
    expected[:2, :2] = 1
    np.testing.assert_array_equal(_read("monuseg", tmp_path)["TCGA-0"].instances, expected)


def test_glas_keeps_the_owners_glands_and_grades(tmp_path: Path) -> None:
    _glas(tmp_path)
    images = _read("glas", tmp_path)
    told = {name: (image.split, image.note) for name, image in images.items()}
    assert told == {
        "testA_1": ("test_a", "malignant"),
        "testB_10": ("test_b", ""),
        "train_2": ("train", "benign"),
    }
    expected = np.zeros((6, 8), int)
    expected[:, 4:6] = 1
    expected[:2, :2] = 2
    np.testing.assert_array_equal(images["train_2"].instances, expected)


def test_glas_does_without_grades(tmp_path: Path) -> None:
    _glas(tmp_path)
    _delete(tmp_path, "Grade.csv")
    assert {image.note for image in _read("glas", tmp_path).values()} == {""}


@pytest.mark.parametrize(
    ("dataset", "gone", "sentence"),
    [
        ("dsb2018", "[12].png", "a.png has no mask: put its masks into"),
        ("monuseg", "TCGA-1.xml", "TCGA-1.tif has no annotation: put TCGA-1.xml beside it."),
        ("glas", "train_2_anno.bmp", "train_2.bmp has no mask: put train_2_anno.bmp beside it."),
    ],
)
def test_an_image_without_its_mask_is_named_before_any_is_read(
    dataset: str, gone: str, sentence: str, tmp_path: Path
) -> None:
    for path in sorted(LAYOUTS[dataset](tmp_path).rglob(gone))[:2]:
        path.unlink()
    with pytest.raises(UserError, match=sentence):
        READERS[dataset](tmp_path)


@pytest.mark.parametrize(("dataset", "mask"), [("dsb2018", "2.png"), ("glas", "train_2_anno.bmp")])
def test_a_mask_of_another_size_is_named_with_both_sizes(dataset: str, mask: str, tmp_path: Path) -> None:
    LAYOUTS[dataset](tmp_path)
    for path in tmp_path.rglob(mask):
        _save(np.ones((4, 4), np.uint8), path)
    with pytest.raises(UserError, match=rf"{mask} is 4x4 pixels but its image .* is 8x6"):
        _read(dataset, tmp_path)


@pytest.mark.parametrize(
    ("dataset", "file", "content"),
    [
        ("dsb2018", "a.png", b"no picture"),
        ("dsb2018", "2.png", b"\x89PNG\r\n\x1a\nbut no more"),
        ("monuseg", "TCGA-0.tif", b""),
        ("monuseg", "TCGA-0.xml", b"<Annotations>"),
        ("monuseg", "TCGA-0.xml", b"<Annotations/>"),
        ("monuseg", "TCGA-0.xml", b'<Region><Vertex X="1"/></Region>'),
        ("monuseg", "TCGA-0.xml", _region((0, 0), (1, 1), (0, "x")).encode()),  # type: ignore[arg-type]
        ("monuseg", "TCGA-0.xml", _region((0, 0), (1, 1), (0, float("nan"))).encode()),
        ("monuseg", "TCGA-0.xml", _region((0, 0), (1, 1), (0, 1e30)).encode()),
        ("monuseg", "TCGA-0.xml", b'<!DOCTYPE a [<!ENTITY b "c">]><Annotations>&b;</Annotations>'),
        ("glas", "train_2.bmp", b"BM"),
        ("glas", "train_2_anno.bmp", b"BM"),
        ("glas", "Grade.csv", b"\xff\xfe\xff"),
    ],
)
def test_a_damaged_file_is_named(dataset: str, file: str, content: bytes, tmp_path: Path) -> None:
    LAYOUTS[dataset](tmp_path)
    next(tmp_path.rglob(file)).write_bytes(content)
    with pytest.raises(UserError, match=rf"{file} cannot be read: get the file again from the owner\.$"):
        _read(dataset, tmp_path)


def test_a_colour_picture_is_no_label_map(tmp_path: Path) -> None:
    _save(RGB, _glas(tmp_path) / "train_2_anno.bmp")
    with pytest.raises(UserError, match=r"train_2_anno\.bmp cannot be read"):
        _read("glas", tmp_path)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_numbers_that_no_label_map_needs_are_refused(dtype: type[np.generic], tmp_path: Path) -> None:
    Image.fromarray(np.full((6, 8), 2**30, dtype)).save(_glas(tmp_path) / "train_2_anno.bmp", format="TIFF")
    with pytest.raises(UserError, match=r"train_2_anno\.bmp cannot be read"):
        _read("glas", tmp_path)


def test_a_16_bit_image_is_refused(tmp_path: Path) -> None:
    _monuseg(tmp_path)
    Image.fromarray(np.zeros((6, 8), np.uint16)).save(tmp_path / TEST / "TCGA-0.tif")
    with pytest.raises(UserError, match=r"TCGA-0\.tif is not an 8-bit image \(uint16\)"):
        _read("monuseg", tmp_path)


@pytest.mark.parametrize("dataset", READERS)
def test_a_source_that_is_not_there_or_empty_is_named(dataset: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"source .*gone does not exist: name the folder or the \.zip"):
        READERS[dataset](tmp_path / "gone")
    with pytest.raises(UserError, match=r"holds no image in the owner's layout"):
        READERS[dataset](tmp_path)


def test_an_image_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    _glas(tmp_path / "one")
    _glas(tmp_path / "two")
    with pytest.raises(UserError, match=r"image testA_1 is in .* twice \(one/.* and two/.*\): name one"):
        READERS["glas"](tmp_path)


def test_a_file_that_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "glas.zip").write_bytes(b"PK but no zip")
    with pytest.raises(UserError, match=r"glas\.zip is neither a folder nor a whole \.zip"):
        READERS["glas"](tmp_path / "glas.zip")


def _link() -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo("train_1.bmp")
    entry.external_attr = 0o120777 << 16
    return entry


@pytest.mark.parametrize(
    "entry",
    ["../train_1.bmp", "a/../../train_1.bmp", "/train_1.bmp", "C:/train_1.bmp", "..\\train_1.bmp", _link()],
)
def test_a_zip_that_leads_out_of_itself_is_refused(entry: str | zipfile.ZipInfo, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "glas.zip", "w") as archive:
        archive.writestr(entry, b"/etc/passwd")
    with pytest.raises(UserError, match=r"a link or a path that leads out of it: get the archive"):
        Source(tmp_path / "glas.zip")


def test_a_damaged_entry_of_a_zip_is_named(tmp_path: Path) -> None:
    _glas(tmp_path / "given")
    archive = _zipped(tmp_path / "given")
    bitmap = (next((tmp_path / "given").rglob("train_2.bmp"))).read_bytes()
    archive.write_bytes(archive.read_bytes().replace(bitmap, bitmap[::-1]))
    with pytest.raises(UserError, match=r"\.bmp cannot be read: get the file again"):
        _read("glas", archive)


def test_a_zip_whose_entries_begin_with_a_dot_is_read(tmp_path: Path) -> None:
    bitmap = _glas(tmp_path) / "train_2.bmp"
    with zipfile.ZipFile(tmp_path / "glas.zip", "w") as archive:
        archive.writestr("./glas/train_2.bmp", bitmap.read_bytes())
    source = Source(tmp_path / "glas.zip")
    np.testing.assert_array_equal(source.rgb(source.files[0]), RGB)


@pytest.mark.real_data
@pytest.mark.parametrize(("dataset", "number"), [("dsb2018", 12), ("monuseg", 5), ("glas", 5)])
def test_the_real_layouts_give_the_canonical_images(dataset: str, number: int, data_root: Path) -> None:
    with (data_root / dataset / "manifest.csv").open() as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    images = _read(dataset, data_root / "official-layout" / dataset)
    assert len(images) == number
    for name, image in images.items():
        assert hashlib.sha256(image.image.tobytes()).hexdigest() == rows[name]["pixels_sha256"], name
        assert image.modality == rows[name]["modality"], name
        canonical = np.asarray(Image.open(data_root / dataset / "instances" / f"{name}.png"))
        np.testing.assert_array_equal(image.instances, canonical, f"instance map of {name}")


@pytest.mark.real_data
def test_the_modality_rule_agrees_on_all_670_images(data_root: Path) -> None:
    with (data_root / "dsb2018" / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    wrong = []
    for row in rows:
        with Image.open(data_root / "dsb2018" / "images" / f"{row['name']}.webp") as picture:
            if dsb2018.classify_modality(np.asarray(picture.convert("RGB"))) != row["modality"]:
                wrong.append(row["name"])
    assert len(rows) == 670
    assert wrong == []
