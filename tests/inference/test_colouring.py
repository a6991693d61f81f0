"""Colours of nuclei: those that touch differ, whatever their number and order."""

import numpy as np
import pytest

from sac_lightning.inference import colouring
from sac_lightning.inference.colouring import PALETTE, colour_nuclei


def clashes(labels: np.ndarray) -> int:
    """Count the pairs of pixels of two touching nuclei of one colour."""
    colours = colour_nuclei(labels)
    assert colours.shape == (labels.max() + 1, 3)
    count = 0
    height, width = labels.shape
    for down, across in ((0, 1), (1, 0), (1, 1), (1, -1)):
        one = labels[: height - down, max(0, -across) : width - max(0, across)]
        other = labels[down:, max(0, across) : width + min(0, across)]
        differ = (one != other) & (one > 0) & (other > 0)
        count += int((colours[one[differ]] == colours[other[differ]]).all(axis=1).sum())
    return count


@pytest.mark.parametrize("seed", range(3))
def test_nuclei_that_touch_never_share_a_colour(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(colouring, "ROWS_AT_ONCE", 7)
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, 80, (200, 2))
    y, x = np.mgrid[:80, :80]
    distance = (y[..., None] - centres[:, 0]) ** 2 + (x[..., None] - centres[:, 1]) ** 2
    labels = (rng.permutation(200) + 1)[distance.argmin(axis=2)].astype(np.int32)
    assert clashes(labels) == 0, "cells without gaps"
    labels[distance.min(axis=2) > 9] = 0
    assert clashes(labels) == 0


def test_one_with_more_neighbours_than_there_are_colours_differs_from_all() -> None:
    labels = np.zeros((3, 90), dtype=np.int32)
    labels[1] = 31
    labels[0], labels[2] = np.repeat(np.arange(1, 31), 3), np.repeat(np.arange(32, 62), 3)
    assert clashes(labels) == 0


def test_corners_count_and_what_is_alone_has_the_first_colour() -> None:
    labels = np.array([[1, 0, 0, 0], [0, 2, 0, 5]], dtype=np.int32)
    colours = colour_nuclei(labels)
    assert {tuple(colours[1]), tuple(colours[2])} == set(PALETTE[:2])
    assert tuple(colours[5]) == PALETTE[0]
    assert len(colour_nuclei(np.zeros((0, 4), dtype=np.int32))) == 1
