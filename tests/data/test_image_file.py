"""Image files of every kind become 8-bit RGB or label maps; any other file raises an error of one sentence."""

import os
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from sac_lightning.core.errors import UserError
from sac_lightning.data.image_file import read_instances, write_image
from sac_lightning.data.scene import render_scene
from sac_lightning.images.formats import IMAGE_ENDINGS
from sac_lightning.images.open_image import read_image

HEIGHT, WIDTH = 9, 14
RGB = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
GREY = RGB[..., 0]
DEEP = GREY.astype(np.uint16) * 257 // 4 + 1000
LOSSLESS = (".png", ".tif", ".tiff", ".bmp")


def save(path: Path, image: Image.Image, **arguments: object) -> Path:
    image.save(path, **arguments)  # type: ignore[arg-type]
    return path


def assert_is_rgb(image: np.ndarray, size: tuple[int, int] = (HEIGHT, WIDTH)) -> None:
    assert image.dtype == np.uint8
    assert image.shape == (*size, 3)
    assert image.flags.writeable, "torch.from_numpy warns otherwise"


def refusal(path: Path, read: object = read_image) -> str:
    with pytest.raises(UserError) as refused:
        read(path)  # type: ignore[operator]
    sentence = str(refused.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    return sentence


# Images


@pytest.mark.parametrize("ending", IMAGE_ENDINGS)
def test_every_ending_can_be_read(ending: str, tmp_path: Path) -> None:
    lossless = {"lossless": True} if ending == ".webp" else {}
    image = read_image(save(tmp_path / f"image{ending}", Image.fromarray(RGB), **lossless))
    assert_is_rgb(image)
    if ending not in (".jpg", ".jpeg"):
        assert np.array_equal(image, RGB)


@pytest.mark.parametrize("ending", LOSSLESS)
def test_grey_becomes_three_equal_channels(ending: str, tmp_path: Path) -> None:
    image = read_image(save(tmp_path / f"grey{ending}", Image.fromarray(GREY)))
    assert_is_rgb(image)
    assert all(np.array_equal(image[..., channel], GREY) for channel in range(3))


def test_alpha_is_dropped_and_not_blended(tmp_path: Path) -> None:
    alpha = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 1), dtype=np.uint8)
    image = read_image(save(tmp_path / "rgba.png", Image.fromarray(np.concatenate([RGB, alpha], axis=2))))
    assert_is_rgb(image)
    assert np.array_equal(image, RGB)
    grey = np.concatenate([GREY[..., None], alpha], axis=2)
    assert np.array_equal(read_image(save(tmp_path / "la.png", Image.fromarray(grey)))[..., 1], GREY)


@pytest.mark.parametrize("transparency", [None, 3, bytes([0, 128, 255] * 5)], ids=["none", "index", "bytes"])
def test_a_palette_is_resolved(transparency: object, tmp_path: Path) -> None:
    palette = Image.fromarray(RGB).quantize(16)
    expected = np.array(palette.convert("RGB"))
    hidden = [3] if transparency == 3 else [0, 3, 6, 9, 12] if transparency else []  # white shines through
    expected[np.isin(np.array(palette), hidden)] = 255
    arguments = {} if transparency is None else {"transparency": transparency}
    image = read_image(save(tmp_path / "palette.png", palette, **arguments))
    assert_is_rgb(image)
    assert np.array_equal(image, expected)


def test_black_and_white_is_0_and_255(tmp_path: Path) -> None:
    image = read_image(save(tmp_path / "bits.png", Image.fromarray(GREY > 128)))
    assert_is_rgb(image)
    assert np.array_equal(image[..., 0], np.where(GREY > 128, 255, 0))


