"""Point selection, compared with scikit-image, with brute force and with its docstrings."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from skimage.draw import disk
from skimage.measure import label, regionprops
from torch import Tensor

from sac_lightning.core.errors import UserError
from sac_lightning.model.point_selection import (
    PointSelection,
    Selection,
    deepest_pixels,
    measure_depths,
    random_pixels,
    region_centroids,
    scale_points,
)

Mask = NDArray[np.bool_]
masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=16))
probabilities = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=12),
    elements=st.floats(0.0078125, 0.9921875, width=16),
)
quick = settings(max_examples=60)


def select(probability: NDArray[np.float32], seed: int = 0, **options: Any) -> tuple[Tensor, Tensor]:
    """Points (2n, 2) and labels (2n,) of one map of probabilities (H, W)."""
    coords, labels = PointSelection(**options)(logits_of(probability), torch.tensor([seed]))
    return coords[0], labels[0]


def logits_of(probability: NDArray[np.float32]) -> Tensor:
    return torch.logit(torch.from_numpy(probability.astype(np.float32)))[None, None]


def map_of(mask: Mask) -> NDArray[np.float32]:
    """0.9 on the mask and 0.1 elsewhere."""
    return np.where(mask, 0.9, 0.1).astype(np.float32)


def ring() -> Mask:
    mask = np.zeros((21, 21), dtype=bool)
    mask[disk((10, 10), 8)] = True
    mask[disk((10, 10), 5)] = False
    return mask


def c_shape() -> Mask:
    mask = np.zeros((15, 15), dtype=bool)
    mask[2:13, 2:5] = mask[2:5, 2:13] = mask[10:13, 2:13] = True
    return mask


def background_with_holes() -> Mask:
    mask = np.ones((30, 30), dtype=bool)
    mask[disk((14, 14), 6)] = mask[disk((4, 24), 3)] = False
    return mask


BENT = pytest.mark.parametrize("mask", [ring(), c_shape(), background_with_holes()], ids=["ring", "C", "holes"])


def inside(mask: Mask, x: float, y: float) -> bool:
    return bool(mask[round(y), round(x)])


# O: centroids


@quick
@given(mask=masks, count=st.integers(0, 6))
def test_centroids_are_those_of_skimage_largest_first(mask: Mask, count: int) -> None:
    regions = regionprops(label(mask, connectivity=2))
    by_rank = {(-region.area, *region.bbox[:2]): region.centroid[::-1] for region in regions}
    assume(len(by_rank) == len(regions))
    expected = [by_rank[rank] for rank in sorted(by_rank)[:count]]
    points = region_centroids(mask, count, keep_raw=True)
    np.testing.assert_allclose(points, np.array(expected).reshape(-1, 2), atol=1e-4)


@quick
@given(mask=masks, count=st.integers(0, 6))
def test_centroids_lie_inside_their_own_regions(mask: Mask, count: int) -> None:
    labels = label(mask, connectivity=2)
    areas = np.bincount(labels.ravel())[1:]
    hit = [int(labels[round(float(y)), round(float(x))]) for x, y in region_centroids(mask, count)]
    assert 0 not in hit, "a point lies on the background"
    assert len(set(hit)) == len(hit) == min(count, len(areas)), "a region got two points or none"
    assert [areas[i - 1] for i in hit] == sorted(areas, reverse=True)[:count], "not the largest regions first"


@quick
@given(mask=masks)
def test_a_centroid_outside_moves_to_the_nearest_pixel_of_its_region(mask: Mask) -> None:
    labels = label(mask, connectivity=2)
    raw, moved = (region_centroids(mask, 1000, keep_raw) for keep_raw in (True, False))
    for before, after in zip(raw, moved, strict=True):
        rows, columns = np.nonzero(labels == labels[round(float(after[1])), round(float(after[0]))])
        distance = np.hypot(columns - before[0], rows - before[1])
        if np.array_equal(before, after):
            assert distance.min() <= np.sqrt(0.5) + 1e-4, "the centroid lies outside but has not been moved"
        else:
            assert np.hypot(*(after - before)) == pytest.approx(distance.min(), abs=1e-4)


@BENT
def test_a_bent_region_is_pointed_at_from_inside(mask: Mask) -> None:
    (x, y), _ = select(map_of(mask), points=1)[0]
    assert inside(mask, x.item(), y.item()), f"the positive point ({x}, {y}) lies outside its region"


@BENT
@pytest.mark.parametrize("turned", [False, True])
def test_the_nearest_pixel_of_a_bent_region_stands_for_it(mask: Mask, turned: bool) -> None:
    mask = np.pad(mask.T if turned else mask, ((3, 0), (5, 0)))  # away from the corner
    rows, columns = np.nonzero(mask)
    x, y = columns.mean(), rows.mean()
    ((px, py),) = region_centroids(mask, 1)
    assert np.hypot(px - x, py - y) == pytest.approx(np.hypot(columns - x, rows - y).min(), abs=1e-4)


@BENT
def test_the_negative_point_of_a_bent_background_is_upon_background(mask: Mask) -> None:
    _, (x, y) = select(map_of(~mask), points=1)[0]
    assert inside(mask, x.item(), y.item()), f"the negative point ({x}, {y}) lies on a nucleus"


@BENT
def test_the_raw_centroid_can_be_kept(mask: Mask) -> None:
    (point, _), labels = select(map_of(mask), points=1, keep_raw_centroid=True)
    rows, columns = np.nonzero(mask)
    assert point.tolist() == pytest.approx([columns.mean(), rows.mean()], abs=1e-4)
    assert not inside(mask, *point.tolist()), "this mask was chosen for a centroid that lies outside"
    assert labels[0] == 1


def test_regions_that_touch_at_a_corner_are_one() -> None:
    mask = np.zeros((6, 6), dtype=bool)
    mask[1:3, 1:3] = mask[3:5, 3:5] = True
    assert region_centroids(mask, 5, keep_raw=True).tolist() == [[2.5, 2.5]]


def test_of_equal_regions_the_topmost_then_leftmost_comes_first() -> None:
    mask = np.zeros((9, 9), dtype=bool)
    mask[[0, 1, 1, 4, 8], [6, 0, 3, 4, 8]] = True
    expected = [[6, 0], [0, 1], [3, 1], [4, 4], [8, 8]]
    assert region_centroids(mask, 5).tolist() == expected


# Layout


def test_first_n_are_positive_and_the_next_n_negative() -> None:
    mask = np.zeros((12, 12), dtype=bool)
    mask[1:4, 1:4] = mask[7:9, 8:10] = True
    coords, labels = select(map_of(mask), points=3)
    assert coords.dtype == torch.float32
    assert labels.dtype == torch.int64
    assert coords.shape == (6, 2)
    assert labels.tolist() == [1, 1, -1, 0, -1, -1]
    assert coords[:3].tolist() == [[2.0, 2.0], [8.5, 7.5], [0.0, 0.0]]
    assert coords[4:].tolist() == [[0.0, 0.0], [0.0, 0.0]]


@quick
@given(
    probability=probabilities,
    points=st.integers(0, 5),
    selection=st.sampled_from(["O", "R"]),
    threshold=st.sampled_from([0.0, 0.2, 0.5, 0.8, 0.95]),
    fill=st.booleans(),
    seed=st.integers(0, 2**40),
)
def test_every_point_is_above_the_threshold_on_its_side(
    probability: NDArray[np.float32], points: int, selection: Selection, threshold: float, fill: bool, seed: int
) -> None:
    options = {"points": points, "selection": selection, "threshold": threshold, "fill_with_random": fill}
    coords, labels = select(probability, seed, **options)
    assert coords.shape == (2 * points, 2)
    assert labels.shape == (2 * points,)
    assert set(labels[:points].tolist()) <= {1, -1}, "the first n are not all positive"
    assert set(labels[points:].tolist()) <= {0, -1}, "the last n are not all negative"
    positive = torch.sigmoid(logits_of(probability))[0, 0]
    for (x, y), sign in zip(coords.tolist(), labels.tolist(), strict=True):
        if sign == -1:
            assert (x, y) == (0, 0), "padding is not at (0, 0)"
            continue
        p = positive[round(y), round(x)]
        side = p if sign == 1 else 1 - p
        assert side > threshold, f"the point ({x}, {y}) with label {sign} has probability {side} only"


@pytest.mark.parametrize("selection", ["O", "R"])
@pytest.mark.parametrize("fill", [False, True])
def test_a_batch_equals_its_images_one_by_one(selection: Selection, fill: bool) -> None:
    logits = torch.randn(4, 1, 14, 11, generator=torch.Generator().manual_seed(0))
    seeds = torch.tensor([5, 0, 5, 123456789012])
    chosen = PointSelection(4, selection, threshold=0.6, fill_with_random=fill)
    coords, labels = chosen(logits, seeds)
    assert coords.shape == (4, 8, 2)
    for i in range(4):
        alone_coords, alone_labels = chosen(logits[i : i + 1], seeds[i : i + 1])
        assert torch.equal(coords[i], alone_coords[0]), f"image {i} gets other points within a batch"
        assert torch.equal(labels[i], alone_labels[0])


@pytest.mark.parametrize("selection", ["O", "R"])
def test_no_points(selection: Selection) -> None:
    coords, labels = PointSelection(0, selection)(torch.randn(3, 1, 8, 8), torch.zeros(3, dtype=torch.long))
    assert coords.shape == (3, 0, 2)
    assert labels.shape == (3, 0)


@pytest.mark.parametrize("selection", ["O", "R"])
@pytest.mark.parametrize(("value", "expected"), [(0.9, [1, -1]), (0.1, [-1, 0])])
def test_all_nucleus_and_all_background(selection: Selection, value: float, expected: list[int]) -> None:
    coords, labels = select(np.full((8, 10), value, dtype=np.float32), points=1, selection=selection)
    assert labels.tolist() == expected
    if selection == "O":
        assert coords[expected.index(max(expected))].tolist() == [4.5, 3.5]


@pytest.mark.parametrize("selection", ["O", "R"])
def test_a_probability_at_the_threshold_is_not_above_it(selection: Selection) -> None:
    _, labels = PointSelection(2, selection, threshold=0.5)(torch.zeros(1, 1, 8, 8), torch.tensor([0]))
    assert labels.tolist() == [[-1, -1, -1, -1]]


def test_selection_takes_no_gradient_and_any_precision() -> None:
    logits = torch.randn(1, 1, 8, 8, requires_grad=True)
    coords, _ = PointSelection(1)(logits.to(torch.bfloat16), torch.tensor([0]))
    assert not coords.requires_grad
    assert coords.dtype == torch.float32


# R: random pixels, and filling up with them


def test_random_points_are_drawn_without_replacement() -> None:
    mask = np.zeros((6, 7), dtype=bool)
    mask[2:4, 3:6] = True
    points = random_pixels(mask, 6, np.random.default_rng(0))
    assert {(int(x), int(y)) for x, y in points} == {(x, y) for x in (3, 4, 5) for y in (2, 3)}


def test_more_points_than_pixels_leaves_padding() -> None:
    mask = np.zeros((4, 4), dtype=bool)
    mask[1, 2] = mask[3, 0] = True
    coords, labels = select(map_of(mask), points=5, selection="R")
    assert labels[:5].tolist() == [1, 1, -1, -1, -1]
    assert {tuple(point) for point in coords[:2].tolist()} == {(2.0, 1.0), (0.0, 3.0)}
    assert labels[5:].tolist() == [0] * 5


@pytest.mark.parametrize("options", [{"selection": "R"}, {"selection": "O", "fill_with_random": True}])
def test_a_seed_fixes_the_random_points(options: dict[str, Any]) -> None:
    probability = map_of(background_with_holes())
    first, again, other = (select(probability, seed, points=5, **options)[0] for seed in (3, 3, 4))
    assert torch.equal(first, again), "the same seed gives other points"
    assert not torch.equal(first, other), "another seed gives the same points"


def test_random_points_reach_every_pixel_alike() -> None:
    mask = np.zeros((3, 4), dtype=bool)
    mask[1, 1:] = mask[2, 0] = True
    hits = np.zeros(mask.shape, dtype=int)
    for seed in range(2000):
        ((x, y),) = random_pixels(mask, 1, np.random.default_rng(seed))
        hits[int(y), int(x)] += 1
    assert (hits[~mask] == 0).all()
    # 500 each on average, standard deviation 19.
    assert ((hits[mask] > 400) & (hits[mask] < 600)).all(), f"some pixels are drawn more often: {hits[mask]}"


def test_missing_regions_are_filled_with_random_pixels_if_asked() -> None:
    mask = np.zeros((10, 10), dtype=bool)
    mask[2:5, 2:5] = True
    coords, labels = select(map_of(mask), points=4, fill_with_random=True)
    assert labels.tolist() == [1] * 4 + [0] * 4, "there is padding although it was to be filled"
    assert coords[0].tolist() == [3.0, 3.0], "the centroid is not the first point"
    assert all(inside(mask, x, y) for x, y in coords[:4].tolist())
    assert len({tuple(point) for point in coords[1:4].tolist()}) == 3


def test_filling_finds_nothing_where_there_is_nothing() -> None:
    _, labels = select(np.full((5, 5), 0.1, dtype=np.float32), points=2, fill_with_random=True)
    assert labels.tolist() == [-1, -1, 0, 0]


# Options and scaling


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points": -1}, "prompts.points is -1: choose a whole number"),
        ({"points": 1, "selection": "C"}, "prompts.selection is C: choose O (centroids) or R (random)"),
        ({"points": 1, "threshold": 1.0}, "prompts.threshold is 1.0: choose a probability in [0, 1)"),
        ({"points": 1, "threshold": -0.1}, "prompts.threshold is -0.1: choose a probability in [0, 1)"),
    ],
)
def test_values_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        PointSelection(**options)


def test_pixel_centres_meet_after_scaling() -> None:
    # Pixel 0 of the coarse grid covers pixels 0 to 3 of the fine one, whose middle is 1.5.
    points = torch.tensor([[0.0, 1.0], [15.0, 7.5]])
    assert scale_points(points, 4).tolist() == [[1.5, 5.5], [61.5, 31.5]]
    assert scale_points(points, 1).tolist() == points.tolist()
    assert scale_points(scale_points(points, 4), 0.25).tolist() == points.tolist()


def maps_of(mask: list[str], interior: list[str]) -> Tensor:
    """Logits (1, 4, H, W) of a separating generator: certain of a mask and of interiors, of nothing else."""
    planes = [torch.tensor([[character == "1" for character in row] for row in rows]) for rows in (mask, interior)]
    certain = torch.stack(planes).float() * 20 - 10
    return torch.cat([certain, torch.zeros_like(certain)])[None]


TOUCHING = [".........", ".1111111.", ".1111111.", ".........", "........."]
INTERIORS = [".........", "..1...1..", "..11..1..", ".........", "1........"]


def test_interiors_give_a_point_for_each_of_two_nuclei_that_touch() -> None:
    coords, labels = PointSelection(2, min_area=2)(maps_of(TOUCHING, INTERIORS), torch.tensor([0]))
    positives = coords[0, :2].round().tolist()

    assert sorted(x for x, _ in positives) == [2.0, 6.0]
    assert labels[0].tolist() == [1, 1, 0, -1]
    clump, _ = PointSelection(2, min_area=2)(maps_of(TOUCHING, INTERIORS)[:, :1], torch.tensor([0]))
    assert clump[0, 0].tolist() == [4.0, 1.5]


def test_a_speck_gives_no_point() -> None:
    _, labels = PointSelection(3)(maps_of(TOUCHING, INTERIORS), torch.tensor([0]))
    assert labels[0, :3].tolist() == [1, 1, 1]
    _, labels = PointSelection(3, min_area=2)(maps_of(TOUCHING, INTERIORS), torch.tensor([0]))
    assert labels[0, :3].tolist() == [1, 1, -1]


@pytest.mark.parametrize("selection", ["O", "R"])
def test_negative_points_keep_their_distance_from_nuclei(selection: Selection) -> None:
    mask = np.zeros((64, 64), dtype=bool)
    mask[20:30, 20:40] = mask[50:53, 5:8] = True
    logits = torch.from_numpy(np.where(mask, 9.0, -9.0)).float()[None, None]
    rows, columns = np.nonzero(mask)
    for margin in (0, 6):
        coords, labels = PointSelection(20, selection, margin=margin)(logits, torch.tensor([1]))
        negatives = coords[0][labels[0] == 0].numpy()
        distances = np.hypot(negatives[:, :1] - columns, negatives[:, 1:] - rows).min(axis=1)
        assert len(negatives)
        assert (distances.min() > margin) if margin else (distances.min() >= 1)


def test_where_nothing_is_far_from_nuclei_there_are_no_negative_points() -> None:
    stripes = torch.full((1, 1, 16, 16), 9.0)
    stripes[..., ::4] = -9
    _, labels = PointSelection(1, margin=3)(stripes, torch.tensor([0]))
    assert labels[0].tolist() == [1, -1]


def test_beyond_the_window_there_may_be_nuclei() -> None:
    nothing = torch.full((1, 1, 9, 9), -9.0)
    coords, labels = PointSelection(1, margin=3)(nothing, torch.tensor([0]))
    assert labels[0].tolist() == [-1, 0]
    assert coords[0, 1].tolist() == [4, 4], "the middle is furthest from the edge"
    _, labels = PointSelection(1, margin=5)(nothing, torch.tensor([0]))
    assert labels[0].tolist() == [-1, -1], "no pixel is so far from the edge"


def test_with_a_margin_the_deepest_background_comes_first_and_not_the_largest() -> None:
    mask = np.zeros((60, 100), dtype=bool)
    mask[:, 40:42] = True  # to its left a square of background, to its right a long strip beside another nucleus
    mask[20:, 42:] = True
    ((x, y), (u, v)) = select(map_of(mask), points=2, margin=4)[0][2:].tolist()
    assert (x, y) == (19, 19), "the first of the pixels that are twenty from the nucleus and from the edge"
    assert u > 42
    assert 9 <= v <= 10


@quick
@given(mask=masks, margin=st.integers(1, 3), min_area=st.integers(0, 3))
def test_the_deepest_pixels_are_those_of_brute_force(mask: Mask, margin: int, min_area: int) -> None:
    depths = measure_depths(mask)
    outside = np.argwhere(~np.pad(mask, 1)) - 1
    for row, column in np.argwhere(mask):
        nearest = np.hypot(*(outside - (row, column)).T).min()
        assert depths[row, column] == pytest.approx(nearest, abs=1e-3)
    far = depths > margin
    labels = label(far, connectivity=2)
    regions = [depths[labels == number] for number in range(1, labels.max() + 1)]
    expected = sorted((part.max() for part in regions if len(part) >= min_area), reverse=True)
    points = deepest_pixels(depths, far, 100, min_area)
    assert [depths[int(y), int(x)] for x, y in points] == expected
    assert len({labels[int(y), int(x)] for x, y in points}) == len(points)
    assert deepest_pixels(depths, far, 1, min_area).tolist() == points[:1].tolist()


def test_all_points_of_a_whole_image_are_taken_whatever_the_number_per_window() -> None:
    maps = torch.sigmoid(maps_of(TOUCHING, INTERIORS))[0].numpy()
    assert len(PointSelection(0).choose_all(maps)) == 3
    assert sorted(PointSelection(1, min_area=2).choose_all(maps)[:, 0].round().tolist()) == [2, 6]
    # A pixel of a window's map is two of the image: the same specks are four times as large.
    larger = maps.repeat(2, axis=1).repeat(2, axis=2)
    assert len(PointSelection(1, min_area=2).choose_all(larger, scale=2)) == 2
    assert len(PointSelection(1, min_area=2).choose_all(larger)) == 3
