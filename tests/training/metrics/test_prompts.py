"""The quality of prompts, counted by hand, against plain loops, and over two processes."""

import json
import math
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from tests.processes import Processes
from torch import Tensor, distributed

from sac_lightning.core.errors import UserError
from sac_lightning.training.metrics.prompts import NucleusPoints, PromptQuality

Point = tuple[float, float, int]  # x, y, label
Image = tuple[Sequence[Point], Tensor]
NAMES = ("positives_on_nucleus", "negatives_off_nucleus", "nuclei_hit", "points_per_nucleus")
NAN = math.nan


def label_map(*rows: str) -> Tensor:
    """Rows of digits, a dot for background."""
    return torch.tensor([[0 if c == "." else int(c) for c in row] for row in rows], dtype=torch.int32)


# Nuclei 1, 4 and 7; their numbers leave gaps.
THREE = label_map("11...", "11.4.", ".....", "77...")
EMPTY = label_map("...", "...")


def quality_of(images: Sequence[Image]) -> dict[str, float]:
    metric = PromptQuality()
    for points, instances in images:
        coords = torch.tensor([(x, y) for x, y, _ in points], dtype=torch.float32).reshape(-1, 2)
        metric.update(coords, torch.tensor([label for _, _, label in points], dtype=torch.long), instances)
    return {name: value.item() for name, value in metric.compute().items()}


def assert_quality(images: Sequence[Image], *expected: float) -> None:
    """The four figures in the order of NAMES."""
    assert quality_of(images) == pytest.approx(dict(zip(NAMES, expected, strict=True)), nan_ok=True)


def test_one_image_by_hand() -> None:
    # On 1, on 4, on background; background, background, on 7, on 1.
    points = [(0, 0, 1), (3, 1, 1), (2, 2, 1), (4, 0, 0), (2, 0, 0), (1, 3, 0), (1, 1, 0)]
    assert_quality([(points, THREE)], 2 / 3, 2 / 4, 2 / 3, 3 / 3)


def test_two_points_on_one_nucleus_hit_it_once() -> None:
    assert_quality([([(0, 0, 1), (1, 1, 1)], THREE)], 1, NAN, 1 / 3, 2 / 3)


def test_a_negative_point_hits_no_nucleus() -> None:
    assert_quality([([(0, 0, 0)], THREE)], NAN, 0, 0, 0)


def test_x_runs_along_the_columns() -> None:
    assert_quality([([(3, 1, 1)], THREE)], 1, NAN, 1 / 3, 1 / 3)
    assert_quality([([(1, 3, 0)], THREE)], NAN, 0, 0, 0)


@pytest.mark.parametrize(
    ("x", "y", "on"),
    [
        (2.5, 1, True),  # the pixel's left edge is its own
        (2.4, 1, False),
        (3.4, 1, True),
        (3.5, 1, False),  # its right edge is the next pixel's
        (3, 0.5, True),
        (3, 0.4, False),
        (3, 1.49, True),
        (3, 1.5, False),
    ],
)
def test_a_point_stands_for_the_pixel_nearest_to_it(x: float, y: float, on: bool) -> None:
    assert_quality([([(x, y, 1)], THREE)], int(on), NAN, on / 3, 1 / 3)


@pytest.mark.parametrize(("x", "y"), [(0, 0), (4, 0), (0, 3), (4, 3), (-0.5, -0.5), (4.4, 3.4)])
def test_a_point_on_the_border_of_the_image_counts(x: float, y: float) -> None:
    nucleus = torch.ones_like(THREE)
    assert_quality([([(x, y, 1)], nucleus)], 1, NAN, 1, 1)


@pytest.mark.parametrize(("x", "y"), [(-1, 0), (0, -1), (-0.6, 0), (4.5, 0), (5, 0), (0, 3.5), (0, 4), (-9, 99)])
@pytest.mark.parametrize("label", [0, 1])
def test_a_point_outside_the_image_does_not_count(x: float, y: float, label: int) -> None:
    nucleus = torch.ones_like(THREE)
    assert_quality([([(x, y, label)], nucleus)], NAN, NAN, 0, 0)


def test_padding_does_not_count() -> None:
    assert_quality([([(0, 0, -1), (4, 0, -1), (3, 1, 1)], THREE)], 1, NAN, 1 / 3, 1 / 3)


def test_without_points_the_shares_of_points_are_undefined_and_no_nucleus_is_hit() -> None:
    assert_quality([([], THREE)], NAN, NAN, 0, 0)


def test_without_nuclei_the_figures_by_nucleus_are_undefined() -> None:
    assert_quality([([(0, 0, 1), (1, 1, 0), (2, 1, 0)], EMPTY)], 0, 1, NAN, NAN)


def test_points_and_nuclei_are_pooled_over_images() -> None:
    one_of_one = ([(0, 0, 1), (2, 0, 0)], label_map("11."))
    # 1 of 3 positive points on a nucleus, 0 of 1 negative ones on background, 1 of 3 nuclei.
    some = ([(0, 0, 1), (2, 2, 1), (4, 3, 1), (3, 1, 0)], THREE)
    nothing = ([(1, 1, 1)], EMPTY)
    assert_quality([one_of_one, some, nothing], 2 / 5, 1 / 2, 2 / 4, 5 / 4)


def test_nuclei_of_two_images_with_one_number_are_two_nuclei() -> None:
    image = ([(0, 0, 1)], label_map("1."))
    assert_quality([image, image], 1, NAN, 1, 1)