def deep_cells() -> NDArray[np.uint16]:
    """Fluorescence of a 12-bit camera, on a ground of 100."""
    cells = render_scene(np.random.default_rng(4), 128, 128, "fluorescence")[0][:, :, 0]
    return (cells * 12.0 + 100).astype(np.uint16)


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_the_signal_of_16_bits_of_grey_fills_8_bits(ending: str, tmp_path: Path) -> None:
    deep = deep_cells()
    image = read_image(save(tmp_path / f"deep{ending}", Image.fromarray(deep)))
    assert_is_rgb(image, deep.shape)
    assert np.array_equal(image[..., 0], image[..., 2])
    assert image.min() == 0
    assert image.max() == 255
    inside = (image[..., 0] > 0) & (image[..., 0] < 255)
    line = np.polynomial.Polynomial.fit(deep[inside], image[..., 0][inside], 1)
    assert np.abs(line(deep[inside]) - image[..., 0][inside]).max() < 1


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_deeper_greys_of_microscopes_are_seen_likewise(dtype: type, byteorder: str, tmp_path: Path) -> None:
    for name, pixels in (("deep", deep_cells().astype(dtype)), ("known", deep_cells())):
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels, byteorder=byteorder)
    image, known = read_image(tmp_path / "deep.tif"), read_image(tmp_path / "known.tif")
    assert_is_rgb(image, known.shape[:2])
    assert np.abs(image.astype(int) - known).max() <= 1


def test_a_16_bit_image_of_one_grey_is_not_stretched(tmp_path: Path) -> None:
    image = read_image(save(tmp_path / "flat.png", Image.fromarray(np.full((HEIGHT, WIDTH), 5000, np.uint16))))
    assert_is_rgb(image)
    assert len(np.unique(image)) == 1


@pytest.mark.parametrize("ending", [".tif", ".jpg"])
def test_cmyk_becomes_rgb(ending: str, tmp_path: Path) -> None:
    smooth = Image.new("RGB", (WIDTH, HEIGHT), (200, 60, 20))
    image = read_image(save(tmp_path / f"cmyk{ending}", smooth.convert("CMYK")))
    assert_is_rgb(image)
    assert np.abs(image.astype(int) - (200, 60, 20)).max() < 6


# Label maps


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_labels_come_back_exactly(dtype: type, ending: str, tmp_path: Path) -> None:
    top = np.iinfo(dtype).max
    labels = np.random.default_rng(2).integers(0, top, (HEIGHT, WIDTH), dtype=dtype, endpoint=True)
    labels[0, :2] = 0, top
    found = read_instances(save(tmp_path / f"labels{ending}", Image.fromarray(labels)))
    assert found.dtype == np.int32
    assert np.array_equal(found, labels)


def test_labels_of_a_big_endian_tiff_come_back_exactly(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "labels.tif", DEEP, byteorder=">")
    assert np.array_equal(read_instances(tmp_path / "labels.tif"), DEEP)


def test_a_palette_of_labels_counts_by_its_index(tmp_path: Path) -> None:
    palette = Image.fromarray(RGB).quantize(16)
    found = read_instances(save(tmp_path / "labels.png", palette))
    assert np.array_equal(found, np.array(palette))


def test_a_black_and_white_mask_is_0_and_1(tmp_path: Path) -> None:
    found = read_instances(save(tmp_path / "mask.png", Image.fromarray(GREY > 128)))
    assert np.array_equal(found, GREY > 128)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_label_map_in_colour_is_refused(mode: str, tmp_path: Path) -> None:
    path = save(tmp_path / "colour.png", Image.fromarray(RGB).convert(mode))
    assert "grey" in refusal(path, read_instances)


def test_a_negative_label_is_refused(tmp_path: Path) -> None:
    labels = np.zeros((HEIGHT, WIDTH), dtype=np.int32)
    labels[3, 4] = -1
    tifffile.imwrite(tmp_path / "labels.tif", labels)
    assert "from -1 to 0" in refusal(tmp_path / "labels.tif", read_instances)


@pytest.mark.parametrize("dtype", [np.uint32, np.int64, np.float64])
def test_labels_beyond_16_bits_are_renumbered(dtype: type, tmp_path: Path) -> None:
    labels = np.zeros((HEIGHT, WIDTH), dtype)
    labels[3, 4:6], labels[5, 1:3] = 4_000_000_000, 7
    np.save(tmp_path / "labels.npy", labels)
    found = read_instances(tmp_path / "labels.npy")
    assert found.dtype == np.int32
    assert found[3, 4:6].tolist() == [2, 2]
    assert found[5, 1:3].tolist() == [1, 1]
    assert np.count_nonzero(found) == 4


