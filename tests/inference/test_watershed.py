"""The watershed against maps drawn by hand and against scikit-image on the whole image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label as label_by_skimage
from skimage.segmentation import watershed as watershed_by_skimage

from sac_lightning.inference.thresholds import Components, EveryPrompt, Watershed
from sac_lightning.inference.watershed import Maps, labels_of_maps, mask_threshold, watershed

Map = NDArray[np.float32]


def distance_maps(*discs: tuple[float, float, float], size: tuple[int, int] = (40, 60)) -> Map:
    """A probability that falls from 1 at the middle (y, x) of each disc to 0.5 at its radius and on to 0."""
    y, x = np.mgrid[: size[0], : size[1]]
    hills = [1 - 0.5 * np.hypot(y - cy, x - cx) / radius for cy, cx, radius in discs]
    return np.clip(np.max(hills, axis=0, initial=0), 0, 1).astype(np.float32)


def maps(probability: Map, generator: Map | None = None, threshold: float = 0.5) -> Maps:
    return Maps(probability > threshold, probability, None if generator is None else generator[None])


TWO = distance_maps((20, 20, 12), (20, 40, 12))  # They overlap: one region, two tops.


def test_two_touching_discs_are_two_nuclei() -> None:
    assert labels_of_maps(maps(TWO), Components()).max() == 1
    labels = watershed(maps(TWO), marker=0.7)
    assert labels.max() == 2
    assert np.array_equal(labels > 0, TWO > 0.5), "all of the mask is shared out"
    columns = np.arange(60)
    for row in labels:
        assert set(row[(columns < 30)].tolist()) <= {0, 1}, "they are parted in the middle"
        assert set(row[(columns > 30)].tolist()) <= {0, 2}


def test_one_marker_leaves_them_one() -> None:
    assert watershed(maps(TWO), marker=0.5).max() == 1
    generator = distance_maps((20, 20, 12))  # It sees only one of them.
    assert watershed(maps(TWO, generator), marker=0.7).max() == 1


def test_the_markers_are_the_generators_where_there_is_one() -> None:
    flat = np.where(TWO > 0.5, 0.9, 0.1).astype(np.float32)
    assert watershed(maps(flat), marker=0.7).max() == 1
    labels = watershed(maps(flat, TWO), marker=0.7)
    assert labels.max() == 2
    assert labels[20, 20] != labels[20, 40]


def test_a_nucleus_without_a_marker_is_one_nucleus() -> None:
    probability = distance_maps((20, 15, 8), (20, 45, 8))
    generator = distance_maps((20, 15, 8))
    labels = watershed(maps(probability, generator), marker=0.7)
    assert labels.max() == 2
    assert np.array_equal(labels > 0, probability > 0.5)


def test_a_marker_outside_the_mask_is_none() -> None:
    probability, generator = distance_maps((20, 15, 8)), distance_maps((20, 45, 8))
    labels = watershed(maps(probability, generator), marker=0.7)
    assert np.array_equal(labels, (probability > 0.5).astype(np.int32))


def test_a_marker_over_two_regions_does_not_join_them() -> None:
    probability = distance_maps((20, 15, 8), (20, 45, 8))
    labels = watershed(maps(probability, np.full_like(probability, 0.9)), marker=0.7)
    assert labels.max() == 2


def test_a_ring_is_one_nucleus_with_a_hole_and_two_with_two_markers() -> None:
    y, x = np.mgrid[:41, :41]
    radius = np.hypot(y - 20, x - 20)
    ring = ((radius > 8) & (radius < 15)).astype(np.float32)
    labels = watershed(maps(ring), marker=0.7)
    assert np.array_equal(labels, ring.astype(np.int32))
    generator = ring * (np.abs(y - 20) < 3)  # left and right
    labels = watershed(maps(ring, generator.astype(np.float32)), marker=0.7)
    assert labels.max() == 2
    assert np.array_equal(labels > 0, ring > 0)
    assert labels[20, 8] != labels[20, 32]


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("has_generator", [False, True])
def test_uniform_images(value: float, has_generator: bool) -> None:
    flat = np.full((5, 4), value, dtype=np.float32)
    labels = watershed(maps(flat, flat if has_generator else None), marker=0.7, min_area=2)
    assert labels.dtype == np.int32
    assert np.array_equal(labels, flat.astype(np.int32))


def test_small_nuclei_are_dropped_and_the_others_numbered_on() -> None:
    probability = distance_maps((10, 10, 2), (20, 30, 8), (30, 50, 4))
    areas = np.bincount(watershed(maps(probability), marker=0.6).ravel())[1:]
    assert areas[0] < areas[2] < areas[1]
    labels = watershed(maps(probability), marker=0.6, min_area=int(areas[2]))
    assert np.bincount(labels.ravel())[1:].tolist() == [areas[1], areas[2]], "one of just that area is kept"
    assert watershed(maps(probability), marker=0.6, min_area=10**6).max() == 0


def by_skimage(of: Maps, marker: float) -> NDArray[np.int32]:
    """The definition, flooded at once on the whole image; markers that are connected elsewhere are parted."""
    source = of.probability if of.generator_maps is None else of.generator_maps[0]
    markers = label_by_skimage(of.mask & (source > marker), connectivity=2)
    regions = label_by_skimage(of.mask, connectivity=2)
    bare = ~np.isin(regions, regions[markers > 0]) & of.mask
    markers = np.where(bare, markers.max() + regions, markers)
    return watershed_by_skimage(-of.probability, markers, connectivity=2, mask=of.mask)


@settings(max_examples=80)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.floats(0.3, 0.7), st.floats(0.3, 0.95))
def test_agrees_with_scikit_image_on_the_whole_image(
    seed: int, has_generator: bool, threshold: float, marker: float
) -> None:
    rng = np.random.default_rng(seed)

    def field() -> Map:
        """Blobs without two equal numbers: which of two equal pixels comes first is nowhere defined."""
        rough = ndimage.gaussian_filter(rng.random((40, 50)), 1.5)
        return (rough.ravel().argsort().argsort().reshape(40, 50) / rough.size).astype(np.float32)

    given_maps = maps(field(), field() if has_generator else None, threshold)
    ours, theirs = watershed(given_maps, marker), by_skimage(given_maps, marker)
    pairs = np.unique(np.stack([ours.ravel(), theirs.ravel()]), axis=1)
    assert pairs.shape[1] == len(np.unique(ours)) == len(np.unique(theirs)), "the numbers may differ, no more"
    assert sorted(set(ours.ravel().tolist()) | {0}) == list(range(ours.max() + 1)), "labels have gaps"


def test_each_method_has_its_mask() -> None:
    assert mask_threshold(Watershed(0.4, 0.7, 0)) == 0.4
    assert mask_threshold(Components()) == mask_threshold(EveryPrompt(0.5, 0.5, 0)) == 0.5


# A generator that separates


def separating(discs: list[tuple[float, float, float]], mask: NDArray[np.bool_]) -> Maps:
    """A mask that is sure of all its pixels, and the interiors and distances of discs in it."""
    heights = distance_maps(*discs)
    maps_of_generator = np.stack([mask, heights > 0.75, heights]).astype(np.float32)
    return Maps(mask, np.where(mask, 1.0, 0.0).astype(np.float32), maps_of_generator)


def test_interiors_part_what_the_mask_cannot() -> None:
    discs = [(20.0, 20.0, 12.0), (20.0, 40.0, 12.0)]
    mask = distance_maps(*discs) > 0.5
    flat = Maps(mask, mask.astype(np.float32), mask[None].astype(np.float32))
    assert labels_of_maps(flat, Watershed(0.5, 0.5, 0)).max() == 1
    labels = labels_of_maps(separating(discs, mask), Watershed(0.5, 0.5, 0))
    assert labels.max() == 2
    assert np.array_equal(labels > 0, mask)
    left, right = (labels[:, :30] > 0).sum(), (labels[:, 30:] > 0).sum()
    assert abs(int((labels == labels[20, 20]).sum()) - left) < 20
    assert abs(int((labels == labels[20, 40]).sum()) - right) < 20


def test_a_region_without_an_interior_is_no_nucleus() -> None:
    mask = distance_maps((20, 20, 12)) > 0.5
    mask[2:4, 50:53] = True
    labels = labels_of_maps(separating([(20, 20, 12)], mask), Watershed(0.5, 0.5, 0))
    assert labels.max() == 1
    assert not labels[2:4, 50:53].any()