def by_loops(images: Sequence[Image]) -> dict[str, float]:
    positives: list[int] = []
    negatives: list[int] = []
    nuclei, hit = 0, 0
    for points, instances in images:
        rows = instances.tolist()
        pixels = {(x, y): rows[y][x] for y in range(len(rows)) for x in range(len(rows[0]))}
        here = [pixels[x, y] for x, y, label in points if label == 1 and (x, y) in pixels]
        positives += here
        negatives += [pixels[x, y] for x, y, label in points if label == 0 and (x, y) in pixels]
        nuclei += len(set(pixels.values()) - {0})
        hit += len(set(here) - {0})
    return {
        "positives_on_nucleus": sum(n > 0 for n in positives) / len(positives) if positives else NAN,
        "negatives_off_nucleus": negatives.count(0) / len(negatives) if negatives else NAN,
        "nuclei_hit": hit / nuclei if nuclei else NAN,
        "points_per_nucleus": len(positives) / nuclei if nuclei else NAN,
    }


MAPS = arrays(np.int32, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=6), elements=st.integers(0, 5))
POINTS = st.lists(st.tuples(st.integers(-1, 6), st.integers(-1, 6), st.integers(-1, 1)), max_size=8)


@settings(max_examples=100)
@given(images=st.lists(st.tuples(POINTS, MAPS.map(torch.from_numpy)), min_size=1, max_size=3))
def test_agrees_with_plain_loops(images: list[Image]) -> None:
    assert quality_of(images) == pytest.approx(by_loops(images), nan_ok=True)


def test_counts_stay_exact_where_the_default_dtype_is_bfloat16() -> None:
    images = [([(0, 0, 1)] * 300 + [(2, 2, 1)], THREE)]
    torch.set_default_dtype(torch.bfloat16)
    try:
        found = quality_of(images)
    finally:
        torch.set_default_dtype(torch.float32)
    assert found["positives_on_nucleus"] == pytest.approx(300 / 301, abs=1e-6)
    assert found["points_per_nucleus"] == pytest.approx(301 / 3, abs=1e-4)


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
def test_no_image_is_an_error_that_names_the_metric() -> None:
    with pytest.raises(UserError, match=r"^PromptQuality has seen no image"):
        PromptQuality().compute()


@pytest.mark.parametrize(
    ("coords", "labels", "instances"),
    [((2, 2), (3,), (4, 4)), ((2, 3), (2,), (4, 4)), ((1, 2, 2), (1, 2), (4, 4)), ((2, 2), (2,), (1, 4, 4))],
)
def test_other_shapes_are_refused(
    coords: tuple[int, ...], labels: tuple[int, ...], instances: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="must be"):
        PromptQuality().update(torch.zeros(coords), torch.zeros(labels), torch.zeros(instances, dtype=torch.int32))


def four_images() -> list[Image]:
    generator = np.random.default_rng(0)
    return [
        (
            [(*generator.integers(-1, 9, 2).tolist(), int(generator.integers(-1, 2))) for _ in range(7 * i)],
            torch.from_numpy(generator.integers(0, 5, (6 + i, 8)) * generator.integers(0, 2, (6 + i, 8))),
        )
        for i in range(4)
    ]


def print_share(rank: int, folder: str) -> None:
    """One of two processes: rank 0 is given one of the four images, rank 1 three."""
    meet = f"file://{folder}/meet"
    distributed.init_process_group(
        "gloo", init_method=meet, rank=rank, world_size=2, timeout=timedelta(minutes=10)
    )
    images = four_images()
    print(json.dumps(quality_of(images[:1] if rank == 0 else images[1:])))
    distributed.destroy_process_group()


def test_two_processes_with_uneven_shares_pool_as_one(processes: Processes, tmp_path: Path) -> None:
    share = "tests.training.metrics.test_prompts:print_share"
    ranks = [processes.start(share, rank, str(tmp_path), folder=tmp_path) for rank in (0, 1)]
    expected = by_loops(four_images())
    assert 0 < expected["nuclei_hit"] < 1
    for printed in [processes.wait(rank).stdout for rank in ranks]:
        assert json.loads(printed) == pytest.approx(expected, abs=1e-6)


# The points of whole images


def detection_of(*images: tuple[Sequence[tuple[float, float]], Tensor]) -> dict[str, float]:
    metric = NucleusPoints()
    for points, instances in images:
        metric.update(torch.tensor(points, dtype=torch.float32).reshape(-1, 2), instances)
    return {name: value.item() for name, value in metric.compute().items()}


def test_a_point_on_every_nucleus_scores_one_in_everything() -> None:
    assert set(detection_of(([(0, 0), (3, 1), (1, 3)], THREE)).values()) == {1.0}


def test_of_the_points_on_one_nucleus_the_second_is_as_wrong_as_one_on_background() -> None:
    # Two on 1, one on 4, one on background; 7 has none.
    found = detection_of(([(0, 0), (1, 1), (3, 1), (2, 2)], THREE))
    expected = {
        "precision": 2 / 4,
        "recall": 2 / 3,
        "exactly_once": 1 / 3,
        "f1": 4 / 7,
        "regions_per_nucleus": 4 / 3,
    }
    assert found == pytest.approx(expected)
    precision, recall = found["precision"], found["recall"]
    assert found["f1"] == pytest.approx(2 * precision * recall / (precision + recall))


def test_points_of_whole_images_are_pooled_and_their_pixel_is_the_nearest() -> None:
    found = detection_of(([(0.4, 0.6), (3.4, 0.5)], THREE), ([(0, 0)], EMPTY), ([], THREE))
    assert found == pytest.approx(
        {"precision": 2 / 3, "recall": 2 / 6, "exactly_once": 2 / 6, "f1": 4 / 9, "regions_per_nucleus": 3 / 6}
    )


def test_without_points_or_nuclei_shares_are_undefined() -> None:
    assert math.isnan(detection_of(([], THREE))["precision"])
    assert detection_of(([], THREE))["f1"] == 0
    assert math.isnan(detection_of(([], EMPTY))["f1"])
