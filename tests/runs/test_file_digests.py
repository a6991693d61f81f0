"""Digests of files: exact, remembered, and never of a file as it was before."""

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sac_lightning.core.files import cache_folder
from sac_lightning.runs import file_digests
from sac_lightning.runs.file_digests import MOMENT, digest_file, digest_files


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache for digests."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SAC_CACHE", str(folder))
    return folder


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock by which every file was written long ago."""
    monkeypatch.setattr(time, "time_ns", lambda ours=time.time_ns: ours() + 2 * MOMENT)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read."""
    read: list[str] = []
    original: Callable[[Path], object] = file_digests._digest_now
    monkeypatch.setattr(file_digests, "_digest_now", lambda path: (read.append(path.name), original(path))[1])
    return read


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_digest_is_of_the_bytes_in_the_order_of_the_files(cache: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "link").symlink_to("a")
    found = digest_files([tmp_path / name for name in ("b", "link", "a")])
    assert found == [sha256(b"b"), sha256(b"a"), sha256(b"a")]


@pytest.mark.usefixtures("cache", "later")
def test_a_file_is_read_once(tmp_path: Path, reads: list[str]) -> None:
    (tmp_path / "a").write_bytes(b"a")
    assert [digest_file(tmp_path / "a") for _ in range(3)] == [sha256(b"a")] * 3
    assert reads == ["a"]


@pytest.mark.usefixtures("later")
def test_without_a_cache_every_file_is_read_every_time(
    tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAC_CACHE", "")
    (tmp_path / "a").write_bytes(b"a")
    assert {digest_file(tmp_path / "a") for _ in range(2)} == {sha256(b"a")}
    assert reads == ["a", "a"]


@pytest.mark.usefixtures("cache")
def test_a_file_that_was_just_written_is_not_remembered(tmp_path: Path) -> None:
    """By a coarse clock it could change once more and look the same."""
    file = tmp_path / "a"
    file.write_bytes(b"a")
    times = file.stat().st_atime_ns, file.stat().st_mtime_ns
    assert digest_file(file) == sha256(b"a")
    file.write_bytes(b"b")
    os.utime(file, ns=times)
    assert digest_file(file) == sha256(b"b")


@pytest.mark.usefixtures("cache", "later")
def test_a_change_shows_even_where_size_and_time_of_the_file_are_put_back(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"a")
    times = file.stat().st_atime_ns, file.stat().st_mtime_ns
    digest_file(file)
    time.sleep(0.02)  # Longer than a tick of the system's clock.
    file.write_bytes(b"b")
    os.utime(file, ns=times)
    assert digest_file(file) == sha256(b"b")
    (tmp_path / "c").write_bytes(b"c")
    os.utime(tmp_path / "c", ns=times)
    os.replace(tmp_path / "c", file)
    assert digest_file(file) == sha256(b"c")


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b'{"a": 1}', b'{"a": [1, 2, 3, 4, 5]}', b"\xff"])
def test_a_spoilt_cache_is_none(content: bytes, cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "folder" / "a"
    file.parent.mkdir()
    file.write_bytes(b"a")
    digest_file(file)
    (kept,) = (cache / "digests").iterdir()
    kept.write_bytes(content)
    assert digest_file(file) == sha256(b"a")
    assert list(json.loads(kept.read_bytes())) == ["a"], "it is whole again"


@pytest.mark.usefixtures("later")
def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"a")
    monkeypatch.setenv("SAC_CACHE", str(tmp_path / "a" / "below a file"))
    assert [digest_file(tmp_path / "a") for _ in range(2)] == [sha256(b"a")] * 2


@pytest.mark.usefixtures("later")
def test_what_is_gone_is_forgotten_and_what_another_process_knows_is_kept(cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / name).write_bytes(name.encode())
    digest_files([folder / "a", folder / "b"])
    (folder / "a").unlink()
    digest_file(folder / "c")
    (kept,) = (cache / "digests").iterdir()
    assert set(json.loads(kept.read_bytes())) == {"b", "c"}


def test_the_cache_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "sac_lightning"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "sac_lightning"
    monkeypatch.setenv("SAC_CACHE", "")
    assert cache_folder() is None
