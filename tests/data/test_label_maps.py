"""Connected components against scipy's labelling and masks drawn by hand; new numbers against numpy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from scipy import ndimage

from sac_lightning.data.label_maps import connected_components, renumber_labels

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


def test_numbers_without_gaps() -> None:
    labels = np.array([[0, 7, 7], [3, 0, 9]], dtype=np.int32)
    assert renumber_labels(labels).tolist() == [[0, 2, 2], [1, 0, 3]]
    assert renumber_labels(labels, min_area=2).tolist() == [[0, 1, 1], [0, 0, 0]]
    assert renumber_labels(np.zeros((2, 2), np.int32)).tolist() == [[0, 0], [0, 0]]


def test_no_label_becomes_background_where_there_is_none() -> None:
    assert renumber_labels(np.array([[7, 3], [3, 9]])).tolist() == [[2, 1], [1, 3]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64])
@given(seed=st.integers(0, 2**31))
def test_new_numbers_keep_the_order_whatever_the_type(dtype: type[np.integer], seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 200, (5, 6)).astype(dtype)
    _, expected = np.unique(np.append(labels, 0), return_inverse=True)
    renumbered = renumber_labels(labels)
    assert renumbered.dtype == np.int32
    assert np.array_equal(renumbered, expected[:-1].reshape(labels.shape))
