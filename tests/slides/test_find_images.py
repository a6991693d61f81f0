"""Which images a path names: a file, a folder, a pattern (further cases: test_predict.py)."""

import os
from pathlib import Path

import pytest
from PIL import Image
from tests.images.extra_layouts import dicom
from tests.images.layouts import IMAGE, hamamatsu_vms

from sac_lightning.core.errors import UserError
from sac_lightning.images.formats import is_installed
from sac_lightning.slides.find_images import find_images


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Two folders with images and other files."""
    for name in ("x/a1.tif", "x/a2.png", "y/b1.svs", "y/z/c1.tif", "y/a1.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "x" / "folder.png").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("x", ["a1.tif", "a2.png"]),
        ("x/*", ["a1.tif", "a2.png"]),
        ("*/?1.*", ["a1.tif", "b1.svs"]),
        ("**/*.tif", ["a1.tif", "c1.tif"]),
        ("y/a1.txt", ["a1.txt"]),
        ("y", ["b1.svs"]),
    ],
)
def test_files_folders_and_patterns(pattern: str, found: list[str], scans: Path) -> None:
    assert [path.name for path in find_images(str(scans / pattern)).images] == found


@pytest.mark.parametrize("pattern", ["none", "none/*.tif", "y/*.txt", "x/none.png"])
def test_what_names_no_image_is_told(pattern: str, scans: Path) -> None:
    with pytest.raises(UserError, match=r"does not exist|holds no image"):
        find_images(str(scans / pattern))


def test_images_of_one_name_are_told_and_the_others_found(scans: Path) -> None:
    (scans / "y" / "a2.png").touch()
    (scans / "y" / "a3.png").touch()
    found = find_images(str(scans / "*" / "a*"))
    assert [path.name for path in found.images] == ["a1.tif", "a3.png"]
    assert len(found.refused) == 1
    assert found.refused[0].endswith("a2.png would write the same result: rename one of them")


def test_what_is_passed_over_is_told_with_the_reason(scans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sac_lightning.images.formats.find_spec", lambda name: None)
    for name in ("s.mrxs", "t.VSI", "notes.txt", "README", "._a1.tif", ".DS_Store", "u.ndpi"):
        (scans / "x" / name).touch()
    found = find_images(str(scans / "x"))
    assert [path.name for path in found.images] == ["a1.tif", "a2.png", "u.ndpi"]
    assert found.passed_over == [
        "passed over: 1 .mrxs (it is read by openslide: pip install 'sac-lightning[slides]'), 1 .txt, 1 .vsi "
        "(Olympus keeps the slide in the folder beside it: export it as OME-TIFF), 1 no ending, 1 .png (folders)"
    ]


def test_what_is_read_by_an_extra_is_found_where_that_is_installed(
    scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sac_lightning.images.formats.find_spec", lambda name: object())
    (scans / "x" / "s.mrxs").touch()
    assert [path.name for path in find_images(str(scans / "x")).images] == ["a1.tif", "a2.png", "s.mrxs"]


def test_a_folder_that_is_one_image(scans: Path) -> None:
    (scans / "x" / "c.ome.zarr" / "0").mkdir(parents=True)
    (scans / "x" / "c.ome.zarr" / "0" / "0.png").touch()
    for named in ("x", "x/*", "x/**/*"):
        assert [path.name for path in find_images(str(scans / named)).images] == ["a1.tif", "a2.png", "c.ome.zarr"]
    assert find_images(str(scans / "x" / "c.ome.zarr")).images == [scans / "x" / "c.ome.zarr"]


def test_what_is_no_file_is_left_to_the_reader_that_tells_it(scans: Path) -> None:
    (scans / "x" / "link.tif").symlink_to(scans / "none.tif")
    os.mkfifo(scans / "x" / "pipe.tif")
    found = find_images(str(scans / "x"))
    assert [path.name for path in found.images] == ["a1.tif", "a2.png", "link.tif", "pipe.tif"]
    assert found.passed_over == ["passed over: 1 .png (folders)"]


def test_a_folder_that_cannot_be_opened_is_told(scans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(UserError, match=r"cannot be opened \(Permission denied\)"):
        find_images(str(scans / "x"))


def test_parts_of_slides_are_no_images(tmp_path: Path) -> None:
    hamamatsu_vms(tmp_path / "a.vms")
    Image.fromarray(IMAGE[:64, :64]).save(tmp_path / "other.jpg")
    found = find_images(str(tmp_path))
    there = ["a.vms", "other.jpg"] if is_installed(".vms") else ["other.jpg"]
    assert [path.name for path in found.images] == there
    assert "3 .jpg (parts of slides beside them)" in found.passed_over[0]


@pytest.mark.needs("wsidicom")
def test_a_dicom_slide_is_one_image(tmp_path: Path) -> None:
    dicom(tmp_path)
    dicom(tmp_path, series="2")
    dicom(tmp_path / "slide")
    (tmp_path / "broken.dcm").touch()
    found = find_images(str(tmp_path))
    assert [path.name for path in found.images] == ["1_full.dcm", "2_full.dcm", "broken.dcm", "slide"]
    assert found.passed_over == ["passed over: 6 .dcm (parts of slides beside them)"]
    # Within a folder that is named, files are searched for; within one beside other images, they are one.
    assert [path.name for path in find_images(str(tmp_path / "slide")).images] == ["1_full.dcm"]
    assert find_images(str(tmp_path / "**" / "*")).images == [
        *(tmp_path / name for name in ("1_full.dcm", "2_full.dcm", "broken.dcm", "slide"))
    ]
