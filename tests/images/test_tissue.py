"""Where there is something: no glass, no empty field, and every nucleus."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sac_lightning.core.view import Window
from sac_lightning.data.image_file import read_instances
from sac_lightning.data.scene import render_scene
from sac_lightning.images import slide as slides
from sac_lightning.images.cells import CELL
from sac_lightning.images.open_image import read_image
from sac_lightning.images.slide import whole_slide
from sac_lightning.images.tissue import Tissue, find_tissue

SIDE = 512
RNG = np.random.default_rng(0)
HE = render_scene(np.random.default_rng(1), 128, 128, "histology")[0]
DOWN, RIGHT = np.mgrid[:SIDE, :SIDE] / SIDE
CORNERS = (DOWN - 0.5) ** 2 + (RIGHT - 0.5) ** 2


def normal(level: Any, deviation: float, dtype: type[np.generic] = np.uint8, channels: int = 3) -> NDArray[Any]:
    shape = (SIDE, SIDE, 3) if channels == 3 else (SIDE, SIDE)
    values = RNG.normal(0, deviation, shape) + level
    return values.astype(dtype) if np.dtype(dtype).kind == "f" else values.round().clip(0, 65_535).astype(dtype)


def jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_UNCHANGED), dtype=np.uint8)


EMPTY: dict[str, Callable[[], NDArray[Any]]] = {
    "glass": lambda: normal(241, 1.2),
    "glass, noisy": lambda: normal(238, 3),
    "glass in JPEG 75": lambda: jpeg(normal(241, 1.2), 75),
    "glass in JPEG 30": lambda: jpeg(normal(238, 3), 30),
    "glass lit from one side": lambda: normal(200 + 40 * RIGHT[..., None], 1.2),
    "glass darker at the corners": lambda: normal(245 - 80 * CORNERS[..., None], 1.5),
    "glass of 12 bits": lambda: normal(241 * 16, 20, np.uint16),
    "white": lambda: np.full((SIDE, SIDE, 3), 255, np.uint8),
    "black": lambda: np.zeros((SIDE, SIDE), np.uint16),
    "dark": lambda: normal(100, 3, np.uint16, 1),
    "photons": lambda: RNG.poisson(20, (SIDE, SIDE)).astype(np.uint16),
    "dark, darker at the corners": lambda: normal(400 - 200 * CORNERS, 5, np.uint16, 1),
    "dark in 8 bits": lambda: normal(8, 2, channels=1),
    "dark in JPEG": lambda: jpeg(normal(8, 2, channels=1), 75),
    "dark, hot pixels": lambda: np.where(RNG.random((SIDE, SIDE)) < 1e-4, 65_535, normal(100, 3, np.uint16, 1)),
    "dark, columns": lambda: normal(RNG.normal(100, 3, (1, SIDE)), 3, np.uint16, 1),
    "fractions": lambda: normal(0.02, 0.001, np.float32, 1),
    "negative": lambda: normal(0, 3, np.float32, 1),
}


@pytest.mark.parametrize("name", EMPTY)
def test_there_is_nothing_in_glass_and_empty_field(name: str) -> None:
    assert not find_tissue(whole_slide(EMPTY[name]())).mask.any()


@pytest.mark.parametrize("name", ["glass", "glass lit from one side", "glass in JPEG 75"])
def test_tissue_in_glass_is_found_and_little_around_it(name: str) -> None:
    slide = EMPTY[name]()
    slide[200:328, 96:224] = HE
    tissue = find_tissue(whole_slide(slide))
    assert tissue.bright
    assert tissue.mask[200 // CELL : 328 // CELL, 96 // CELL : 224 // CELL].all()
    assert tissue.share < 0.2
    assert tissue.meets(Window(0, 0, 250, 250))
    assert tissue.meets(Window(-20, 150, 120, 120))
    assert not tissue.meets(Window(300, 0, 250, 512))


@pytest.mark.parametrize(("radius", "height"), [(4, 18), (7, 9), (20, 9)])
def test_a_faint_nucleus_is_found(radius: int, height: float) -> None:
    """Of 3 times the noise; a very small one of 6 times."""
    nucleus = ((radius / SIDE) ** 2 > (DOWN - 0.6) ** 2 + (RIGHT - 0.2) ** 2).astype(np.float32)
    field = normal(100 + height * cv2.GaussianBlur(nucleus, (0, 0), 1.2), 3, np.uint16, 1)
    tissue = find_tissue(whole_slide(field))
    assert not tissue.bright
    assert tissue.mask[np.nonzero(nucleus)[0] // CELL, np.nonzero(nucleus)[1] // CELL].all()
    assert tissue.share < 0.1


@pytest.mark.parametrize(
    ("ground", "signal", "deviation", "dtype"),
    [
        (1000, 60, 3, np.uint16),
        (32_768, 500, 10, np.uint16),
        (2000, 100, 6, np.uint16),
        (30_000, 2000, 60, np.uint16),
        (95, 15, 1.5, np.uint8),
        (100, 12, 1, np.uint8),
    ],
)
def test_a_high_ground_makes_no_bright_field(
    ground: float, signal: float, deviation: float, dtype: type[np.generic]
) -> None:
    nuclei = render_scene(np.random.default_rng(4), 256, 256, "fluorescence")[0][:, :, 0] / 255
    pixels = ground + nuclei * signal + np.random.default_rng(0).normal(0, deviation, nuclei.shape)
    tissue = find_tissue(whole_slide(pixels.round().astype(dtype)))
    assert not tissue.bright
    assert tissue.mask[nuclei.reshape(16, CELL, 16, CELL).max(axis=(1, 3)) > 0.5].all()


@pytest.mark.parametrize("light", ["even", "from one side", "darker at the corners"])
def test_there_is_nothing_in_grey_glass(light: str) -> None:
    levels = {"even": 0 * DOWN, "from one side": -40 * RIGHT, "darker at the corners": -80 * CORNERS}
    glass = normal(240 + levels[light], 1.2, channels=1)
    assert not find_tissue(whole_slide(glass)).mask.any()
    assert not find_tissue(whole_slide(jpeg(glass, 30))).mask.any()


@pytest.mark.parametrize("side", [193, 199, 200, 207])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_there_is_nothing_in_noise_whose_last_cells_reach_beyond_the_image(
    side: int, dtype: type[np.unsignedinteger[Any]]
) -> None:
    for shape in ((side, side), (side, side, 3)):
        noise = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype=dtype)
        assert not find_tissue(whole_slide(noise)).mask.any()


def test_what_holds_one_number_is_nothing() -> None:
    field = normal(241, 1.2)
    field[:256, :256] = 255  # a missing tile
    assert not find_tissue(whole_slide(field)).mask.any()


def test_strips_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    slide = normal(241, 1.2)[:501, :491]
    slide[100:228, 96:224] = HE
    whole = find_tissue(whole_slide(slide))
    monkeypatch.setattr(slides, "STRIP_PIXELS", 491 * 21)
    parts = find_tissue(whole_slide(slide))
    assert np.array_equal(whole.mask, parts.mask)
    assert np.array_equal(whole.core, parts.core)
    assert (whole.bright, whole.noise) == (parts.bright, parts.noise)


@pytest.mark.parametrize("shape", [(1, 1), (3, 40, 3), (17, 16), (40, 5, 3)])
def test_images_of_any_size(shape: tuple[int, ...]) -> None:
    tissue = find_tissue(whole_slide(RNG.integers(0, 256, shape, dtype=np.uint8)))
    assert tissue.mask.shape == (-(-shape[0] // CELL), -(-shape[1] // CELL))


@pytest.mark.real_data
@pytest.mark.parametrize("data", ["dsb2018", "monuseg", "glas"])
def test_no_nucleus_of_real_images_is_passed_over(data: str) -> None:
    folder = Path(os.environ["SAC_DATA"]) / data
    for path in sorted((folder / "images").iterdir())[::10]:
        truth = read_instances(folder / "instances" / f"{path.stem}.png") > 0
        tissue: Tissue = find_tissue(whole_slide(read_image(path)))
        y, x = np.nonzero(truth)
        assert tissue.mask[y // CELL, x // CELL].all(), path.name
