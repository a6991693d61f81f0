"""Textures for scenes: noise, gratings, spots, flat tones, and the photographs that ship with scikit-image."""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data

TILE = 256
"""Side of a texture in pixels."""

PER_FAMILY = 48
_BANK_SEED = 20260  # All scenes of all seeds share one bank; they vary in what they take from it.

# None of them is a microscopy or medical picture, so that zero-shot on nuclei remains zero-shot.
_PHOTOGRAPHS = ("astronaut", "brick", "camera", "chelsea", "coffee", "grass", "gravel", "rocket")


@cache
def make_texture_bank() -> NDArray[np.uint8]:
    """Return the textures (N, TILE, TILE), grey, each with its 1st percentile at 0 and its 99th at 255.

    The families have equal numbers: noise of many scales, gratings, spots, nearly flat tones, photographs.
    """
    rng = np.random.default_rng(_BANK_SEED)
    photographs = [_load_grey(name) for name in _PHOTOGRAPHS]
    tiles = []
    for _ in range(PER_FAMILY):
        tiles += [
            _draw_noise(rng),
            _draw_grating(rng),
            _draw_spots(rng),
            _draw_flat_tone(rng),
            _crop_photograph(rng, photographs),
        ]
    return np.stack([_normalise_tile(tile) for tile in tiles])


def _load_grey(name: str) -> NDArray[np.uint8]:
    picture = np.asarray(getattr(data, name)())
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) if picture.ndim == 3 else picture  # type: ignore[return-value]


def draw_smooth_noise(rng: np.random.Generator, side: int, cells: int) -> NDArray[np.float32]:
    """Draw standard normal noise on a grid of ``cells`` x ``cells`` and interpolate it to (side, side)."""
    coarse = rng.standard_normal((cells, cells), dtype=np.float32)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)  # type: ignore[return-value]


def _draw_noise(rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw octaves of noise whose amplitude falls with frequency as a power between 0 and 1.5."""
    slope = rng.uniform(0, 1.5)
    octaves = [draw_smooth_noise(rng, TILE, cells) * cells**-slope for cells in (4, 8, 16, 32, 64, 128, 256)]
    total: NDArray[np.float32] = np.stack(octaves).sum(axis=0)
    return total


def _draw_grating(rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw stripes, bent by noise; one in three gratings has sharp edges."""
    angle, wavelength = rng.uniform(0, np.pi), np.exp(rng.uniform(np.log(4), np.log(40)))
    y, x = np.mgrid[:TILE, :TILE].astype(np.float32)
    bend = rng.uniform(0, 1.5) * draw_smooth_noise(rng, TILE, 8)
    waves = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / wavelength + bend)
    stripes: NDArray[np.float32] = np.sign(waves) if rng.random() < 1 / 3 else waves
    return stripes.astype(np.float32)


def _draw_spots(rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw grains: noise of a single scale, cut at a threshold and softened."""
    cells = int(np.exp(rng.uniform(np.log(16), np.log(100))))
    grains = (draw_smooth_noise(rng, TILE, cells) > rng.uniform(-0.8, 1.2)).astype(np.float32)
    return cv2.GaussianBlur(grains, (0, 0), rng.uniform(0.5, 2.0))  # type: ignore[return-value]


def _draw_flat_tone(rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a tone that drifts slowly."""
    return draw_smooth_noise(rng, TILE, int(rng.integers(2, 5)))


def _crop_photograph(rng: np.random.Generator, photographs: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Crop a square from a photograph and rotate it by random right angles.

    Its side is a quarter to the whole of the photograph's shorter side.
    """
    picture = photographs[rng.integers(len(photographs))]
    side = int(min(picture.shape) * rng.uniform(0.25, 1))
    top, left = (int(rng.integers(length - side + 1)) for length in picture.shape)
    tile = cv2.resize(picture[top : top + side, left : left + side], (TILE, TILE), interpolation=cv2.INTER_AREA)
    return np.rot90(tile, int(rng.integers(4))).astype(np.float32)


def _normalise_tile(tile: NDArray[np.float32]) -> NDArray[np.uint8]:
    low, high = np.percentile(tile, (1, 99))
    return np.clip((tile - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)  # type: ignore[no-any-return]
