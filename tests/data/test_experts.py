"""Points drawn from true instance maps: an expert's on nuclei and background, random ones anywhere."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from skimage.draw import disk

from sac_lightning.core.errors import UserError
from sac_lightning.data.experts import ExpertPoints, draw_expert_points

Instances = NDArray[np.int32]


MAPS = arrays(np.int32, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12), elements=st.integers(0, 6))


def draw(
    instances: Instances, positives: int, seed: int = 0, negatives: int = 0, placement: Any = "centre"
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    expert_points = ExpertPoints(positives, negatives, placement)
    return draw_expert_points(instances, expert_points, np.random.default_rng(seed))


def hit(instances: Instances, coords: NDArray[np.float32]) -> list[int]:
    return [int(instances[int(y), int(x)]) for x, y in coords]


def three_nuclei() -> Instances:
    """Nuclei 2, 5 and 9, each 3 x 3: the numbers in between are missing."""
    instances = np.zeros((20, 24), dtype=np.int32)
    instances[1:4, 1:4] = 2
    instances[8:11, 15:18] = 5
    instances[15:18, 4:7] = 9
    return instances


def test_points_are_the_centres_of_different_nuclei_whatever_their_numbers() -> None:
    coords, labels = draw(three_nuclei(), 3)
    assert coords.dtype == np.float32
    assert labels.tolist() == [1, 1, 1]
    assert sorted(coords.tolist()) == [[2, 2], [5, 16], [16, 9]]


@settings(max_examples=60)
@given(instances=MAPS, count=st.integers(0, 8), seed=st.integers(0, 2**32))
def test_each_point_is_inside_a_nucleus_of_its_own(instances: Instances, count: int, seed: int) -> None:
    coords, labels = draw(instances, count, seed)
    assert coords.shape == (count, 2)
    assert labels.shape == (count,)
    nuclei = len(np.unique(instances[instances > 0]))
    found = min(count, nuclei)
    assert labels.tolist() == [1] * found + [-1] * (count - found)
    assert not coords[found:].any(), "padding is not at (0, 0)"
    numbers = hit(instances, coords[:found])
    assert 0 not in numbers, "an expert point lies on the background"
    assert len(set(numbers)) == found, "a nucleus got two expert points"


def bent_nucleus() -> Instances:
    instances = np.zeros((25, 25), dtype=np.int32)
    instances[disk((12, 12), 10)] = 1
    instances[disk((12, 15), 8)] = 0
    return instances


def test_the_centre_of_a_bent_nucleus_is_inside_it() -> None:
    instances = bent_nucleus()
    rows, columns = np.nonzero(instances)
    assert instances[round(rows.mean()), round(columns.mean())] == 0, "a crescent has its centroid outside"
    coords, _ = draw(instances, 1)
    assert hit(instances, coords) == [1]


def test_the_centre_is_the_pixel_farthest_from_the_outline() -> None:
    instances = np.zeros((20, 20), dtype=np.int32)
    instances[disk((9, 6), 5)] = 3  # a disc with a long tail: its centroid would be in the tail's direction
    instances[9, 10:19] = 3
    coords, _ = draw(instances, 1)
    assert coords.tolist() == [[6, 9]]


def test_the_border_of_the_image_is_an_outline() -> None:
    instances = np.zeros((9, 20), dtype=np.int32)
    instances[:5, :5] = 1  # cut by two borders
    instances[2:9, 13:] = 2
    coords, _ = draw(instances, 2)
    assert sorted(coords.tolist()) == [[2, 2], [16, 5]]


def test_a_nucleus_that_fills_the_image_has_its_centre_in_the_middle() -> None:
    coords, labels = draw(np.ones((5, 7), dtype=np.int32), 1)
    assert labels.tolist() == [1]
    assert coords[0, 1] == 2
    assert 2 <= coords[0, 0] <= 4


def test_neighbours_that_touch_keep_their_own_centres() -> None:
    instances = np.zeros((7, 14), dtype=np.int32)
    instances[1:6, 1:6] = 1
    instances[1:6, 6:11] = 2
    coords, _ = draw(instances, 2)
    assert sorted(coords.tolist()) == [[3, 3], [8, 3]]


@pytest.mark.parametrize("count", [0, 3])
def test_no_nucleus_gives_padding_only(count: int) -> None:
    coords, labels = draw(np.zeros((6, 6), dtype=np.int32), count)
    assert coords.tolist() == [[0, 0]] * count
    assert labels.tolist() == [-1] * count


def test_a_seed_fixes_the_choice_and_seeds_differ() -> None:
    instances = np.repeat(np.repeat(np.arange(1, 101, dtype=np.int32).reshape(10, 10), 3, 0), 3, 1)
    first, again, other = (hit(instances, draw(instances, 10, seed)[0]) for seed in (1, 1, 2))
    assert first == again, "the same seed draws other nuclei"
    assert first != other, "another seed draws the same nuclei"


def test_every_nucleus_is_drawn_alike() -> None:
    instances = three_nuclei()
    instances[5:19, 19:24] = 5  # a nucleus is not drawn more often for being large
    drawn = [hit(instances, draw(instances, 1, seed)[0])[0] for seed in range(900)]
    counts = [drawn.count(number) for number in (2, 5, 9)]
    assert all(240 < count < 360 for count in counts), f"300 each expected on average, got {counts}"


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int64])
def test_any_integer_label_map_will_do(kind: type[np.integer]) -> None:
    coords, labels = draw_expert_points(three_nuclei().astype(kind), ExpertPoints(3), np.random.default_rng(0))
    assert labels.tolist() == [1, 1, 1]
    assert sorted(coords.tolist()) == [[2, 2], [5, 16], [16, 9]]


def four_nuclei() -> Instances:
    instances = np.zeros((12, 16), dtype=np.int32)
    instances[1:4, 1:4] = 2
    instances[6:9, 9:12] = 5
    instances[8:11, 2:5] = 9
    instances[1:4, 11:16] = 4
    return instances


# The points, and what the generator gives next, as of the first version, which knew positive points only.
FIRST_VERSION: list[tuple[int, int, list[list[float]], int]] = [
    (0, 0, [], 1826701615),
    (0, 1, [], 1016164991),
    (1, 0, [[3, 9]], 1367864807),
    (1, 1, [[12, 2]], 1099128569),
    (3, 0, [[10, 7], [3, 9], [12, 2]], 87989972),
    (3, 1, [[12, 2], [2, 2], [3, 9]], 309580411),
    (3, 2, [[2, 2], [3, 9], [12, 2]], 1748536463),
]


@pytest.mark.parametrize(("count", "seed", "points", "following"), FIRST_VERSION)
def test_plain_counts_give_the_points_of_earlier_versions(
    count: int, seed: int, points: list[list[float]], following: int
) -> None:
    generator = np.random.default_rng(seed)
    coords, _ = draw_expert_points(four_nuclei(), ExpertPoints(count), generator)
    assert coords.tolist() == points
    assert generator.integers(2**31) == following, "what is drawn after the points has changed"


@settings(max_examples=60)
@given(instances=MAPS, count=st.integers(0, 8), seed=st.integers(0, 2**32))
def test_the_nuclei_are_one_draw_without_replacement(instances: Instances, count: int, seed: int) -> None:
    ours, reference = np.random.default_rng(seed), np.random.default_rng(seed)
    coords, labels = draw_expert_points(instances, ExpertPoints(count), ours)
    numbers = np.unique(instances[instances > 0])
    expected = numbers[reference.choice(len(numbers), min(count, len(numbers)), replace=False)] if count else []
    assert hit(instances, coords[labels == 1]) == list(expected)
    assert ours.bit_generator.state == reference.bit_generator.state


# Negative points


@settings(max_examples=100)
@given(
    instances=MAPS,
    positives=st.integers(0, 8),
    negatives=st.integers(0, 8),
    seed=st.integers(0, 2**32),
)
def test_negative_points_follow_the_positive_ones_and_lie_on_different_pixels_of_the_background(
    instances: Instances, positives: int, negatives: int, seed: int
) -> None:
    coords, labels = draw(instances, positives, seed, negatives)
    assert coords.shape == (positives + negatives, 2)
    assert coords.dtype == np.float32
    assert labels.dtype == np.int64
    alone, alone_labels = draw(instances, positives, seed)
    assert np.array_equal(coords[:positives], alone), "negative points move the positive ones"
    assert np.array_equal(labels[:positives], alone_labels)
    found = min(negatives, int((instances == 0).sum()))
    assert labels[positives:].tolist() == [0] * found + [-1] * (negatives - found)
    assert not coords[positives + found :].any(), "padding is not at (0, 0)"
    points = coords[positives : positives + found]
    assert hit(instances, points) == [0] * found, "a negative point lies on a nucleus"
    assert len(np.unique(points, axis=0)) == found, "a pixel was drawn twice"


def test_every_background_pixel_is_drawn_alike() -> None:
    instances = np.ones((3, 4), dtype=np.int32)
    instances[0, 3] = instances[1, 1] = instances[2, 0] = 0
    drawn = [tuple(draw(instances, 1, seed, negatives=1)[0][1].tolist()) for seed in range(900)]
    counts = [drawn.count(pixel) for pixel in ((3, 0), (1, 1), (0, 2))]
    assert sum(counts) == 900
    assert all(240 < count < 360 for count in counts), f"300 each expected on average, got {counts}"


# Random placement


@settings(max_examples=60)
@given(
    instances=MAPS,
    positives=st.integers(0, 8),
    negatives=st.integers(0, 8),
    seed=st.integers(0, 2**32),
)
def test_random_points_do_not_depend_on_what_is_there(
    instances: Instances, positives: int, negatives: int, seed: int
) -> None:
    coords, labels = draw(instances, positives, seed, negatives, "random")
    nowhere = draw(np.zeros_like(instances), positives, seed, negatives, "random")
    assert np.array_equal(coords, nowhere[0])
    assert np.array_equal(labels, nowhere[1])
    points = [1] * positives + [0] * negatives
    found = min(len(points), instances.size)
    assert labels.tolist() == points[:found] + [-1] * (len(points) - found)
    assert not coords[found:].any(), "padding is not at (0, 0)"
    assert ((coords >= 0) & (coords < np.array(instances.shape[::-1]))).all(), "a point outside the view"
    assert len(np.unique(coords[:found], axis=0)) == found, "a pixel was drawn twice"


def test_random_points_of_both_labels_are_uniform_over_all_pixels() -> None:
    instances = np.zeros((2, 3), dtype=np.int32)
    instances[:, 1] = 4
    draws = [draw(instances, 1, seed, 1, "random") for seed in range(1200)]
    for place, label in enumerate((1, 0)):
        assert {int(labels[place]) for _, labels in draws} == {label}
        drawn = [tuple(coords[place].tolist()) for coords, _ in draws]
        counts = [drawn.count((x, y)) for x in range(3) for y in range(2)]
        assert sum(counts) == 1200
        assert all(150 < count < 250 for count in counts), f"200 each expected on average, got {counts}"


# Settings


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"positives": -1}, r"prompts\.experts is -1: choose"),
        ({"positives": None}, r"prompts\.experts is None: choose"),
        ({"negatives": -2}, r"prompts\.expert_negatives is -2: choose"),
        ({"negatives": 1.5}, r"prompts\.expert_negatives is 1\.5: choose"),
        ({"placement": "center"}, r"prompts\.expert_placement is center: choose centre or random"),
        ({"placement": None}, r"prompts\.expert_placement is None: choose centre or random"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_the_name_of_its_setting(
    settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        ExpertPoints(**settings)
