"""Rarer kinds of files: units of sizes, deep netpbm, tables of 16 bits, NaN, and files that are broken."""

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from tests.images.extra_layouts import EXTRA_COLOURS, EXTRA_STACKS, dicom
from tests.images.layouts import CELLS, COLOURS, IMAGE, STACKS, drop_tiles

from sac_lightning.core.errors import UserError
from sac_lightning.images.formats import EXTRA_ENDINGS, explain_ending, is_installed, readable_endings
from sac_lightning.images.open_image import open_image, read_image

GREY = CELLS[0, 0]
PICTURE = IMAGE[:96, :120].copy()


def read(path: Path) -> NDArray[Any]:
    with open_image(path) as slide:
        return slide.read(0, slide.height)


@pytest.mark.parametrize("image", [GREY, PICTURE.astype(np.uint16) * 16])
def test_netpbm_of_16_bits_has_its_own_numbers(image: NDArray[Any], tmp_path: Path) -> None:
    kind, (height, width) = "P6" if image.ndim == 3 else "P5", image.shape[:2]
    header = f"{kind}\n# a camera of 12 bits\n{width} {height}\n4095\n".encode()
    (tmp_path / "a.ppm").write_bytes(header + image.astype(">u2").tobytes())
    assert np.array_equal(read(tmp_path / "a.ppm"), image)
    (tmp_path / "a.ppm").write_bytes(header + bytes(100))
    with pytest.raises(UserError, match="cannot be read as an image"):
        read(tmp_path / "a.ppm")


def test_tables_of_16_bits(tmp_path: Path) -> None:
    ramp = np.stack([np.arange(65536)] * 3).astype(np.uint16)
    tifffile.imwrite(tmp_path / "display.tif", GREY, photometric="palette", colormap=ramp)
    colours = np.random.default_rng(0).integers(0, 65536, (3, 65536)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "colours.tif", GREY, photometric="palette", colormap=colours)
    assert np.array_equal(read(tmp_path / "display.tif"), GREY)
    assert np.array_equal(read(tmp_path / "colours.tif"), (colours >> 8).T[GREY])


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"resolution": (4, 2), "resolutionunit": 5}, (0.25, 0.5)),
        ({"resolution": (4000, 2000), "resolutionunit": 4}, (0.25, 0.5)),
        ({"resolution": (40_000, 20_000), "resolutionunit": 3}, (0.25, 0.5)),
        ({"resolution": (101_600, 50_800), "resolutionunit": 2}, (0.25, 0.5)),
        ({"resolution": (4, 2), "resolutionunit": 1}, None),
        ({"resolution": (300, 300), "resolutionunit": 2}, None),
        ({"resolution": (0.25, 0.5), "software": "MedScan 1.0"}, (0.25, 0.5)),
    ],
)
def test_units_of_a_resolution(options: dict[str, Any], size: tuple[float, float] | None, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY, metadata=None, **options)
    with open_image(tmp_path / "a.tif") as slide:
        assert slide.micrometres == (size and pytest.approx(size))


@pytest.mark.parametrize("shape", [(96, 120), (96, 120, 3)])
def test_nan_is_nothing(shape: tuple[int, ...], tmp_path: Path) -> None:
    bright = len(shape) == 3
    image = np.random.default_rng(0).normal(0.8 if bright else 0.05, 0.01, shape).astype(np.float32)
    image[40, 40] = 1.0
    image[:32] = np.nan
    options: dict[str, Any] = {"photometric": "rgb"} if bright else {}
    tifffile.imwrite(tmp_path / "a.tif", image, tile=(32, 32), **options)
    found = read(tmp_path / "a.tif")
    assert np.array_equal(found[32:], image[32:])
    ground = np.percentile(image[32:], 1)
    assert found[:32] == pytest.approx(1.0) if bright else abs(found[:32] - ground).max() < 0.02
    assert read_image(tmp_path / "a.tif").shape == (96, 120, 3)


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3)])
def test_nothing_but_nan_is_an_empty_field(shape: tuple[int, ...], tmp_path: Path) -> None:
    options: dict[str, Any] = {"photometric": "rgb"} if len(shape) == 3 else {}
    tifffile.imwrite(tmp_path / "a.tif", np.full(shape, np.nan, np.float32), **options)
    assert (read_image(tmp_path / "a.tif") == 0).all()


def test_the_little_that_is_there_tells_the_ground(tmp_path: Path) -> None:
    image = np.full((400, 50), np.nan, np.float32)
    image[7] = np.linspace(0.1, 0.2, 50)
    tifffile.imwrite(tmp_path / "a.tif", image)
    found = read(tmp_path / "a.tif")
    assert np.array_equal(found[7], image[7])
    assert found[8:] == pytest.approx(0.1, abs=0.01)


