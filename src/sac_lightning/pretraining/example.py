"""The questions about a scene: objects with a click and a box each, and a union of kinds with many points."""

from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sac_lightning.pretraining.scene import Scene

PAIRS = 32
"""Largest number of positive points, and of negative points, for a union of kinds."""

FEWEST_PAIRS = 4
"""Smallest number of such points; fewer could just as well mean a single object."""

BOX_JITTER = 0.1
"""Standard deviation of the noise on a box's sides, relative to the box's size (SAM, appendix A)."""

BOX_JITTER_LIMIT = 20
"""Largest noise on a side, in pixels."""


class Example(TypedDict):
    """A scene and its questions; in a batch, each field has one more dimension in front.

    Attributes:
        image: (3, S, S) uint8.
        objects: (S, S) int32; see Scene.
        kinds: (S, S) uint8; see Scene.
        asked: (Q,) int32, numbers of objects; if there are few, one may occur twice.
        clicks: (Q, 2) float32 xy in pixels, a random visible pixel of each.
        boxes: (Q, 4) float32: left, top, right and bottom, jittered.
        union: (S, S) bool, the pixels of the kinds that the points below stand for.
        union_coords: (2 * PAIRS, 2) float32 xy.
        union_labels: (2 * PAIRS,) int64: 1 on the union, 0 off it, -1 for padding.
    """

    image: Tensor
    objects: Tensor
    kinds: Tensor
    asked: Tensor
    clicks: Tensor
    boxes: Tensor
    union: Tensor
    union_coords: Tensor
    union_labels: Tensor


def make_example(rng: np.random.Generator, scene: Scene, questions: int, smallest: int) -> Example | None:
    """Draw the questions about a scene.

    Args:
        rng: The only source of randomness.
        scene: The scene.
        questions: Number of objects asked for.
        smallest: Visible pixels that an object must have. Larger objects are asked for more often, in proportion
            to the square root of their area.

    Returns:
        The example, or None if the scene shows no object that is large enough.
    """
    pixels_of = np.bincount(scene.objects.ravel())
    areas = pixels_of.copy()
    areas[0] = 0  # The background is not an object.
    eligible = np.flatnonzero(areas >= smallest)
    if not len(eligible):
        return None
    weight = np.sqrt(areas[eligible])
    few = len(eligible) < questions
    asked = rng.choice(eligible, questions, replace=few, p=weight / weight.sum())
    ends = np.cumsum(pixels_of)
    by_object = np.argsort(scene.objects, axis=None, kind="stable")
    side = scene.objects.shape[1]
    clicks, boxes = np.empty((questions, 2), np.float32), np.empty((questions, 4), np.float32)
    for i, number in enumerate(asked):
        pixels = by_object[ends[number] - areas[number] : ends[number]]
        y, x = np.divmod(pixels, side)
        chosen = rng.integers(len(pixels))
        clicks[i] = x[chosen], y[chosen]
        boxes[i] = _jitter_box(rng, np.array([x.min(), y.min(), x.max() + 1, y.max() + 1]), side)
    union, coords, labels = _draw_union(rng, scene)
    return {
        "image": torch.from_numpy(scene.image).permute(2, 0, 1),
        "objects": torch.from_numpy(scene.objects),
        "kinds": torch.from_numpy(scene.kinds),
        "asked": torch.from_numpy(asked.astype(np.int32)),
        "clicks": torch.from_numpy(clicks),
        "boxes": torch.from_numpy(boxes),
        "union": torch.from_numpy(union),
        "union_coords": torch.from_numpy(coords),
        "union_labels": torch.from_numpy(labels),
    }


def _jitter_box(rng: np.random.Generator, box: NDArray[np.int64], side: int) -> NDArray[np.float64]:
    size = np.tile(box[2:] - box[:2], 2)
    noise = np.clip(rng.normal(0, BOX_JITTER * size), -BOX_JITTER_LIMIT, BOX_JITTER_LIMIT)
    return np.clip(box + noise, 0, side)


def _draw_union(
    rng: np.random.Generator, scene: Scene
) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.int64]]:
    """Draw one kind, or in one of three cases all objects, with random points on it and off it."""
    there = np.unique(scene.kinds[scene.kinds > 0])
    kinds = there if rng.random() < 1 / 3 else rng.choice(there, 1)
    union = np.isin(scene.kinds, kinds)
    coords, labels = np.zeros((2 * PAIRS, 2), np.float32), np.full(2 * PAIRS, -1, np.int64)
    pairs = round(np.exp(rng.uniform(np.log(FEWEST_PAIRS), np.log(PAIRS))))
    for label, first in ((1, 0), (0, PAIRS)):
        pixels = np.flatnonzero(union == bool(label))
        if len(pixels):
            y, x = np.divmod(rng.choice(pixels, pairs), union.shape[1])
            coords[first : first + pairs] = np.stack([x, y], axis=1)
            labels[first : first + pairs] = label
    return union, coords, labels
