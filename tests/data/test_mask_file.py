"""Masks of every coding: the certain ones are read right, the doubtful ones name the option that settles it."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from sac_lightning.core.errors import UserError
from sac_lightning.core.masks import MaskMeaning, read_mask_options
from sac_lightning.data.mask_file import read_mask
from sac_lightning.data.truth_file import read_truth

ROWS, COLUMNS = np.mgrid[:40, :44]
CENTRES = ((8, 9), (10, 30), (30, 12), (28, 34))
LABELS = np.zeros((40, 44), np.uint8)
for number, (y, x) in enumerate(CENTRES, start=1):
    LABELS[(ROWS - y) ** 2 + (COLUMNS - x) ** 2 < 36] = number
NUCLEI = LABELS > 0
WHITE = NUCLEI.astype(np.uint8) * 255
RGB = np.repeat(WHITE[..., None], 3, axis=2)
SOFT = np.array(Image.fromarray(WHITE).resize((88, 80), Image.Resampling.BICUBIC).resize((44, 40)))
CLASSES = np.where(NUCLEI, 1 + LABELS % 2, 0).astype(np.uint8)  # Two nuclei of each.

Write = Callable[[Path], Any]


def indexed(indices: NDArray[Any], *colours: tuple[int, int, int], **options: Any) -> Write:
    """What writes an image with a palette."""
    image = Image.fromarray(indices.astype(np.uint8)).convert("P")
    image = Image.frombytes("P", image.size, indices.astype(np.uint8).tobytes())
    image.putpalette([channel for colour in colours for channel in colour])
    return lambda path: image.save(path, **options)


def with_alpha(colour: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> Write:
    return Image.fromarray(np.dstack([colour, alpha])).save


def few_bits(levels: NDArray[Any]) -> Write:
    """What writes a grey PNG of four bits a pixel, as programs that make files small do."""
    rows = b"".join(b"\0" + bytes(row[::2] << 4 | row[1::2]) for row in levels.astype(np.uint8))
    size = struct.pack(">IIBBBBB", levels.shape[1], levels.shape[0], 4, 0, 0, 0, 0)
    chunks = ((b"IHDR", size), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    return lambda path: path.write_bytes(png)


def tiff(array: NDArray[Any], **options: Any) -> Write:
    return lambda path: tifffile.imwrite(path, array, **options)


def npy(array: NDArray[Any]) -> Write:
    return lambda path: np.save(path, array)


def png16(array: NDArray[np.uint16]) -> Write:
    return lambda path: cv2.imwrite(str(path), array)


CERTAIN: dict[str, Write] = {
    "0 and 255.png": Image.fromarray(WHITE).save,
    "0 and 1.png": Image.fromarray(WHITE // 255).save,
    "0 and 254.bmp": Image.fromarray(WHITE // 255 * 254).save,
    "one bit.png": Image.fromarray(NUCLEI).save,
    "four bits.png": few_bits(NUCLEI),
    "one bit.tif": tiff(NUCLEI),
    "one bit, black is 0.tif": tiff(NUCLEI, photometric="minisblack"),
    "white is 0.tif": tiff(WHITE, photometric="miniswhite"),
    "by Pillow.tif": Image.fromarray(WHITE).save,
    "16 bits.png": Image.fromarray(NUCLEI.astype(np.uint16) * 65_535).save,
    "32 bits.tif": tiff(NUCLEI.astype(np.int32)),
    "64 bits.tif": tiff(NUCLEI.astype(np.int64) * 255),
    "float.tif": tiff(NUCLEI.astype(np.float32)),
    "LZW.tif": tiff(WHITE, compression="lzw"),
    "two equal pages.tif": tiff(np.stack([WHITE, WHITE]), photometric="minisblack"),
    "RGB.png": Image.fromarray(RGB).save,
    "RGB of 16 bits.png": png16(np.repeat(NUCLEI[..., None], 3, axis=2).astype(np.uint16)),
    "RGB.tif": tiff(RGB, photometric="rgb"),
    "planes apart.tif": tiff(np.moveaxis(RGB, 2, 0).copy(), photometric="rgb", planarconfig="separate"),
    "RGBA, opaque.png": with_alpha(RGB, np.full_like(WHITE, 255)),
    "RGBA, white on nothing.png": with_alpha(np.full_like(RGB, 255), WHITE),
    "RGBA, black on nothing.png": with_alpha(np.zeros_like(RGB), WHITE),
    "RGBA, green on nothing.png": with_alpha(RGB * np.array([0, 1, 0], np.uint8), WHITE),
    "grey and alpha.png": Image.fromarray(np.dstack([WHITE, np.full_like(WHITE, 255)])).save,
    "red on black.png": Image.fromarray(RGB * np.array([1, 0, 0], np.uint8)).save,
    "palette.png": indexed(NUCLEI, (0, 0, 0), (255, 255, 255)),
    "palette, white first.png": indexed(~NUCLEI, (255, 255, 255), (0, 0, 0)),
    "palette, white first.bmp": indexed(~NUCLEI, (255, 255, 255), (0, 0, 0)),
    "palette, red first.png": indexed(~NUCLEI, (200, 0, 0), (0, 0, 0)),
    "palette, index 0 is nothing.png": indexed(NUCLEI, (9, 9, 9), (0, 0, 0), transparency=0),
    "palette, white first.tif": indexed(~NUCLEI, (255, 255, 255), (0, 0, 0)),
    "quantized.png": Image.fromarray(RGB).quantize(2).save,
    "mask.gif": Image.fromarray(WHITE).save,
    "lossless.webp": lambda path: Image.fromarray(RGB).save(path, lossless=True),
    "two values.jpg": lambda path: Image.fromarray(WHITE * 0).save(path),
    "bool.npy": npy(NUCLEI),
    "one in front.npy": npy(NUCLEI[None]),
    "one behind.npy": npy(NUCLEI[..., None].astype(np.float16)),
    "three channels.npy": npy(np.repeat(NUCLEI[..., None], 3, axis=2)),
    "archive.npz": lambda path: np.savez_compressed(path, mask=WHITE),
}


@pytest.mark.parametrize("name", CERTAIN)
def test_a_certain_mask_is_read_right(name: str, tmp_path: Path) -> None:
    CERTAIN[name](tmp_path / name)
    expected = NUCLEI & (name != "two values.jpg")
    assert np.array_equal(read_mask(tmp_path / name, MaskMeaning())[0], expected)


@pytest.mark.parametrize("value", [0, 1, 255])
def test_a_mask_of_one_value_is_all_or_nothing(value: int, tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 5), value, np.uint8)).save(tmp_path / "mask.png")
    mask, values = read_mask(tmp_path / "mask.png", MaskMeaning())
    assert mask.all() == mask.any() == (value > 0)
    assert values.tolist() == [value]


# What is written, the sentence, and the options that settle it.
DOUBTFUL: dict[str, tuple[Write, str, dict[str, Any]]] = {
    "mask.jpg": (
        lambda path: Image.fromarray(WHITE).save(path, quality=75),
        r"values from 0 to 255, as JPEG .+ such as data\.threshold=128",
        {"threshold": 128},
    ),
    "colour.jpg": (
        lambda path: Image.fromarray(RGB).save(path, quality=75),
        r"data\.threshold=128",
        {"threshold": 128},
    ),
    "jpeg.tif": (tiff(WHITE, compression="jpeg"), r"data\.threshold=128", {"threshold": 128}),
    "lossy.webp": (Image.fromarray(RGB).save, r"as JPEG .+ data\.threshold=128", {"threshold": 128}),
    "resized.png": (Image.fromarray(SOFT).save, r"as resizing .+ data\.threshold=128", {"threshold": 128}),
    "resized.tif": (tiff(SOFT.astype(np.uint16) * 257), r"data\.threshold=32768", {"threshold": 32_768}),
    "negative.jpg": (
        lambda path: Image.fromarray(255 - WHITE).save(path),
        r"data\.threshold=128",
        {"threshold": 128, "inverted": True},
    ),
    "probability.npy": (
        npy(SOFT.astype(np.float32) / 255),
        r"fractions from 0 to 1: .+data\.threshold=0\.5",
        {"threshold": 0.5},
    ),
    "logits.tif": (tiff(SOFT / 25.5 - 5), r"fractions from -5 to 5: .+data\.threshold=0$", {"threshold": 0}),
    "from 1.png": (
        Image.fromarray(NUCLEI.astype(np.uint8) + 1).save,
        r"the values 1 and 2 and no 0: .+data\.mask_values=\[2\]",
        {"mask_values": 2},
    ),
    "classes.png": (
        Image.fromarray(CLASSES).save,
        r"the values 0, 1 and 2: .+data\.mask_values=\[2\]",
        {"mask_values": [1, 2]},
    ),
    "four bits.png": (few_bits(CLASSES), r"the values 0, 1 and 2", {"mask_values": [1, 2]}),
    "labels.png": (Image.fromarray(LABELS).save, r"rename masks/ to instances/", {"threshold": 1}),
    "numbers.npy": (npy(LABELS.astype(np.int64)), r"rename masks/ to instances/", {"mask_values": [1, 2, 3, 4]}),
    "signed.npy": (
        npy(-NUCLEI.astype(np.float32)),
        r"the values -1 and 0: .+data\.mask_values=\[-1\]",
        {"mask_values": -1},
    ),
    "JPEG 2000.png": (
        lambda path: Image.fromarray(WHITE).save(
            path, "JPEG2000", irreversible=True, quality_mode="rates", quality_layers=[5]
        ),
        r"as JPEG .+data\.threshold=128",
        {"threshold": 128},
    ),
    "AVIF.png": (
        lambda path: Image.fromarray(np.dstack([SOFT] * 3)).save(path, "AVIF", quality=60),
        r"as JPEG .+data\.threshold=128",
        {"threshold": 128},
    ),
    "WebP.tif": (
        tiff(
            np.dstack([SOFT] * 3),
            photometric="rgb",
            compression="webp",
            compressionargs={"level": 80, "lossless": False},
        ),
        r"as JPEG .+data\.threshold=128",
        {"threshold": 128},
    ),
    "JPEG 2000.tif": (
        tiff(WHITE, compression="jpeg2000", compressionargs={"level": 30, "reversible": False}),
        r"as JPEG .+data\.threshold=128",
        {"threshold": 128},
    ),
    "LERC.tif": (
        tiff(SOFT, compression="lerc", compressionargs={"level": 9}),
        r"as JPEG .+data\.threshold=128",
        {"threshold": 128},
    ),
    "ignored.npy": (
        npy(np.where(COLUMNS < 2, -1, NUCLEI)),
        r"the values -1, 0 and 1: .+data\.mask_values=\[1\]",
        {"mask_values": [1]},
    ),
    "colours.png": (
        indexed(CLASSES, (0, 0, 0), (200, 0, 0), (0, 200, 0)),
        r"#000000, #c80000, #00c800.+ 0, 1, 2\): .+data\.mask_values=\[2\]",
        {"mask_values": [1, 2]},
    ),
    "no black.gif": (
        indexed(NUCLEI, (90, 0, 90), (255, 255, 0)),
        r"#5a005a, #ffff00.+data\.mask_values=\[1\]",
        {"mask_values": 1},
    ),
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_a_doubtful_mask_names_the_option_that_settles_it(name: str, tmp_path: Path) -> None:
    write, sentence, options = DOUBTFUL[name]
    path = tmp_path / name
    write(path)
    with pytest.raises(UserError, match=sentence) as refused:
        read_mask(path, MaskMeaning())
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    mask = read_mask(path, read_mask_options(**options))[0]
    assert np.mean(mask != NUCLEI) < (
        0.03
        if name.startswith(("resized", "prob", "logits", "lossy", "JPEG 2", "AVIF", "WebP", "LERC"))
        else 0.001
    )


REFUSED: dict[str, tuple[Write, str]] = {
    "two colours.png": (
        Image.fromarray(np.where(NUCLEI[..., None], [255, 0, 0], [255, 255, 255]).astype(np.uint8)).save,
        r"in colour \(#ff0000, #ffffff\): save it in grey",
    ),
    "three colours.png": (
        Image.fromarray((np.eye(3, dtype=np.uint8) * 255)[CLASSES]).save,
        r"in colour \(#0000ff, #00ff00, #ff0000\)",
    ),
    "two colours on nothing.png": (
        with_alpha((np.eye(3, dtype=np.uint8) * 255)[CLASSES], WHITE),
        r"#0000ff, #00ff00 and transparent",
    ),
    "half transparent.png": (with_alpha(RGB, WHITE // 2), "half transparent"),
    "all transparent.png": (with_alpha(RGB, WHITE * 0), "transparent everywhere"),
    "pages.tif": (
        tiff(np.stack([WHITE * 0, WHITE]), photometric="minisblack"),
        "2 pages that differ: save the one",
    ),
    "frames.gif": (
        lambda path: Image.fromarray(WHITE).save(
            path, save_all=True, append_images=[Image.fromarray(255 - WHITE)]
        ),
        "2 pages that differ",
    ),
    "one page each.npy": (npy(np.stack([number == LABELS for number in range(5)])), "5 pages that differ"),
    "two channels.npy": (npy(np.dstack([NUCLEI, ~NUCLEI])), r"shape \(40, 44, 2\), .+save one plane"),
    "four channels.npy": (
        npy(np.dstack([number == LABELS for number in range(1, 5)]).astype(np.uint8) * 255),
        r"shape \(40, 44, 4\), .+save one plane",
    ),
    "four pages.tif": (
        tiff(  # As tifffile stores them if it is not told what they are.
            np.stack([number == LABELS for number in range(1, 5)]).astype(np.uint8) * 255,
            photometric="rgb",
            planarconfig="separate",
            extrasamples=["unassalpha"],
        ),
        "4 pages that differ",
    ),
    "one channel each.tif": (
        tiff(np.dstack([number == LABELS for number in range(6)]).astype(np.uint8), planarconfig="contig"),
        "6 channels: save the one",
    ),
    "four axes.npy": (npy(np.zeros((2, 3, 4, 5))), r"shape \(2, 3, 4, 5\)"),
    "nan.npy": (npy(np.where(NUCLEI, 1, np.nan)), "infinite or NaN"),
    "complex.npy": (npy(NUCLEI * 1j), "type complex128"),
    "nothing.npy": (npy(np.zeros((0, 5))), "no pixel"),
    "two arrays.npz": (lambda path: np.savez(path, a=WHITE, b=WHITE), r"2 arrays \(a, b\)"),
    "text.npy": (lambda path: path.write_text("no array"), "no plain array"),
    "short.npy": (
        lambda path: (np.save(path, WHITE), path.write_bytes(path.read_bytes()[:200])),
        "no plain array",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_mask_is_a_sentence(name: str, tmp_path: Path) -> None:
    write, sentence = REFUSED[name]
    write(tmp_path / name)
    with pytest.raises(UserError, match=sentence) as refused:
        read_mask(tmp_path / name, MaskMeaning(threshold=1))
    assert str(tmp_path / name) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_no_code_in_an_array_runs(tmp_path: Path, harm: Callable[[Path], object]) -> None:
    np.save(tmp_path / "mask.npy", np.array([harm(tmp_path / "made")], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="Python objects"):
        read_truth(tmp_path / "mask.npy")
    assert not (tmp_path / "made").exists()


# Options that do not suit the file


def test_values_of_a_jpeg_are_refused(tmp_path: Path) -> None:
    Image.fromarray(WHITE).save(tmp_path / "mask.jpg")
    with pytest.raises(UserError, match=r"data\.threshold=128 instead of data\.mask_values"):
        read_mask(tmp_path / "mask.jpg", MaskMeaning(values=(255,)))


@pytest.mark.parametrize("threshold", [0, 1, 15])
def test_a_threshold_in_the_noise_of_a_jpeg_is_refused(threshold: float, tmp_path: Path) -> None:
    Image.fromarray(WHITE).save(tmp_path / "mask.jpg")
    with pytest.raises(UserError, match=rf"data\.threshold={threshold} takes its noise .+ data\.threshold=128$"):
        read_mask(tmp_path / "mask.jpg", MaskMeaning(threshold=threshold))


def test_a_threshold_above_a_mask_of_0_and_1_is_refused(tmp_path: Path) -> None:
    Image.fromarray(NUCLEI.astype(np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(UserError, match=r"values 0 and 1, all below data\.threshold=128"):
        read_mask(tmp_path / "mask.png", MaskMeaning(threshold=128))


@pytest.mark.parametrize("meaning", [MaskMeaning(threshold=128), MaskMeaning(values=(255,))])
def test_true_is_nucleus_beside_masks_of_255(meaning: MaskMeaning, tmp_path: Path) -> None:
    Image.fromarray(NUCLEI).save(tmp_path / "mask.png")
    assert np.array_equal(read_mask(tmp_path / "mask.png", meaning)[0], NUCLEI)


def test_inverted_turns_round_what_was_read(tmp_path: Path) -> None:
    Image.fromarray(255 - WHITE).save(tmp_path / "mask.png")
    assert np.array_equal(read_mask(tmp_path / "mask.png", MaskMeaning(inverted=True))[0], NUCLEI)
