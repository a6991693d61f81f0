"""Connected components, compared with scipy's labelling and with masks drawn by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from scipy import ndimage

from sac_lightning.data.components import connected_components

Mask = NDArray[np.bool_]
masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12))


def as_regions(labels: NDArray[np.integer]) -> set[frozenset[int]]:
    """The regions as sets of pixel numbers, whatever they are called."""
    flat = labels.ravel()
    return {frozenset(np.flatnonzero(flat == label).tolist()) for label in np.unique(flat[flat > 0])}


@given(masks, st.integers(0, 6))
def test_agrees_with_scipy(mask: Mask, min_area: int) -> None:
    expected, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    labels = connected_components(mask, min_area)
    assert labels.dtype == np.int32
    assert as_regions(labels) == {region for region in as_regions(expected) if len(region) >= min_area}
    assert sorted(set(labels.ravel().tolist()) | {0}) == list(range(labels.max() + 1)), "labels have gaps"


def test_a_corner_joins_and_a_gap_does_not() -> None:
    mask = np.array([[1, 0, 0, 1], [0, 1, 0, 1]], dtype=bool)
    labels = connected_components(mask)
    assert labels[0, 0] == labels[1, 1]
    assert labels[0, 3] == labels[1, 3] != labels[0, 0]


def test_a_region_of_just_the_least_area_is_kept() -> None:
    mask = np.array([[1, 1, 1, 0, 1, 1]], dtype=bool)
    assert connected_components(mask, min_area=3).tolist() == [[1, 1, 1, 0, 0, 0]]


@pytest.mark.parametrize("value", [False, True])
def test_uniform_masks(value: bool) -> None:
    mask = np.full((5, 4), value)
    assert np.array_equal(connected_components(mask), mask.astype(np.int32))


def test_a_mask_that_is_not_contiguous_is_taken() -> None:
    mask = np.array([[1, 0, 0], [0, 0, 1]], dtype=bool).T
    assert connected_components(mask).max() == 2


@pytest.mark.parametrize("mask", [np.zeros((3, 3)), np.zeros((1, 3, 3), bool), np.zeros((3, 3), np.uint8)])
def test_other_arrays_are_refused(mask: Mask) -> None:
    with pytest.raises(ValueError, match="boolean"):
        connected_components(mask)
