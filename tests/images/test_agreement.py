"""Where OpenSlide can open what we open by ourselves, both have the same pixels, levels and sizes of pixels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from sac_lightning.images.open_image import open_image
from sac_lightning.images.selection import Selection
from sac_lightning.images.slide import Slide
from sac_lightning.images.tiff_file import open_tiff

pytest.importorskip("openslide")

# Blocks, which JPEG keeps nearly as they are; a side that is no multiple of the tiles'.
IMAGE = np.random.default_rng(0).integers(60, 200, (45, 60, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
APERIO = "Aperio Image Library v12.0.15\r\n960x720 [0,0 960x720] (240x240) JPEG/RGB Q=70|AppMag = 40|MPP = 0.2520"


def pyramid(path: Path, description: str | None = None, **options: Any) -> None:
    with tifffile.TiffWriter(path, bigtiff=options.pop("bigtiff", False)) as file:
        for step in (1, 2, 4):
            image = np.ascontiguousarray(IMAGE[::step, ::step])
            reduced = {} if step == 1 or description else {"subfiletype": 1}
            text = description and description.replace("960x720", f"{960 // step}x{720 // step}", 1)
            file.write(image, photometric="rgb", metadata=None, description=text, **reduced, **options)


def aperio(path: Path, **options: Any) -> None:
    """A slide with its thumbnail in second place, as the scanners of Aperio write it, and a label at the end."""
    with tifffile.TiffWriter(path) as file:
        file.write(IMAGE, photometric="rgb", metadata=None, description=APERIO, tile=(240, 240), **options)
        plain = {"photometric": "rgb", "metadata": None, "rowsperstrip": 16}
        thumbnail = APERIO.split("|")[0].replace("\r\n", "\r\n960x720 -> 120x90 - ")
        file.write(np.ascontiguousarray(IMAGE[::8, ::8]), description=thumbnail, compression="jpeg", **plain)
        half = np.ascontiguousarray(IMAGE[::4, ::4])
        file.write(half, photometric="rgb", metadata=None, description=APERIO, tile=(240, 240), **options)
        label = "Aperio Image Library v12.0.15\r\nlabel 64x64"
        file.write(np.zeros((64, 64, 3), np.uint8), description=label, subfiletype=1, compression="lzw", **plain)


CENTIMETRE = {"resolution": (40_000, 20_000), "resolutionunit": "CENTIMETER"}
LAYOUTS: dict[str, Callable[[Path], None]] = {
    "aperio.svs": lambda path: aperio(path, compression="jpeg"),
    "aperio_jpeg2000.svs": lambda path: aperio(path, compression="aperio_jp2000_rgb"),
    "tiled.tif": lambda path: pyramid(path, tile=(128, 128), compression="jpeg", **CENTIMETRE),
    "deflate.tif": lambda path: pyramid(path, tile=(128, 256), compression="zlib", **CENTIMETRE),
    "lzw.tif": lambda path: pyramid(path, tile=(64, 64), compression="lzw", predictor=True),
    "big.tif": lambda path: pyramid(path, tile=(128, 128), compression="jpeg", bigtiff=True),
    "plain.tif": lambda path: pyramid(path, tile=(128, 128)),
}


def by_openslide(path: Path) -> tuple[Slide, NDArray[Any]]:
    from sac_lightning.images.openslide_file import open_with_openslide

    with open_with_openslide(path, Selection()) as slide:
        return slide, slide.read(0, slide.height)


@pytest.mark.parametrize("name", LAYOUTS)
def test_pixels_levels_and_sizes(name: str, tmp_path: Path) -> None:
    LAYOUTS[name](tmp_path / name)
    with open_tiff(tmp_path / name, Selection()) as ours:
        pixels = ours.read(0, ours.height)
    theirs, expected = by_openslide(tmp_path / name)
    assert (ours.height, ours.width) == (theirs.height, theirs.width)
    assert np.abs(pixels.astype(int) - expected).max() <= 1
    chosen = max(ours.candidates, key=lambda one: one.pixels)
    assert chosen.levels == theirs.candidates[0].levels
    assert ours.micrometres == (theirs.micrometres and pytest.approx(theirs.micrometres))


def test_missing_tiles(tmp_path: Path) -> None:
    path = tmp_path / "sparse.svs"
    aperio(path, compression="jpeg")
    with tifffile.TiffFile(path) as file:
        tags = [file.pages.first.tags[tag] for tag in (324, 325)]
    with path.open("r+b") as content:
        for tag in tags:
            content.seek(tag.valueoffset)
            content.write(bytes(2 * (2 if tag.dtype == 3 else 4)))
    with open_image(path) as slide:
        pixels = slide.read(0, slide.height)
    assert (pixels[:240, :480] == 255).all()
    assert np.array_equal(pixels, by_openslide(path)[1])
