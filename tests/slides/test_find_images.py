"""Which images a path names: a file, a folder, a pattern (further cases: test_predict.py)."""

from pathlib import Path

import pytest

from sac_lightning.core.errors import UserError
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
    assert [path.name for path in find_images(str(scans / pattern))] == found


@pytest.mark.parametrize("pattern", ["none", "none/*.tif", "y/*.txt", "x/none.png"])
def test_what_names_no_image_is_told(pattern: str, scans: Path) -> None:
    with pytest.raises(UserError, match=r"does not exist|holds no image"):
        find_images(str(scans / pattern))


def test_images_of_one_name_in_several_folders_are_told(scans: Path) -> None:
    (scans / "y" / "a2.png").touch()
    with pytest.raises(UserError, match="would write the same result"):
        find_images(str(scans / "*" / "a*"))
