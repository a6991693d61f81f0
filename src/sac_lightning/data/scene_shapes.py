"""Where the nuclei of a synthetic scene lie: smooth outlines, placed until enough of the scene is covered."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

FloatMap = NDArray[np.float32]

SMALLEST_VISIBLE = 20
"""Pixels. A candidate with fewer visible ones is not drawn: nobody would annotate such a speck."""

LARGEST_HIDDEN_SHARE = 0.15
"""Largest share of a candidate that nuclei placed before may cover, so that nuclei touch or overlap a little."""

_CONTOUR_POINTS = 48
_SUBPIXEL_BITS = 4


@dataclass(frozen=True)
class SceneNuclei:
    """The nuclei of one scene.

    Attributes:
        instances: (H, W) int32: 0 is background; nucleus i has label i + 1 and is one 8-connected region.
        centres: (N, 2) float64, xy in pixels: of the whole nucleus, even where another one covers part of it.
        radii: (N,) float64, pixels: of the circle of equal area.
        aspects: (N,) float64, at least 1: long axis over short axis.
    """

    instances: NDArray[np.int32]
    centres: NDArray[np.float64]
    radii: NDArray[np.float64]
    aspects: NDArray[np.float64]

    def map_to_pixels(self, values: NDArray[np.float64]) -> FloatMap:
        """Map a value per nucleus (N,) to the pixels (H, W) float32; the background is 0."""
        table = np.concatenate([[0.0], values]).astype(np.float32)
        return table[self.instances]


def place_nuclei(
    rng: np.random.Generator,
    density: FloatMap,
    coverage: float,
    radius: float,
    aspect: FloatMap,
    direction: FloatMap,
) -> SceneNuclei:
    """Place nuclei, each under the earlier ones, until they cover a share of the scene or no candidate is left.

    Args:
        rng: The only source of randomness.
        density: (H, W) float32, at least 0: how likely a centre falls on a pixel.
        coverage: Share of the scene's pixels, in (0, 1), after which no more nuclei are placed.
        radius: Median radius in pixels; individual nuclei vary around it.
        aspect: (H, W) float32, at least 1: typical long axis over short axis of a nucleus centred on the pixel.
        direction: (H, W) float32, radians from x towards y: the long axis of a nucleus centred on the pixel.

    Returns:
        At least one nucleus, in the order of placement.
    """
    height, width = density.shape
    instances = np.zeros((height, width), np.int32)
    wanted = coverage * height * width
    count = 24 + int(4.0 * wanted / (np.pi * radius**2))
    columns, rows = _draw_centres(rng, density, count)
    radii = radius * np.exp(rng.normal(0.0, 0.2, count))
    aspects = 1.0 + (aspect[rows, columns] - 1.0) * rng.uniform(0.4, 1.6, count)
    angles = direction[rows, columns] + rng.normal(0.0, 0.2, count)
    radii *= aspects**-0.3  # spindle nuclei are thin rather than long
    contours = np.stack([columns, rows], 1)[:, None] + draw_outlines(rng, radii, aspects, angles)
    placed: list[int] = []
    covered = 0
    for candidate in range(count):
        visible = _draw_under(instances, contours[candidate], len(placed) + 1)
        if visible:
            placed.append(candidate)
            covered += visible
        if covered >= wanted and placed:
            break
    centres = np.stack([columns, rows], 1)[placed].astype(np.float64)
    return SceneNuclei(instances, centres, radii[placed], aspects[placed])


def draw_outlines(
    rng: np.random.Generator,
    radii: NDArray[np.float64],
    aspects: NDArray[np.float64],
    angles: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Draw closed outlines around (0, 0): ellipses whose radius is modulated by a low-order Fourier series.

    Args:
        rng: The only source of randomness.
        radii: (N,) pixels.
        aspects: (N,) long axis over short axis.
        angles: (N,) radians, direction of the long axis.

    Returns:
        (N, 48, 2) float64, xy in pixels.
    """
    theta = np.linspace(0.0, 2.0 * np.pi, _CONTOUR_POINTS, endpoint=False)
    orders = np.arange(2, 6)
    amplitude = rng.normal(0.0, 0.11, (len(radii), len(orders))) / (orders - 0.5)
    phase = rng.uniform(0.0, 2.0 * np.pi, (len(radii), len(orders)))
    waves = np.cos(orders[None, :, None] * theta + phase[..., None])
    modulation = radii[:, None] * (1.0 + (amplitude[..., None] * waves).sum(1))
    along = modulation * np.sqrt(aspects)[:, None] * np.cos(theta)
    across = modulation / np.sqrt(aspects)[:, None] * np.sin(theta)
    cosine, sine = np.cos(angles)[:, None], np.sin(angles)[:, None]
    return np.stack([along * cosine - across * sine, along * sine + across * cosine], -1)


def _draw_centres(
    rng: np.random.Generator, density: FloatMap, count: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Draw the columns and rows of `count` pixels, with probability proportional to the density."""
    cumulative = np.cumsum(density, dtype=np.float64)
    flat = np.searchsorted(cumulative, rng.random(count) * cumulative[-1], side="right")
    rows, columns = np.unravel_index(np.minimum(flat, density.size - 1), density.shape)
    return columns, rows


def _draw_under(instances: NDArray[np.int32], contour: NDArray[np.float64], label: int) -> int:
    """Draw a nucleus under those already there and return its visible pixels, 0 if it does not fit."""
    height, width = instances.shape
    left, top = np.maximum(np.floor(contour.min(0)).astype(int) - 1, 0)
    right, bottom = np.minimum(np.ceil(contour.max(0)).astype(int) + 2, [width, height])
    window = instances[top:bottom, left:right]
    inside = np.zeros(window.shape, np.uint8)
    points = np.round((contour - [left, top]) * 2**_SUBPIXEL_BITS).astype(np.int32)
    cv2.fillPoly(inside, [points], 1, shift=_SUBPIXEL_BITS)
    visible = inside.astype(bool) & (window == 0)
    pixels = int(np.count_nonzero(visible))
    if pixels < max(SMALLEST_VISIBLE, (1.0 - LARGEST_HIDDEN_SHARE) * np.count_nonzero(inside)):
        return 0
    regions, _ = cv2.connectedComponents(visible.astype(np.uint8), connectivity=8)
    if regions != 2:
        return 0
    window[visible] = label
    return pixels
