"""The figures of an evaluation on images small enough to count by hand."""

import json
import math
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.processes import Processes
from torch import Tensor, distributed

from sac_lightning.core.errors import UserError
from sac_lightning.data.sample import WholeImage
from sac_lightning.data.windows import WindowPoints
from sac_lightning.inference.windows import Prediction
from sac_lightning.model.point_selection import PointSelection
from sac_lightning.training.metrics.scores import Scores

NO_POINTS, NO_LABELS = torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)
Rows = Sequence[str]


def label_map(rows: Rows) -> Tensor:
    """Rows of digits, a dot for background."""
    return torch.tensor([[0 if c == "." else int(c) for c in row] for row in rows], dtype=torch.int32)


def image(rows: Rows, name: str = "image") -> WholeImage:
    instances = label_map(rows)
    expert_points = WindowPoints(NO_POINTS[None], NO_LABELS[None])
    return WholeImage(name, torch.zeros(3, *instances.shape), instances, expert_points, seed=0)


def probability(rows: Rows) -> Tensor:
    """Sure of the pixels that carry a digit, just not sure of the others."""
    return torch.where(label_map(rows) > 0, 0.9, 0.5)


def prediction(rows: Rows, generator: Rows | None = None) -> Prediction:
    generated = None if generator is None else probability(generator)[None]
    return Prediction(probability(rows), generated, NO_POINTS, NO_LABELS)


def prompted(rows: Rows, *points: tuple[float, float, int]) -> Prediction:
    """A prediction, of the generator too, that came about with points (x, y, label)."""
    coords = torch.tensor([(x, y) for x, y, _ in points])
    return Prediction(
        probability(rows), probability(rows)[None], coords, torch.tensor([label for _, _, label in points])
    )


def figures(scores: Scores) -> dict[str, float]:
    return {name: value.item() for name, value in scores.compute().items()}


def test_dice_and_iou_are_means_over_images_and_f1_pools_their_pixels() -> None:
    scores = Scores(generator=False, instances=False, prompts=False)
    # 4 true positives, 2 false positives: Dice 8/10, IoU 4/6.
    scores.update(prediction(["111.", "111.", "...."]), image(["11..", "11..", "...."]))
    # 2 false negatives, on an image of another size: 0 and 0.
    scores.update(prediction([".....", "....."]), image(["...77", "....."]))
    expected = {"dice": 0.4, "iou": 1 / 3, "f1": 8 / 12}
    assert figures(scores) == pytest.approx(expected)


def test_an_image_that_is_empty_in_both_counts_as_right() -> None:
    scores = Scores(generator=False, instances=True, prompts=False)
    scores.update(prediction(["...", "..."]), image(["...", "..."]))
    found = figures(scores)
    assert found.pop("count_error") == 0
    assert math.isnan(found.pop("pooled_count_error"))
    assert set(found.values()) == {1}


def test_a_probability_of_one_half_is_no_nucleus() -> None:
    scores = Scores(generator=False, instances=False, prompts=False)
    undecided = Prediction(torch.full((2, 2), 0.5), None, NO_POINTS, NO_LABELS)
    scores.update(undecided, image(["..", ".."]))
    assert figures(scores)["dice"] == 1


def test_the_generator_is_scored_by_itself() -> None:
    scores = Scores(generator=True, instances=False, prompts=False)
    # The mask: Dice 2*2/(4+0+2), IoU 2/4. The generator's: 4 right, 1 too many: 8/9 and 4/5.
    scores.update(prediction(["11..", "...."], ["11..", "111."]), image(["11..", "11.."]))
    expected = {
        "dice": 4 / 6,
        "iou": 2 / 4,
        "f1": 4 / 6,
        "generator_dice": 8 / 9,
        "generator_iou": 4 / 5,
        "generator_f1": 8 / 9,
    }
    assert figures(scores) == pytest.approx(expected)


def test_instances_are_the_connected_regions_of_the_mask() -> None:
    scores = Scores(generator=False, instances=True, prompts=False)
    # One nucleus of 4 pixels found exactly, one of 2 missed, one pixel invented: TP = FP = FN = 1.
    truth = ["11....", "11....", "......", "....22"]
    found = ["11....", "11....", "......", "1....."]
    scores.update(prediction(found), image(truth))
    values = figures(scores)
    assert values["dq"] == pytest.approx(0.5)
    assert values["sq"] == pytest.approx(1)
    assert values["pq"] == pytest.approx(0.5)
    assert values["ap50"] == pytest.approx(1 / 3)
    assert values["aji"] == pytest.approx(4 / (4 + 2 + 1))


