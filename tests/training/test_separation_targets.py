"""The targets of a separating generator, by hand and against distances by brute force."""

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import ndimage

from sac_lightning.model.prompt_generator import DISTANCE, EDGE, INTERIOR, MASK
from sac_lightning.training.losses import separating_loss
from sac_lightning.training.separation_targets import measure_distances, separation_targets

Labels = NDArray[np.int64]


def squares() -> Labels:
    """Two squares of 9 pixels that touch, and a third by itself."""
    labels = np.zeros((20, 40), dtype=np.int64)
    labels[5:14, 2:11], labels[5:14, 11:20], labels[5:14, 28:37] = 3, 70, 9
    return labels


def test_a_touching_nucleus_ends_where_its_neighbour_begins() -> None:
    distance, relative = measure_distances(squares())
    alone, left, right = (distance[5:14, start : start + 9] for start in (28, 2, 11))
    np.testing.assert_array_equal(left, alone)
    np.testing.assert_array_equal(right, alone)
    assert alone[4, 4] == 4.5
    assert alone[0, 4] == 0.5
    assert relative[9, 6] == 1.0
    assert distance[0, 0] == relative[0, 0] == 0


# A distance along the diagonal is longer than a side.
@example(np.pad(np.zeros((1, 1), np.int64), ((0, 6), (0, 8)), constant_values=1))
@given(arrays(np.int64, (7, 9), elements=st.sampled_from([0, 0, 1, 1, 2, 5])))
def test_distances_are_those_to_the_nearest_outline(labels: Labels) -> None:
    height, width = labels.shape
    outline = [
        (y, x)
        for y, x in np.ndindex(height, width)
        if any(
            labels[y, x] != labels[b, a]
            for b, a in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
            if 0 <= b < height and 0 <= a < width
        )
    ]
    distance, _ = measure_distances(labels)
    for y, x in zip(*np.nonzero(labels), strict=True):
        # Of no meaning without an outline or background: the whole is one nucleus.
        others = [*outline, *zip(*np.nonzero(labels == 0), strict=True)]
        nearest = min((np.hypot(y - b, x - a) for b, a in others), default=np.hypot(height, width))
        assert distance[y, x] == pytest.approx(nearest + 0.5)


def test_a_large_gland_of_two_lobes_has_one_interior() -> None:
    labels = np.zeros((96, 160), np.int64)
    labels[8:88, 8:88] = labels[8:88, 100:152] = 1  # Two lobes,
    labels[38:60, 88:100] = 1  # and a neck of 22 pixels, half of which is less than 0.45 of 40.
    interior = separation_targets(labels)[INTERIOR] > 0
    assert ndimage.label(interior)[1] == 1
    assert interior.sum() < (labels > 0).sum()
    assert not interior[:, :14].any(), "an interior keeps away from the outline"


def test_every_nucleus_has_one_interior_however_they_touch() -> None:
    maps = separation_targets(squares())
    interior = maps[INTERIOR] > 0
    # Of a square of 9 pixels the middle 5: 2.5 and more of 4.5 is above .45.
    assert interior.sum() == 3 * 25
    assert not interior[:, 9:13].any()
    np.testing.assert_array_equal(maps[MASK] > 0, squares() > 0)
    np.testing.assert_array_equal(maps[EDGE] > 0, (squares() > 0) & (maps[DISTANCE] * 4.5 < 2))


@pytest.mark.parametrize("labels", [np.zeros((8, 8), np.int64), np.full((8, 8), 4)])
def test_an_image_of_nothing_and_one_of_a_single_nucleus_have_targets(labels: Labels) -> None:
    maps = separation_targets(labels)
    assert np.isfinite(maps).all()
    assert (maps[[MASK, INTERIOR, DISTANCE]] == (labels > 0)).all()


def test_the_loss_is_least_at_the_targets_and_looks_at_every_map() -> None:
    labels = torch.from_numpy(squares())[None, None, :16, :32].int()
    target = torch.from_numpy(separation_targets(squares()[:16, :32]))[None]
    best = (target.clamp(1e-4, 1 - 1e-4) / (1 - target.clamp(1e-4, 1 - 1e-4))).log()
    least = separating_loss(best, labels)
    for part in range(4):
        worse = best.clone()
        worse[:, part] *= 0.5
        assert separating_loss(worse, labels) > least + 1e-3


def test_nuclei_are_compared_at_the_resolution_of_the_maps() -> None:
    large = torch.from_numpy(np.kron(squares()[:16, :32], np.ones((2, 2), np.int64)))[None, None]
    logits = torch.randn(1, 4, 16, 32, generator=torch.Generator().manual_seed(0))
    small = torch.from_numpy(squares()[:16, :32])[None, None]
    torch.testing.assert_close(separating_loss(logits, large), separating_loss(logits, small))
