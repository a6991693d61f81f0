"""Image files of every kind: the pixels that were saved, and a sentence where there are none."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from sac_lightning.core.errors import UserError
from sac_lightning.images import tiff_pixels
from sac_lightning.images.open_image import open_image, read_image
from sac_lightning.images.selection import Selection
from sac_lightning.images.tone import tone_of

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (150, 210, 3), dtype=np.uint8)
GREY = RGB[:, :, 0].copy()
DEEP = RNG.integers(300, 4000, (150, 210), dtype=np.uint16)
DEEP_RGB = RNG.integers(300, 60_000, (150, 210, 3), dtype=np.uint16)


def pixels(path: Path, page: int | None = None) -> NDArray[Any]:
    """All rows in the file's own numbers, read in pieces that fit no tile."""
    with open_image(path, Selection(page=page)) as slide:
        rows = [slide.read(top, min(top + 37, slide.height)) for top in range(0, slide.height, 37)]
        assert slide.read(0, 0).shape[1:] == rows[0].shape[1:]
    return np.concatenate(rows)


def seen(path: Path) -> NDArray[np.uint8]:
    """As a model sees it without a stretch."""
    with open_image(path) as slide:
        return tone_of(slide, stretch=False).rgb(slide.read(0, slide.height))


def pyramid(path: Path, subifds: bool) -> None:
    options: dict[str, Any] = {"tile": (64, 64), "compression": "zlib", "photometric": "rgb", "metadata": None}
    with tifffile.TiffWriter(path, ome=False) as writer:
        writer.write(RGB, subifds=2 if subifds else 0, **options)
        for step in (2, 4):
            writer.write(RGB[::step, ::step], subfiletype=1, **options)


def of(image: NDArray[Any], **options: Any) -> Callable[[Path], None]:
    return lambda path: tifffile.imwrite(path, image, **options)