def test_two_nuclei_in_one_region_are_one_instance() -> None:
    scores = Scores(generator=False, instances=True, prompts=False)
    # Every pixel is right, yet the two true nuclei of 2 pixels melt into one region of 4: IoU 1/2, no match.
    scores.update(prediction(["11", "11"]), image(["12", "12"]))
    values = figures(scores)
    assert values["dice"] == 1
    assert values["pq"] == values["ap50"] == 0


def test_regions_that_touch_at_a_corner_are_one_instance() -> None:
    scores = Scores(generator=False, instances=True, prompts=False)
    scores.update(prediction(["1..", ".1."]), image(["3..", ".3."]))
    assert figures(scores)["ap50"] == 1


def test_instance_figures_are_means_over_images() -> None:
    scores = Scores(generator=False, instances=True, prompts=False)
    scores.update(prediction(["11."]), image(["11."]))
    scores.update(prediction(["11.."]), image(["...1"]))
    values = figures(scores)
    for name in ("aji", "pq", "dq", "sq", "ap50"):
        assert values[name] == pytest.approx(0.5), name


def test_only_what_was_asked_for_is_computed() -> None:
    scores = Scores(generator=False, instances=False, prompts=False)
    # A generator may be there without its score being asked for.
    scores.update(prediction(["1."], ["1."]), image(["1."]))
    assert figures(scores).keys() == {"dice", "iou", "f1"}


# torchmetrics warns besides.
@pytest.mark.filterwarnings("ignore:.*before the ``update`` method:UserWarning")
def test_reset_forgets_every_image() -> None:
    scores = Scores(generator=True, instances=True, prompts=True)
    scores.update(prediction(["1."], ["1."]), image([".1"]))
    scores.reset()
    assert scores.image_scores() == []
    with pytest.raises(UserError, match="no image"):
        scores.compute()
    scores.update(prompted(["1."], (0, 0, 1), (1, 0, 0)), image(["1."]))
    assert {value for name, value in figures(scores).items() if "count_error" not in name} == {1}
    assert len(scores.image_scores()) == 1


# Prompts


def test_the_prompts_are_scored_over_all_images() -> None:
    scores = Scores(generator=False, instances=False, prompts=True)
    # Of 3 positive points 2 are right, of 2 negative ones 1, of 3 nuclei 1 is hit.
    scores.update(prompted(["11."], (0, 0, 1), (1, 0, 1), (2, 0, 1), (0, 0, 0)), image(["11."]))
    scores.update(prompted(["...", "..."], (1, 1, 0)), image(["1.2", "..."]))
    values = figures(scores)
    assert values["prompt_positives_on_nucleus"] == pytest.approx(2 / 3)
    assert values["prompt_negatives_off_nucleus"] == pytest.approx(1 / 2)
    assert values["prompt_nuclei_hit"] == pytest.approx(1 / 3)
    assert values["prompt_points_per_nucleus"] == pytest.approx(3 / 3)
    assert values.keys() - {"dice", "iou", "f1"} == {name for name in values if name.startswith("prompt_")}


def test_the_points_of_the_whole_image_are_scored_however_few_the_decoder_got() -> None:
    selection = PointSelection(1, min_area=1)
    scores = Scores(generator=True, instances=False, prompts=True, selection=selection)
    # Interiors of two nuclei that touch, of which the decoder got one point; and a speck.
    maps = torch.zeros(3, 4, 12)
    maps[0, :2] = 0.9
    maps[1, :2, :4] = maps[1, :2, 6:10] = 0.9
    maps[1, 3, 11] = 0.9
    given = prompted(["111111111111"] * 2 + ["............"] * 2, (1, 0, 1))
    given.generator_maps, given.map_scale = maps, 2.0
    scores.update(given, image(["111112222222"] * 2 + ["............"] * 2))
    values = figures(scores)
    assert values["prompt_nuclei_hit"] == pytest.approx(1 / 2)
    assert values["prompt_recall"] == values["prompt_precision"] == values["prompt_f1"] == 1
    assert values["prompt_regions_per_nucleus"] == 1
    scores.reset()
    given.map_scale = 1.0  # One pixel of the map of a window is one of the image: the speck is a region.
    scores.update(given, image(["111112222222"] * 2 + ["............"] * 2))
    assert figures(scores)["prompt_precision"] == pytest.approx(2 / 3)


def test_prompts_that_were_not_asked_for_are_not_scored() -> None:
    scores = Scores(generator=False, instances=True, prompts=False)
    scores.update(prompted(["1."], (0, 0, 1)), image(["1."]))
    assert not [name for name in figures(scores) if name.startswith("prompt")]


