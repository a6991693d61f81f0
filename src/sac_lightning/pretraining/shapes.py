"""Outlines of shapes: smooth ones, from discs to lobed blobs, and polygons, round or long."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_VERTICES = 48
_HARMONICS = np.arange(2, 7)


@dataclass(frozen=True)
class Outline:
    """What the outlines of one kind have in common.

    Attributes:
        corners: Number of corners; 0 for smooth outlines.
        roughness: Relative amplitude of the lobes of a smooth outline.
        aspect: Ratio of the long to the short axis, at least 1.
    """

    corners: int
    roughness: float
    aspect: float

    @staticmethod
    def draw(rng: np.random.Generator) -> "Outline":
        """Draw random properties; two in three outlines are smooth."""
        return Outline(
            corners=0 if rng.random() < 2 / 3 else int(rng.integers(3, 8)),
            roughness=float(rng.uniform(0, 0.35)),
            aspect=float(np.exp(np.abs(rng.normal(0, 0.5)))),
        )


def draw_outline(rng: np.random.Generator, like: Outline) -> NDArray[np.float32]:
    """Draw a closed outline around the origin, (V, 2) xy, of about the area of the unit circle."""
    if like.corners:
        angles = (np.arange(like.corners) + rng.uniform(-0.3, 0.3, like.corners)) * 2 * np.pi / like.corners
        distance = rng.uniform(0.8, 1.4, like.corners)
    else:
        angles = np.arange(_VERTICES) * 2 * np.pi / _VERTICES
        amplitude = like.roughness * rng.normal(0, 1, len(_HARMONICS)) / _HARMONICS
        phase = rng.uniform(0, 2 * np.pi, len(_HARMONICS))
        lobes = (amplitude[:, None] * np.cos(_HARMONICS[:, None] * angles + phase[:, None])).sum(0)
        distance = np.maximum(1 + lobes, 0.2)
    stretch = np.sqrt(like.aspect * np.exp(rng.normal(0, 0.1)))
    x, y = distance * np.cos(angles) * stretch, distance * np.sin(angles) / stretch
    turn = rng.uniform(0, 2 * np.pi)
    turned = [x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)]
    return np.stack(turned, axis=1).astype(np.float32)