DEEP_LABELS = DEEP // 999


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("three channels.png", lambda path: cv2.imwrite(str(path), np.dstack([DEEP_LABELS] * 3))),
        ("white is 0.tif", lambda path: tifffile.imwrite(path, DEEP_LABELS, photometric="miniswhite")),
        ("two equal pages.tif", lambda path: tifffile.imwrite(path, np.stack([DEEP_LABELS] * 2))),
        ("one in front.npy", lambda path: np.save(path, DEEP_LABELS[None].astype(np.float64))),
        ("archive.npz", lambda path: np.savez(path, labels=DEEP_LABELS.astype(np.int64))),
        ("compressed.tif", lambda path: tifffile.imwrite(path, DEEP_LABELS, compression="zlib", tile=(16, 16))),
    ],
)
def test_labels_of_every_coding_come_back_exactly(name: str, write: Callable[[Path], Any], tmp_path: Path) -> None:
    write(tmp_path / name)
    assert np.array_equal(read_instances(tmp_path / name), DEEP_LABELS)


@pytest.mark.parametrize(
    ("name", "write", "sentence"),
    [
        ("labels.jpg", lambda path: Image.fromarray(GREY).save(path), "compressed with loss"),
        ("labels.webp", lambda path: Image.fromarray(GREY).save(path), "compressed with loss"),
        ("pages.tif", lambda path: tifffile.imwrite(path, np.stack([GREY, GREY // 2])), "2 pages that differ"),
        ("fractions.npy", lambda path: np.save(path, DEEP / 7), "not whole numbers"),
        ("one plane each.npy", lambda path: np.save(path, np.stack([i == GREY for i in range(9)])), "9 pages"),
    ],
)
def test_what_is_no_label_map_is_refused(
    name: str, write: Callable[[Path], Any], sentence: str, tmp_path: Path
) -> None:
    write(tmp_path / name)
    assert sentence in refusal(tmp_path / name, read_instances)


# Files that are none


@pytest.mark.parametrize("read", [read_image, read_instances])
def test_a_missing_file_is_named(read: object, tmp_path: Path) -> None:
    refusal(tmp_path / "none.png", read)


@pytest.mark.parametrize("read", [read_image, read_instances])
@pytest.mark.parametrize("content", [b"", b"name,split\nabc,train\n", b"\x89PNG\r\n\x1a\n"])
def test_what_only_looks_like_an_image_is_named(content: bytes, read: object, tmp_path: Path) -> None:
    path = tmp_path / "text.png"
    path.write_bytes(content)
    refusal(path, read)


def test_a_folder_is_no_image(tmp_path: Path) -> None:
    refusal(tmp_path)


@pytest.mark.parametrize("ending", IMAGE_ENDINGS)
def test_a_truncated_image_is_named(ending: str, tmp_path: Path) -> None:
    path = save(tmp_path / f"half{ending}", Image.fromarray(np.tile(RGB, (8, 8, 1))))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "replace" in refusal(path)


# Pillow also warns about some of them.
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("ending", [".png", ".tif", ".bmp", ".jpg", ".webp"])
def test_whatever_is_in_a_file_it_is_an_image_or_a_sentence(ending: str, tmp_path: Path) -> None:
    path = save(tmp_path / f"damaged{ending}", Image.fromarray(RGB))
    whole, chance = path.read_bytes(), random.Random(0)
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(min(len(damaged), 120))] = chance.randrange(256)
        path.write_bytes(damaged)
        with suppress(UserError):
            assert read_image(path).shape[2:] == (3,)


# Writing


@pytest.mark.parametrize("pixels", [RGB, GREY, DEEP], ids=["rgb", "grey", "16 bits"])
def test_what_is_written_can_be_read_back(pixels: np.ndarray, tmp_path: Path) -> None:
    write_image(tmp_path / "image.png", pixels)
    with Image.open(tmp_path / "image.png") as image:
        assert image.format == "PNG"
        assert np.array_equal(np.array(image), pixels)
    assert os.listdir(tmp_path) == ["image.png"]


def test_a_failing_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "image.png"
    write_image(path, RGB)
    before = path.read_bytes()

    def half_written(_: Image.Image, target: Path, **__: object) -> None:
        target.write_bytes(b"half an image")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", half_written)
    with pytest.raises(OSError, match="No space left"):
        write_image(path, GREY)
    assert os.listdir(tmp_path) == ["image.png"]
    assert path.read_bytes() == before
