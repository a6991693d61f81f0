"""What is not there is background: white in bright field, the ground in the dark."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from sac_lightning.data.scene import render_scene
from sac_lightning.images import tiff_pixels
from sac_lightning.images.background import find_background
from sac_lightning.images.open_image import open_image, read_image

HE = render_scene(np.random.default_rng(1), 256, 256, "histology")[0]
GREY = render_scene(np.random.default_rng(4), 256, 256, "fluorescence")[0][:, :, 0].copy()
DEEP = GREY.astype(np.uint16) * 6 + 100
FIELD = np.dstack([GREY, GREY // 2, GREY // 3])
CAMERA = HE.astype(np.uint16) * 16
QUARTER = (slice(0, 128), slice(0, 128))


def rows(path: Path, step: int = 256) -> NDArray[Any]:
    with open_image(path) as slide:
        return np.concatenate([slide.read(top, min(top + step, 256)) for top in range(0, 256, step)])


def lose_pieces(path: Path, pieces: list[int], tags: tuple[int, ...] = (324, 325)) -> None:
    """Say of some tiles that they are not in the file."""
    with tifffile.TiffFile(path) as file:
        found = [file.pages.first.tags[tag] for tag in tags]
    with path.open("r+b") as content:
        for tag in found:
            for piece in pieces:
                size = 2 if tag.dtype == 3 else 4
                content.seek(tag.valueoffset + size * piece)
                content.write(bytes(size))


def darkest(image: NDArray[Any]) -> float:
    return float(np.percentile(image if image.ndim == 2 else image.mean(axis=2), 5))


TILES: dict[str, tuple[NDArray[Any], dict[str, Any], float | None]] = {
    "jpeg": (HE, {"photometric": "rgb", "compression": "jpeg"}, 255),
    "lzw": (HE, {"photometric": "rgb", "compression": "lzw"}, 255),
    "plain": (HE, {"photometric": "rgb"}, 255),
    "planar": (np.moveaxis(HE, 2, 0), {"photometric": "rgb", "planarconfig": "separate"}, 255),
    "camera": (CAMERA, {"photometric": "rgb", "compression": "zlib"}, CAMERA.max()),
    "fluorescence": (DEEP, {"compression": "zlib"}, None),
    "colours_in_the_dark": (FIELD, {"photometric": "rgb", "compression": "zlib"}, None),
    "white_is_zero": (255 - GREY, {"photometric": "miniswhite", "compression": "zlib"}, None),
}


@pytest.mark.parametrize("kind", TILES)
@pytest.mark.parametrize("tags", [(324, 325), (324,), (325,)], ids=["both", "offset", "count"])
@pytest.mark.parametrize("whole", [True, False])
def test_missing_tiles(
    kind: str, tags: tuple[int, ...], whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not whole:
        monkeypatch.setattr(tiff_pixels, "SMALL_PIXELS", 0)
    image, options, expected = TILES[kind]
    for name in ("whole.tif", "sparse.tif"):
        tifffile.imwrite(tmp_path / name, image, tile=(64, 64), metadata=None, **options)
    pieces = [0, 1, 4, 5]
    lose_pieces(
        tmp_path / "sparse.tif",
        [*pieces, *(16 + p for p in pieces), *(32 + p for p in pieces)][: 12 if kind == "planar" else 4],
        tags,
    )
    found, there = rows(tmp_path / "sparse.tif", 37), rows(tmp_path / "whole.tif", 37)
    assert np.ptp(found[QUARTER]) == 0
    if expected is None:
        assert there.min() <= found[0, 0].min() <= darkest(there)
    else:
        assert (found[QUARTER] == expected).all()
    found[QUARTER] = there[QUARTER]
    assert np.array_equal(found, there)


def test_an_empty_slide_is_white(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", HE, tile=(64, 64), photometric="rgb", compression="lzw", metadata=None)
    lose_pieces(tmp_path / "a.tif", list(range(16)))
    assert (rows(tmp_path / "a.tif") == 255).all()


def with_alpha(image: NDArray[Any]) -> NDArray[Any]:
    """The quarter is transparent, and black."""
    top = np.iinfo(image.dtype).max
    stacked = np.dstack([image, np.full(image.shape[:2], top, image.dtype)])
    stacked[QUARTER] = 0
    return stacked


ALPHA = {
    "he.png": (HE, 255),
    "field.png": (FIELD, None),
    "he.webp": (HE, 255),
    "he.tif": (HE, 255),
    "premultiplied.tif": (HE, 255),
    "grey.png": (GREY, None),
    "grey.tif": (GREY, None),
    "camera.tif": (CAMERA, CAMERA.max()),
}


@pytest.mark.parametrize("name", ALPHA)
@pytest.mark.parametrize("step", [256, 37])
def test_transparent_pixels(name: str, step: int, tmp_path: Path) -> None:
    image, expected = ALPHA[name]
    path, stacked = tmp_path / name, with_alpha(image)
    if path.suffix == ".tif":
        tifffile.imwrite(
            path,
            stacked,
            photometric="rgb" if image.ndim == 3 else "minisblack",
            planarconfig="contig",
            extrasamples=["assocalpha" if "premultiplied" in name else "unassalpha"],
            metadata=None,
        )
    else:
        Image.fromarray(stacked).save(path, **({"lossless": True} if path.suffix == ".webp" else {}))
    found = rows(path, step)
    if expected is None:
        assert image[128:].min() <= found[0, 0].min() <= darkest(image)
    else:
        assert (found[QUARTER] == expected).all()
    assert np.array_equal(found[128:], image[128:])
    assert np.array_equal(found, rows(path))


def test_training_sees_white_where_nothing_is(tmp_path: Path) -> None:
    Image.fromarray(with_alpha(HE)).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png")[QUARTER] == 255).all()


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_an_alpha_that_was_never_filled_in_hides_nothing(name: str, tmp_path: Path) -> None:
    Image.fromarray(np.dstack([HE, np.zeros((256, 256), np.uint8)])).save(tmp_path / name)
    assert np.array_equal(rows(tmp_path / name, 37), HE)


def test_a_colour_that_is_transparent(tmp_path: Path) -> None:
    image = np.maximum(HE, 1)
    image[QUARTER] = 0
    Image.fromarray(image).save(tmp_path / "a.png", transparency=(0, 0, 0))
    found = rows(tmp_path / "a.png")
    assert (found[QUARTER] == 255).all()
    assert np.array_equal(found[128:], image[128:])


@pytest.mark.parametrize(("image", "expected"), [(HE, 255), (DEEP, None)], ids=["he", "grey"])
@pytest.mark.parametrize("step", [256, 37])
def test_the_number_that_stands_for_nothing_in_a_mosaic(
    image: NDArray[Any], expected: float | None, step: int, tmp_path: Path
) -> None:
    empty = np.maximum(image, 1)
    empty[QUARTER] = 0
    photometric = "rgb" if image.ndim == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", empty, photometric=photometric, extratags=[(42113, 2, 2, "0", True)])
    found = rows(tmp_path / "a.tif", step)
    assert np.ptp(found[QUARTER]) == 0
    assert found[0, 0].min() == 255 if expected else DEEP.min() <= found[0, 0] <= darkest(DEEP)
    assert np.array_equal(found[128:], empty[128:])


@pytest.mark.parametrize("strength", [1, 0.7, 0.5, 0.3])
def test_missing_tiles_among_dark_tissue_are_white(strength: float, tmp_path: Path) -> None:
    dark = (HE * strength).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", dark, photometric="rgb", tile=(128, 128), compression="zlib")
    lose_pieces(tmp_path / "a.tif", [0])
    assert (rows(tmp_path / "a.tif")[QUARTER] == 255).all()


@pytest.mark.parametrize(("ground", "signal", "deviation"), [(1000, 60, 3), (30_000, 2000, 60)])
def test_missing_tiles_of_a_field_on_a_high_ground_are_ground(
    ground: float, signal: float, deviation: float, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).normal(ground, deviation, GREY.shape)
    field = (noise + GREY / 255 * signal).round().astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", field, tile=(128, 128), compression="zlib")
    lose_pieces(tmp_path / "a.tif", [0])
    assert np.abs(rows(tmp_path / "a.tif")[QUARTER].astype(float) - ground).max() < 3 * deviation


def test_colours_of_lights_on_a_ground_are_dark() -> None:
    lights = np.stack([np.roll(GREY, 90, axis=0), np.roll(GREY, 70, axis=1), GREY], axis=2).reshape(-1, 3)
    for field in (lights, lights // 2 + 40, np.repeat(GREY.reshape(-1, 1), 3, axis=1)):
        assert find_background(field.astype(np.uint8)) < 60


def test_a_number_that_is_transparent_in_grey_of_16_bits(tmp_path: Path) -> None:
    image = np.maximum(CAMERA[:, :, 0], 1)
    expected = image.copy()
    image[QUARTER], expected[QUARTER] = 0, image.max()
    write_transparent(tmp_path / "a.png", image, struct.pack(">H", 0))
    assert np.array_equal(rows(tmp_path / "a.png"), expected)
    assert (read_image(tmp_path / "a.png")[QUARTER] > 200).all()


def write_transparent(path: Path, image: NDArray[Any], number: bytes) -> None:
    """Write a PNG with a chunk that says which number is transparent, which libraries do not write for 16 bits."""
    Image.fromarray(image).save(path)
    content = path.read_bytes()
    start = content.index(b"IDAT") - 4
    chunk = struct.pack(">I", len(number)) + b"tRNS" + number + struct.pack(">I", zlib.crc32(b"tRNS" + number))
    path.write_bytes(content[:start] + chunk + content[start:])


def test_alpha_beside_grey_of_which_0_is_white(tmp_path: Path) -> None:
    grey = HE[:, :, 1].copy()
    stacked = with_alpha(grey)
    stacked[:, :, 0] = 255 - stacked[:, :, 0]
    options = {"photometric": "miniswhite", "planarconfig": "contig", "extrasamples": ["unassalpha"]}
    tifffile.imwrite(tmp_path / "a.tif", stacked, metadata=None, **options)  # type: ignore[arg-type] # a union
    found = rows(tmp_path / "a.tif", 37)
    assert (found[QUARTER] == 255).all()
    assert np.array_equal(found[128:], grey[128:])


def test_alpha_of_12_bits_that_colours_were_multiplied_by(tmp_path: Path) -> None:
    stacked = np.dstack([CAMERA, np.full(CAMERA.shape[:2], 4095, np.uint16)])
    stacked[QUARTER] = 0
    tifffile.imwrite(tmp_path / "a.tif", stacked, photometric="rgb", extrasamples=["assocalpha"])
    found = rows(tmp_path / "a.tif", 37)
    assert (found[QUARTER] > 0.9 * CAMERA.max()).all()
    assert found.max() <= CAMERA.max()
    assert np.array_equal(found[128:], CAMERA[128:])