def test_missing_tiles_of_luminance_and_chrominance(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PICTURE, photometric="ycbcr", compression="jpeg", tile=(32, 32), metadata=None)
    whole = read(path)
    drop_tiles(path, (0, 5))
    found = read(path)
    assert (found[:32, :32] == 255).all()
    assert (found[32:64, 32:64] == 255).all()
    assert np.array_equal(found[64:], whole[64:])


def test_every_ending_that_a_reader_takes_is_searched_for() -> None:
    assert {ending for ending in EXTRA_ENDINGS if is_installed(ending)} <= set(readable_endings())
    assert {".ppm", ".avif", ".svs", ".zarr"} <= set(readable_endings())


@pytest.mark.parametrize("ending", EXTRA_ENDINGS)
def test_without_the_extra_one_sentence_names_it(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sac_lightning.images.formats.find_spec", lambda name: None)
    # A slide of MIRAX begins as its thumbnail does, a JPEG.
    (tmp_path / f"a{ending}").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(UserError, match=r"pip install 'sac-lightning\[slides\]'"):
        read(tmp_path / f"a{ending}")


def test_the_thumbnail_of_a_slide_in_other_files_is_not_taken_for_it(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.vsi", PICTURE)
    with pytest.raises(UserError, match="Olympus keeps the slide in the folder beside it: export it as OME-TIFF"):
        read(tmp_path / "a.vsi")
    assert explain_ending(".vsi")
    if is_installed(".mrxs"):
        tifffile.imwrite(tmp_path / "a.mrxs", PICTURE)
        with pytest.raises(UserError, match="cannot be read as an image"):
            read(tmp_path / "a.mrxs")


def damage(content: bytes, kind: int, chance: random.Random) -> bytes:
    """Cut a file short, or overwrite bytes of its beginning, of its end or of anywhere in it."""
    if kind < 4:
        return content[: int(len(content) * (0, 0.01, 0.5, 0.97)[kind])]
    changed = bytearray(content)
    first, last = ((0, 300), (max(0, len(changed) - 1000), len(changed)), (0, len(changed)))[kind % 3]
    for _ in range(12):
        changed[chance.randrange(first, min(last, len(changed)))] = chance.choice((0, 255, chance.randrange(256)))
    return bytes(changed)


def tell(path: Path) -> str:
    """Return what is told of a file when some of it is read; empty if that can be done."""
    try:
        with open_image(path) as slide:
            slide.read(0, min(64, slide.height))
    except UserError as error:
        return str(error)
    return ""


MAKERS: dict[str, Callable[[Path], None]] = {
    name: make
    for name, make in {**COLOURS, **STACKS, **EXTRA_COLOURS, **EXTRA_STACKS}.items()
    if is_installed(Path(name).suffix) and Path(name).suffix not in ("", ".zarr", ".vms")
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_broken_file_is_read_or_told_in_a_sentence(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path, chance = tmp_path / name, random.Random(0)
    MAKERS[name](path)
    content = path.read_bytes()
    for kind in range(10):
        path.write_bytes(damage(content, kind, chance))
        assert "\n" not in tell(path)
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")


@pytest.mark.needs("wsidicom")
def test_a_broken_dicom_slide(tmp_path: Path) -> None:
    dicom(tmp_path)
    content = (tmp_path / "1_full.dcm").read_bytes()
    for kind in range(10):
        (tmp_path / "1_full.dcm").write_bytes(damage(content, kind, random.Random(kind)))
        assert "\n" not in tell(tmp_path / "1_full.dcm")


def test_a_file_that_breaks_off_before_its_tables_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0" + (5000).to_bytes(4, "little"))
    with pytest.raises(UserError, match="it breaks off, or is damaged"):
        read(tmp_path / "a.tif")


def test_a_broken_file_leaves_nothing_on_the_console(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Of CMYK and black and white libtiff tells what it finds, in C, past all of Python's streams."""
    ink = 255 - np.dstack([PICTURE, np.full(PICTURE.shape[:2], 255, np.uint8)])
    options = {"photometric": "separated", "tile": (32, 32), "compression": "zlib"}
    tifffile.imwrite(tmp_path / "a.tif", ink, **options)  # type: ignore[arg-type] # a union
    drop_tiles(tmp_path / "a.tif", (0,))
    with pytest.raises(UserError, match="cannot be read as an image"):
        read(tmp_path / "a.tif")
    os.write(2, b"still there")
    assert capfd.readouterr() == ("", "still there")