KINDS: dict[str, tuple[Callable[[Path], object], NDArray[Any]]] = {
    "plain": (of(RGB, photometric="rgb"), RGB),
    "grey": (of(GREY), GREY),
    "rgba": (of(np.dstack([RGB, GREY | 1]), photometric="rgb", extrasamples=["unassalpha"]), RGB),
    "grey_alpha": (of(np.dstack([GREY, GREY | 1]), photometric="minisblack", extrasamples=["unassalpha"]), GREY),
    "16_bit": (of(DEEP), DEEP),
    "16_bit_rgb": (of(DEEP_RGB, photometric="rgb"), DEEP_RGB),
    "16_bit_tiled": (of(DEEP, tile=(32, 48), compression="zlib", predictor=True), DEEP),
    "big_endian": (of(DEEP, byteorder=">"), DEEP),
    "white_is_zero": (of(GREY, photometric="miniswhite"), 255 - GREY),
    "float": (of(DEEP.astype(np.float32) / 7), DEEP.astype(np.float32) / 7),
    "striped": (of(RGB, photometric="rgb", compression="lzw", rowsperstrip=11), RGB),
    "one_strip": (of(RGB, photometric="rgb", compression="zlib", rowsperstrip=150), RGB),
    "planar": (of(np.moveaxis(RGB, 2, 0), photometric="rgb", planarconfig="separate"), RGB),
    "planar_tiled": (
        of(np.moveaxis(RGB, 2, 0), photometric="rgb", planarconfig="separate", tile=(64, 64), compression="zlib"),
        RGB,
    ),
    "tiled": (of(RGB, photometric="rgb", tile=(64, 32), compression="zstd"), RGB),
    "jpeg2000": (of(RGB, photometric="rgb", tile=(64, 64), compression="jpeg2000"), RGB),
    "bigtiff": (of(RGB, photometric="rgb", bigtiff=True), RGB),
    "pyramid": (lambda path: pyramid(path, subifds=True), RGB),
    "flat_pyramid": (lambda path: pyramid(path, subifds=False), RGB),
    "pages": (of(np.stack([RGB, RGB[::-1]]), photometric="rgb"), RGB),
    "imagej": (of(np.stack([DEEP, DEEP[::-1]]), imagej=True, metadata={"axes": "CYX"}), DEEP),
    "ome": (
        of(np.stack([DEEP, DEEP[::-1]]), ome=True, tile=(64, 64), compression="zlib", metadata={"axes": "CYX"}),
        DEEP,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("whole", [True, False])
def test_a_tiff_of_any_kind(kind: str, whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not whole:
        monkeypatch.setattr(tiff_pixels, "SMALL_PIXELS", 0)
    write, expected = KINDS[kind]
    path = tmp_path / f"{kind}.tif"
    write(path)
    found = pixels(path)
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    "write",
    [
        lambda path, image: Image.fromarray(image).save(path, compression="jpeg", quality=95),
        lambda path, image: tifffile.imwrite(path, image, photometric="rgb", tile=(64, 64), compression="jpeg"),
    ],
    ids=["strips", "tiles"],
)
def test_a_tiff_of_jpeg_has_its_colours(
    write: Callable[[Path, NDArray[Any]], object], whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not whole:
        monkeypatch.setattr(tiff_pixels, "SMALL_PIXELS", 0)
    smooth = np.stack(np.broadcast_arrays(np.arange(210), np.arange(150)[:, None], 90), axis=2).astype(np.uint8)
    write(tmp_path / "jpeg.tif", smooth)
    assert np.abs(pixels(tmp_path / "jpeg.tif").astype(int) - smooth).mean() < 2
    assert np.abs(pixels(tmp_path / "jpeg.tif").astype(int) - read_image(tmp_path / "jpeg.tif")).max() < 3


@pytest.mark.parametrize("kind", ["pages", "imagej", "ome"])
def test_another_page_is_asked_for_by_its_number(kind: str, tmp_path: Path) -> None:
    write, expected = KINDS[kind]
    path = tmp_path / "a.tif"
    write(path)
    assert np.array_equal(pixels(path, page=2), expected[::-1])
    for page in (0, 3):
        with pytest.raises(UserError, match=f"a.tif has 2 pages, no page {page}"):
            pixels(path, page)


FORMATS = {
    "rgb.png": Image.fromarray(RGB),
    "grey.png": Image.fromarray(GREY),
    "rgba.png": Image.fromarray(np.dstack([RGB, GREY])),
    "grey_alpha.png": Image.fromarray(RGB[:, :, :2]),
    "palette.png": Image.fromarray(RGB).quantize(16),
    "16_bit.png": Image.fromarray(DEEP),
    "black_and_white.png": Image.fromarray(GREY).convert("1"),
    "rgb.jpg": Image.fromarray(RGB),
    "cmyk.jpg": Image.fromarray(RGB).convert("CMYK"),
    "rgb.webp": Image.fromarray(RGB),
    "rgb.bmp": Image.fromarray(RGB),
    "palette.tif": Image.fromarray(RGB).quantize(16),
    "cmyk.tif": Image.fromarray(RGB).convert("CMYK"),
    "black_and_white.tif": Image.fromarray(GREY).convert("1"),
    "grey.tif": Image.fromarray(GREY),
    "rgba.tif": Image.fromarray(np.dstack([RGB, GREY])),
    "16_bit.tif": Image.fromarray(DEEP),
    "float.tif": Image.fromarray(DEEP.astype(np.float32)),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_model_sees_what_it_would_see_in_training(name: str, tmp_path: Path) -> None:
    FORMATS[name].save(tmp_path / name)
    assert np.array_equal(seen(tmp_path / name), read_image(tmp_path / name))


def test_a_palette_with_transparency_has_no_warning(tmp_path: Path) -> None:
    FORMATS["palette.png"].save(tmp_path / "a.png", transparency=b"\0\1")
    assert np.array_equal(seen(tmp_path / "a.png"), read_image(tmp_path / "a.png"))


def test_numbers_that_are_infinite_are_refused(tmp_path: Path) -> None:
    image = np.ones((5, 5), np.float32)
    image[2, 2] = np.inf
    tifffile.imwrite(tmp_path / "a.tif", image)
    with pytest.raises(UserError, match="infinite"):
        seen(tmp_path / "a.tif")


# What cannot be read


@pytest.mark.parametrize(
    "content", [b"", b"no picture", b"II*\0", b"II*\0" + bytes(300), b"\x89PNG\r\n\x1a\n", b"MM\0+"]
)
def test_what_is_no_image_is_told_with_its_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.tif cannot be read as an image"):
        pixels(tmp_path / "a.tif")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_file_that_breaks_off_is_told_or_read_as_far(kind: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / f"{kind}.tif"
    KINDS[kind][0](path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    told = ""
    try:
        shape = pixels(path).shape[:2]
    except UserError as error:
        shape, told = None, str(error)
    assert shape == (150, 210) or kind in told
    assert "\n" not in told


def test_a_folder_and_nothing_are_told(tmp_path: Path) -> None:
    (tmp_path / "link.png").symlink_to(tmp_path / "none.png")
    os.mkfifo(tmp_path / "pipe.png")
    told = {".": "a folder", "none.png": "not there", "link.png": "a link to", "pipe.png": "a pipe"}
    for name, what in told.items():
        with pytest.raises(UserError, match=what):
            pixels(tmp_path / name)


def test_a_png_that_claims_too_much_is_refused_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    Image.new("1", (8, 8)).save(path)
    content = bytearray(path.read_bytes())
    content[16:24] = (13_000).to_bytes(4, "big") + (12_000).to_bytes(4, "big")
    import zlib

    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"156,000,000 pixels .* tiled TIFF"):
        pixels(path)


def claiming(path: Path, width: int, height: int, rows_per_strip: int | None = None) -> Path:
    """A small compressed TIFF whose header says it is large."""
    tifffile.imwrite(path, GREY, compression="zlib", rowsperstrip=150)
    with tifffile.TiffFile(path, mode="r+") as file:
        tags = file.pages.first.tags
        tags["ImageWidth"].overwrite(width)
        tags["ImageLength"].overwrite(height)
        tags["RowsPerStrip"].overwrite(rows_per_strip or height)
    return path


@pytest.mark.parametrize(
    ("size", "told"),
    [
        ((40_000, 40_000), r"claims 1,600,000,000 bytes of pixels in a file of"),
        ((300_000, 500), "more than a slide has"),
        ((260_000, 260_000), "more than a slide has"),
    ],
)
def test_a_tiff_that_claims_too_much_is_refused_by_its_header(
    size: tuple[int, int], told: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=told):
        pixels(claiming(tmp_path / "bomb.tif", *size))


def test_a_tiff_of_one_huge_piece_is_refused(tmp_path: Path) -> None:
    path = claiming(tmp_path / "bomb.tif", 15_000, 10_000)
    with path.open("ab") as file:
        file.write(bytes(100_000))
    with pytest.raises(UserError, match=r"150,000,000 pixels .* save it as a tiled TIFF"):
        pixels(path)


def test_a_volume_is_told(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((16, 32, 32), np.uint8), tile=(16, 16, 16), volumetric=True)
    with pytest.raises(UserError, match="not a flat image"):
        pixels(tmp_path / "a.tif")
