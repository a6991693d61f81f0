"""Bands: every nucleus is labelled once, whole, however the image comes in strips."""

import weakref
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from sac_lightning.inference.thresholds import Components, Watershed
from sac_lightning.inference.watershed import Maps, labels_of_maps
from sac_lightning.slides.band import Band
from sac_lightning.slides.bands import join_strips
from sac_lightning.slides.strips import Strip


def label_map(maps: Maps) -> NDArray[np.int32]:
    return labels_of_maps(maps, Components())


def strips(mask: NDArray[np.bool_], heights: list[int]) -> Iterator[Strip]:
    """The mask as probabilities of 0.2 and 0.8, without a prompt generator."""
    return in_strips(np.where(mask, 0.8, 0.2).astype(np.float32), None, heights)


def in_strips(
    probability: NDArray[np.float32], generator: NDArray[np.float32] | None, heights: list[int]
) -> Iterator[Strip]:
    """Maps in strips of some heights; every row has its number for a colour."""
    top = 0
    for height in heights:
        part = probability[top : top + height]
        generated = None if generator is None else generator[:, top : top + height]
        grey = np.arange(top, top + len(part), dtype=np.uint16)[:, None] + np.zeros(part.shape, np.uint16)
        rgb = np.zeros((*part.shape, 3), dtype=np.uint8)
        yield Strip(grey, rgb, part, generated, np.zeros((0, 2), np.float32), np.zeros(0, np.int64))
        top += height


def put_together(bands: list[Band], shape: tuple[int, int]) -> NDArray[np.int32]:
    """The label map of the final rows."""
    labels = np.concatenate([band.labels[: band.final] for band in bands])
    assert labels.shape == shape
    return labels


def same_regions(labels: NDArray[np.int32], mask: NDArray[np.bool_]) -> bool:
    """Whether the labels are the 8-connected regions of a mask, by scipy."""
    truth, count = ndimage.label(mask, np.ones((3, 3)))
    pairs = np.unique(np.stack([labels.ravel(), truth.ravel()]), axis=1)
    return pairs.shape[1] == count + (not mask.all()) and sorted(set(pairs[0])) == sorted(set(pairs[1]))


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.6), st.lists(st.integers(1, 9), min_size=1, max_size=9))
def test_regions_are_connected_over_strips(seed: int, share: float, heights: list[int]) -> None:
    mask = np.random.default_rng(seed).random((sum(heights), 12)) < share
    bands = list(join_strips(strips(mask, heights), mask.shape, label_map, band_pixels=1, most_pixels=10**9))
    labels = put_together(bands, mask.shape)
    assert same_regions(labels, mask)
    new = np.concatenate([np.unique(band.new[band.new > 0]) for band in bands])
    assert sorted(new) == list(range(1, labels.max(initial=0) + 1)), "each is new once"


def test_a_nucleus_over_many_strips_comes_whole() -> None:
    mask = np.zeros((50, 20), dtype=bool)
    mask[3:41, 4:9] = True
    mask[10:14, 12:18] = True
    bands = list(join_strips(strips(mask, [5] * 10), mask.shape, label_map, band_pixels=1, most_pixels=10**9))
    long = [band for band in bands if (band.new[:, 5] > 0).any()]
    assert len(long) == 1
    rows = np.flatnonzero(long[0].new[:, 5]) + long[0].top
    assert rows.tolist() == list(range(3, 41))
    assert (long[0].raw[:, 0] == np.arange(long[0].top, long[0].top + len(long[0].raw))).all(), "with its pixels"


def test_the_strips_may_be_joined_before_they_are_labelled() -> None:
    mask = np.random.default_rng(0).random((40, 10)) < 0.3
    seen: list[Maps] = []

    def label(maps: Maps) -> NDArray[np.int32]:
        seen.append(maps)
        return label_map(maps)

    bands = list(join_strips(strips(mask, [4] * 10), mask.shape, label, band_pixels=401, most_pixels=10**9))
    assert len(bands) == len(seen) == 1
    assert np.array_equal(seen[0].mask, mask)
    assert np.array_equal(bands[0].labels, label_map(seen[0]))


def test_what_is_not_complete_waits() -> None:
    mask = np.zeros((20, 6), dtype=bool)
    mask[7:12, 2:4] = True
    seen: list[Maps] = []

    def label(maps: Maps) -> NDArray[np.int32]:
        seen.append(maps)
        return label_map(maps)

    list(join_strips(strips(mask, [10, 10]), mask.shape, label, band_pixels=1, most_pixels=10**9))
    assert not seen[0].mask.any()
    assert seen[1].mask.sum() == 10


def smooth(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Blobs of probability in [0, 1], some of them touching."""
    field = ndimage.gaussian_filter(rng.random(shape), 1.5)
    return ((field - field.min()) / np.ptp(field)).astype(np.float32)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 3]), st.lists(st.integers(1, 9), min_size=2, max_size=9))
def test_the_watershed_of_parts_is_that_of_the_whole(seed: int, maps: int, heights: list[int]) -> None:
    rng = np.random.default_rng(seed)
    shape = (sum(heights), 30)
    probability = smooth(rng, shape)
    generator = (
        np.stack([np.clip(probability + 0.1 * smooth(rng, shape), 0, 1) for _ in range(maps)]) if maps else None
    )
    separation = Watershed(mask=0.45, marker=0.6, min_area=3)

    def label(maps: Maps) -> NDArray[np.int32]:
        return labels_of_maps(maps, separation)

    arguments = (shape, label, 1, 10**9, separation.mask)
    labels = put_together(list(join_strips(in_strips(probability, generator, heights), *arguments)), shape)
    whole = label(Maps(probability > 0.45, probability, generator))
    pairs = np.unique(np.stack([labels.ravel(), whole.ravel()]), axis=1)
    assert np.array_equal(labels > 0, whole > 0)
    assert pairs.shape[1] == len(np.unique(labels)) == len(np.unique(whole)), "the numbers may differ, no more"


def test_only_what_is_longer_than_memory_may_hold_is_cut() -> None:
    mask = np.ones((60, 10), dtype=bool)
    bands = list(join_strips(strips(mask, [5] * 12), mask.shape, label_map, band_pixels=1, most_pixels=200))
    assert max(len(band.raw) for band in bands) == 20
    assert put_together(bands, mask.shape).max() == 3


def test_what_is_given_away_is_not_kept() -> None:
    mask = np.zeros((60, 10), dtype=bool)
    mask[8:13, 2:5] = True
    given: list[weakref.ref[Strip] | weakref.ref[NDArray[np.float32]]] = []

    def watched() -> Iterator[Strip]:
        waiting = list(strips(mask, [10] * 6))
        while waiting:
            assert all(reference() is None for reference in given)
            given.append(weakref.ref(waiting[0]))
            yield waiting.pop(0)

    for band in join_strips(watched(), mask.shape, label_map, band_pixels=1, most_pixels=10**9):
        given += [weakref.ref(array) for array in (band.raw, band.rgb, band.probability, band.labels, band.new)]
        del band
    assert len(given) == 6 + 6 * 5


@pytest.mark.parametrize("height", [1, 7])
def test_an_empty_mask_has_no_nuclei(height: int) -> None:
    mask = np.zeros((height, 5), dtype=bool)
    bands = list(join_strips(strips(mask, [height]), mask.shape, label_map, band_pixels=1, most_pixels=100))
    assert not put_together(bands, mask.shape).any()
