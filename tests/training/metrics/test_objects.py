"""The figures of the GlaS challenge against examples by hand and plain loops over whole masks."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.spatial.distance import directed_hausdorff

from sac_lightning.training.metrics.objects import (
    ObjectScores,
    hausdorff,
    object_dice,
    object_f1,
    object_hausdorff,
)
from sac_lightning.training.metrics.overlaps import find_overlaps

Labels = NDArray[np.int64]
label_maps = arrays(np.int64, (6, 7), elements=st.sampled_from([0, 0, 1, 2, 3, 70000]))


def as_masks(labels: Labels) -> list[NDArray[np.bool_]]:
    return [labels == label for label in np.unique(labels[labels > 0])]


def far(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """The Hausdorff distance by another implementation."""
    points = np.argwhere(one), np.argwhere(other)
    return max(directed_hausdorff(*points)[0], directed_hausdorff(*points[::-1])[0])


def reference(prediction: Labels, target: Labels) -> dict[str, float]:
    sides = as_masks(target), as_masks(prediction)
    if not any(sides):
        return {"f1": 1.0, "dice": 1.0, "hausdorff": 0.0}
    dice = distance = 0.0
    for side, others in (sides, sides[::-1]):
        whole = sum(mask.sum() for mask in side)
        for mask in side:
            shared = [(mask & other).sum() for other in others]
            if any(shared):
                partner = others[int(np.argmax(shared))]
                dice += mask.sum() / whole * 2 * max(shared) / (mask.sum() + partner.sum()) / 2
                distance += mask.sum() / whole * far(mask, partner) / 2
            elif others:
                distance += mask.sum() / whole * min(far(mask, other) for other in others) / 2
    found = set()
    for mask in sides[1]:
        shared = [(mask & true).sum() for true in sides[0]]
        if any(shared) and 2 * max(shared) >= sides[0][int(np.argmax(shared))].sum():
            found.add(int(np.argmax(shared)))
    if not all(sides):
        distance = math.hypot(*target.shape)
    return {"f1": 2 * len(found) / sum(map(len, sides)), "dice": dice, "hausdorff": distance}


def figures(prediction: Labels, target: Labels) -> dict[str, float]:
    overlaps = find_overlaps(prediction, target)
    return {
        "f1": object_f1(overlaps),
        "dice": object_dice(overlaps),
        "hausdorff": object_hausdorff(prediction, target, overlaps),
    }


@given(label_maps, label_maps)
def test_agrees_with_loops(prediction: Labels, target: Labels) -> None:
    assert figures(prediction, target) == pytest.approx(reference(prediction, target))


@given(label_maps, arrays(np.int64, (6, 7), elements=st.sampled_from([-1, -1, -1, -1, -1, 0, 1, 2])))
def test_agrees_with_loops_on_maps_that_nearly_match(target: Labels, edits: Labels) -> None:
    prediction = np.where(edits < 0, target, edits)
    assert figures(prediction, target) == pytest.approx(reference(prediction, target))


def test_the_farthest_pixel_may_lie_inside() -> None:
    ring = np.ones((9, 9), bool)
    ring[1:-1, 1:-1] = False
    assert hausdorff(np.ones((9, 9), bool), ring) == 4.0


@pytest.mark.parametrize(("prediction", "target"), [(0, 1), (1, 0)])
def test_an_image_without_objects_on_one_side_is_a_diagonal_away(prediction: int, target: int) -> None:
    maps: list[Any] = [np.full((3, 4), value) for value in (prediction, target)]
    metric = ObjectScores()
    metric.update(*maps)
    assert {name: value.item() for name, value in metric.compute().items()} == {
        "object_f1": 0.0,
        "object_dice": 0.0,
        "object_hausdorff": 5.0,
    }
