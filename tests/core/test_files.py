"""Files and folders that are there whole or not at all."""

from pathlib import Path

import pytest

from sac_lightning.core.files import whole_file, whole_folder


def test_a_file_appears_when_the_block_ends_well(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with whole_file(path) as partial:
        partial.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def write_half(path: Path) -> None:
    path.write_text("ne")
    raise InterruptedError


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(InterruptedError), whole_file(path) as partial:
        write_half(partial)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_at_once_do_not_write_into_each_other(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with whole_file(path) as slow:
        slow.write_text("the first")
        with whole_file(path) as quick:
            quick.write_text("the second")
        assert path.read_text() == "the second"
    assert path.read_text() == "the first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_when_the_block_ends_well(tmp_path: Path) -> None:
    path = tmp_path / "above" / "a"
    with whole_folder(path) as partial:
        (partial / "b.txt").write_text("new")
        assert not path.exists()
    assert (path / "b.txt").read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InterruptedError), whole_folder(tmp_path / "a") as partial:
        write_half(partial / "b.txt")
    assert not list(tmp_path.iterdir())


def test_a_folder_replaces_the_one_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_other(path)
    with whole_folder(path, replace=True) as partial:
        (partial / "b.txt").write_text("new")
        assert (path / "mine.txt").exists()
    assert [each.name for each in tmp_path.rglob("*")] == ["a", "b.txt"]
    with pytest.raises(InterruptedError), whole_folder(path, replace=True) as partial:
        write_half(partial / "c.txt")
    assert [each.name for each in tmp_path.rglob("*")] == ["a", "b.txt"]


def write_other(path: Path) -> None:
    path.mkdir()
    (path / "mine.txt").write_text("old")


def test_a_folder_that_is_there_by_then_stays(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with pytest.raises(OSError, match="not empty"), whole_folder(path):
        write_other(path)
    assert [each.name for each in tmp_path.rglob("*")] == ["a", "mine.txt"]
