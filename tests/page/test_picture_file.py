"""Uploads: what is too large is refused before it is decoded, and nothing of the server is told."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from sac_lightning.core.errors import UserError
from sac_lightning.inference.predictor import Nuclei
from sac_lightning.page import picture_file
from sac_lightning.page.picture_file import MAX_BYTES, MAX_SIDE, read_upload, samples
from sac_lightning.page.words import summary


def pixels(height: int = 40, width: int = 50) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("ending", ["png", "webp", "bmp", "tif", "TIFF"])
def test_pictures_of_every_kind_are_read(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a slide.{ending}"
    Image.fromarray(pixels()).save(path, lossless=True)
    picture = read_upload(path)
    assert picture.name == "a slide"
    assert np.array_equal(picture.rgb, pixels())


def test_sixteen_bits_are_seen_in_eight_and_measured_in_their_own(tmp_path: Path) -> None:
    raw = np.arange(40 * 50, dtype=np.uint16).reshape(40, 50) * 20
    tifffile.imwrite(tmp_path / "a.tif", raw, resolution=(20000, 20000), resolutionunit="CENTIMETER")
    picture = read_upload(tmp_path / "a.tif")
    assert np.array_equal(picture.raw, raw)
    assert picture.rgb.shape == (40, 50, 3)
    assert picture.micrometres == pytest.approx((0.5, 0.5))


def png_that_claims(width: int, height: int) -> bytes:
    """The header of a PNG and nothing behind it: whoever decodes it fails otherwise."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    checked = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + checked + struct.pack(">I", 9) + b"IDAT"


@pytest.mark.parametrize("size", [(MAX_SIDE + 1, 10), (10, MAX_SIDE + 1), (10_000, 10_000), (100_000, 100_000)])
def test_what_claims_too_many_pixels_is_refused_by_its_header(size: tuple[int, int], tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_that_claims(*size))
    with pytest.raises(UserError, match=r"a\.png .*4,096"):
        read_upload(tmp_path / "a.png")


def test_a_large_tiff_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "a.tif", shape=(MAX_SIDE + 1, MAX_SIDE + 1), dtype="uint8", tile=(256, 256))
    monkeypatch.setattr(tifffile.TiffPage, "asarray", None)
    with pytest.raises(UserError, match=r"4,097 x 4,097 pixels, more than 4,096 a side"):
        read_upload(tmp_path / "a.tif")


def test_a_large_file_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(UserError, match="64 MB"):
        read_upload(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.png", b"GIF89a"),
        ("a.png", b""),
        ("a.jpg", b"<html>"),
        ("a.tif", b"II*\0" + bytes(50)),
        ("a.svg", b"<svg/>"),
        ("a.png.exe", b"MZ"),
        ("a", b"x"),
    ],
)
def test_what_is_no_picture_is_refused_with_a_sentence(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as refused:
        read_upload(tmp_path / name)
    assert str(refused.value).startswith(name)
    assert str(tmp_path) not in str(refused.value), "where files lie is nobody's business"


def test_a_picture_of_a_few_pixels_is_refused(tmp_path: Path) -> None:
    Image.fromarray(pixels(8, 50)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="only 50 x 8"):
        read_upload(tmp_path / "a.png")


def test_samples_are_drawn_the_same_every_time() -> None:
    first, again = ({name: make() for name, make in samples().items()} for _ in range(2))
    assert len({picture.key for picture in first.values()}) == len(first) >= 2
    assert {name: picture.key for name, picture in first.items()} == {n: p.key for n, p in again.items()}


def test_a_photograph_that_is_not_there_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_file, "_immunohistochemistry_file", lambda: tmp_path / "none.png")
    assert len(samples()) == 2


def test_what_was_taken_of_a_file_with_several_planes_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((3, 32, 32), np.uint8), metadata=None, photometric="minisblack")
    picture = read_upload(path)
    assert picture.note == "page 1 of 3"
    nothing = np.zeros((32, 32))
    nuclei = Nuclei(
        nothing.astype(bool),
        nothing.astype(np.float32),
        np.zeros((0, 2), np.float32),
        np.zeros(0, np.int64),
        nothing.astype(np.int32),
    )
    assert "Taken: page 1 of 3 of the file." in summary(picture, nuclei, is_empty=False)


def test_a_kind_of_file_that_needs_an_extra_or_its_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sac_lightning.images.formats.find_spec", lambda name: None)
    for name, told in (("a.czi", "pip install"), ("a.vsi", "Olympus"), ("a.txt", "no image of a kind")):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(UserError, match=told) as refused:
            read_upload(tmp_path / name)
        assert str(tmp_path) not in str(refused.value)