def test_without_points_the_figures_of_points_are_undefined_and_the_others_stand() -> None:
    scores = Scores(generator=False, instances=False, prompts=True)
    scores.update(prediction(["1."]), image(["1."]))
    values = figures(scores)
    assert math.isnan(values["prompt_positives_on_nucleus"])
    assert values["prompt_nuclei_hit"] == 0
    assert values["dice"] == 1


# Images

RIGHT, WRONG, HALF = ["11.", "..."], ["..1", "..."], ["1..", "1.."]
NOTHING = ["...", "..."]
PAIRS: dict[str, tuple[Rows, Rows]] = {
    "c": (RIGHT, RIGHT),
    "a": (HALF, RIGHT),
    "e": (NOTHING, NOTHING),
    "b": (WRONG, RIGHT),
    "d": (["11.1"], ["1..."]),
}


def scored(names: str) -> Scores:
    scores = Scores(generator=False, instances=True, prompts=False)
    for name in names:
        found, truth = PAIRS[name]
        scores.update(prediction(found), image(truth, name))
    return scores


def figures_of(name: str, dice: float, iou: float, *counts: int, aji: float, pq: float) -> dict[str, Any]:
    names = ("true_positives", "false_positives", "false_negatives", "pixels", "nuclei", "found")
    # No image has more than a nucleus, so that it is matched (IoU 1) or not.
    figures = {"dice": dice, "iou": iou, "aji": aji, "pq": pq, "f1_50": pq}
    return {"name": name, **{key: pytest.approx(value) for key, value in figures.items()}} | dict(
        zip(names, counts, strict=True)
    )


EXPECTED = [
    figures_of("a", 1 / 2, 1 / 3, 1, 1, 1, 6, 1, 1, aji=1 / 3, pq=0),
    figures_of("b", 0, 0, 0, 1, 2, 6, 1, 1, aji=0, pq=0),
    figures_of("c", 1, 1, 2, 0, 0, 6, 1, 1, aji=1, pq=1),
    figures_of("d", 1 / 2, 1 / 3, 1, 2, 0, 4, 1, 2, aji=1 / 3, pq=0),
    figures_of("e", 1, 1, 0, 0, 0, 6, 0, 0, aji=1, pq=1),
]


def test_each_image_has_figures_of_its_own_by_name() -> None:
    images = scored("caebd").image_scores()
    assert images == EXPECTED
    assert json.loads(json.dumps(images)) == images, "the figures are no plain numbers"
    assert {type(image["false_negatives"]) for image in images} == {int}


def test_dice_and_iou_of_the_split_are_the_means_of_those_of_its_images() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = Scores(generator=False, instances=True, prompts=False)
    for i in range(7):
        truth = torch.rand(9 + i, 14 - i, generator=generator) < 0.2 * (i % 3)
        found = torch.rand(truth.shape, generator=generator) * truth.where(truth, 0.6)
        expert_points = WindowPoints(NO_POINTS[None], NO_LABELS[None])
        whole = WholeImage(f"{i}", torch.zeros(3, *truth.shape), truth.int(), expert_points, seed=0)
        scores.update(Prediction(found, None, NO_POINTS, NO_LABELS), whole)
    images, values = scores.image_scores(), figures(scores)
    assert len({image["dice"] for image in images}) > 3
    for name in ("dice", "iou"):
        assert sum(image[name] for image in images) / 7 == pytest.approx(values[name], abs=1e-6)


def test_images_are_not_kept_where_instances_are_not_asked_for() -> None:
    scores = Scores(generator=False, instances=False, prompts=False)
    scores.update(prediction(RIGHT), image(RIGHT))
    assert scores.image_scores() == []


def print_share(rank: int, folder: str) -> None:
    """One of two processes: rank 0 is given four of the five images, rank 1 one."""
    meet = f"file://{folder}/meet"
    distributed.init_process_group(
        "gloo", init_method=meet, rank=rank, world_size=2, timeout=timedelta(minutes=10)
    )
    print(json.dumps(scored("daec" if rank == 0 else "b").image_scores()))
    distributed.destroy_process_group()


def test_two_processes_both_have_the_figures_of_every_image(processes: Processes, tmp_path: Path) -> None:
    share = "tests.training.metrics.test_scores:print_share"
    ranks = [processes.start(share, rank, str(tmp_path), folder=tmp_path) for rank in (0, 1)]
    for printed in [processes.wait(rank).stdout for rank in ranks]:
        assert json.loads(printed) == EXPECTED
