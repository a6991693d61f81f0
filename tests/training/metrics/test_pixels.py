"""Dice, IoU and F1 against hand arithmetic and torchmetrics' own functions, and all metrics under DDP."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from tests.processes import Processes
from torch import Tensor, distributed
from torchmetrics import Metric, MetricCollection
from torchmetrics.functional.classification import binary_f1_score, binary_jaccard_index

from sac_lightning.core.errors import UserError
from sac_lightning.training.metrics.instance_scores import InstanceScores
from sac_lightning.training.metrics.objects import ObjectScores
from sac_lightning.training.metrics.overlaps import find_overlaps
from sac_lightning.training.metrics.pixels import F1, DiceScore, IoU, count_pixels, dice_of_counts, iou_of_counts

PIXEL_METRICS: list[type[Metric]] = [DiceScore, IoU, F1]
EMPTY = torch.zeros(1, 4, 4, dtype=torch.bool)
FULL = torch.ones(1, 4, 4, dtype=torch.bool)


def draw_masks(images: int, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    """Pairs (prediction, target) of (1, H, W) masks, every image of another size and another overlap."""
    generator = torch.Generator().manual_seed(seed)
    pairs = []
    for index in range(images):
        shape = (1, 8 + 3 * index, 30 - 2 * index)
        target = torch.rand(shape, generator=generator) < 0.3
        flipped = torch.rand(shape, generator=generator) < 0.05 * (index + 1)
        pairs.append((target ^ flipped, target))
    return pairs


def score(metric: Metric, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
    for prediction, target in pairs:
        metric.update(prediction, target)
    result: Tensor = metric.compute()
    return result


def test_one_image_by_hand() -> None:
    prediction = torch.tensor([[[1, 1, 0], [0, 1, 0]]], dtype=torch.bool)
    target = torch.tensor([[[1, 0, 0], [0, 1, 1]]], dtype=torch.bool)
    # 2 pixels in both, 1 only predicted, 1 only true.
    assert score(DiceScore(), [(prediction, target)]).item() == pytest.approx(4 / 6)
    assert score(IoU(), [(prediction, target)]).item() == pytest.approx(2 / 4)
    assert score(F1(), [(prediction, target)]).item() == pytest.approx(4 / 6)


def test_each_image_of_a_batch_is_counted_by_itself() -> None:
    prediction = torch.tensor([[[1, 1, 0, 1]], [[0, 0, 0, 0]], [[0, 0, 0, 0]]], dtype=torch.bool)
    target = torch.tensor([[[1, 0, 0, 0]], [[0, 1, 1, 1]], [[0, 0, 0, 0]]], dtype=torch.bool)
    counts = count_pixels(prediction, target)
    assert [count.tolist() for count in counts] == [[1, 0, 0], [2, 0, 0], [0, 3, 0]]
    assert dice_of_counts(*counts).tolist() == pytest.approx([2 / 4, 0, 1])
    assert iou_of_counts(*counts).tolist() == pytest.approx([1 / 3, 0, 1])


def test_dice_and_iou_are_means_over_images_and_f1_pools_pixels() -> None:
    small = torch.ones(1, 1, 1, dtype=torch.bool)
    large = torch.ones(1, 3, 3, dtype=torch.bool)
    pairs = [(small, small), (~large, large)]  # one pixel found, nine missed
    assert score(DiceScore(), pairs).item() == pytest.approx(1 / 2)
    assert score(IoU(), pairs).item() == pytest.approx(1 / 2)
    assert score(F1(), pairs).item() == pytest.approx(2 * 1 / (2 * 1 + 9))


def test_agrees_with_torchmetrics_functions() -> None:
    pairs = draw_masks(5)
    dice = torch.stack([binary_f1_score(prediction, target) for prediction, target in pairs]).mean()
    iou = torch.stack([binary_jaccard_index(prediction, target) for prediction, target in pairs]).mean()
    predictions, targets = (torch.cat([mask.flatten() for mask in masks]) for masks in zip(*pairs, strict=True))
    pooled = binary_f1_score(predictions, targets)
    assert score(DiceScore(), pairs).item() == pytest.approx(dice.item(), abs=1e-6)
    assert score(IoU(), pairs).item() == pytest.approx(iou.item(), abs=1e-6)
    assert score(F1(), pairs).item() == pytest.approx(pooled.item(), abs=1e-6)


@pytest.mark.parametrize("metric", PIXEL_METRICS)
def test_a_batch_scores_as_its_images_do(metric: type[Metric]) -> None:
    generator = torch.Generator().manual_seed(1)
    prediction, target = torch.rand(2, 6, 9, 7, generator=generator) < 0.4
    one_by_one = list(zip(prediction.split(1), target.split(1), strict=True))
    batched = score(metric(), [(prediction, target)])
    assert batched.item() == pytest.approx(score(metric(), one_by_one).item())


@pytest.mark.parametrize("metric", PIXEL_METRICS)
@pytest.mark.parametrize(
    ("prediction", "target", "expected"),
    [(EMPTY, EMPTY, 1.0), (FULL, EMPTY, 0.0), (EMPTY, FULL, 0.0), (FULL, FULL, 1.0)],
    ids=["nothing-in-both", "nothing-true", "nothing-predicted", "all-in-both"],
)
def test_empty_and_full_images(metric: type[Metric], prediction: Tensor, target: Tensor, expected: float) -> None:
    assert score(metric(), [(prediction, target)]).item() == expected


def test_an_empty_image_raises_the_means_but_not_f1() -> None:
    half = FULL.clone()
    half[:, :2] = False
    pairs = [(EMPTY, EMPTY), (half, FULL)]
    assert score(DiceScore(), pairs).item() == pytest.approx((1 + 2 / 3) / 2)
    assert score(IoU(), pairs).item() == pytest.approx((1 + 1 / 2) / 2)
    assert score(F1(), pairs).item() == pytest.approx(2 / 3)


@pytest.mark.parametrize("metric", [*PIXEL_METRICS, InstanceScores, ObjectScores])
@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
def test_no_image_is_an_error_that_names_the_metric(metric: type[Metric]) -> None:
    with pytest.raises(UserError, match=f"^{metric.__name__} has seen no image"):
        metric().compute()


@pytest.mark.parametrize("metric", PIXEL_METRICS)
@pytest.mark.parametrize(
    ("prediction", "target", "message"),
    [
        (FULL.float(), FULL, "boolean"),
        (FULL, FULL.long(), "boolean"),
        (FULL, FULL[:, :3], "one shape"),
        (FULL[0], FULL[0], "one shape"),
        (FULL[None], FULL[None], "one shape"),
    ],
)
def test_other_dtypes_and_shapes_are_refused(
    metric: type[Metric], prediction: Tensor, target: Tensor, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        metric().update(prediction, target)


def test_a_collection_keeps_metrics_apart_that_begin_with_equal_scores() -> None:
    together = MetricCollection([DiceScore(), IoU(), F1()])
    half = FULL.clone()
    half[:, :2] = False
    for prediction, target in [(FULL, FULL), (half, FULL)]:
        together.update(prediction, target)
    scores = {name: value.item() for name, value in together.compute().items()}
    assert scores == pytest.approx({"DiceScore": (1 + 2 / 3) / 2, "IoU": (1 + 1 / 2) / 2, "F1": 48 / 56})


def test_scores_stay_exact_where_the_default_dtype_is_bfloat16() -> None:
    pairs = draw_masks(5)
    expected = [score(metric(), pairs).item() for metric in PIXEL_METRICS]
    torch.set_default_dtype(torch.bfloat16)
    try:
        found = [score(metric(), pairs) for metric in PIXEL_METRICS]
    finally:
        torch.set_default_dtype(torch.float32)
    assert [value.dtype for value in found] == [torch.float32] * 3
    assert [value.item() for value in found] == expected


def score_all(pairs: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
    """Every metric on some images, over all ranks where there are some."""
    pixels = MetricCollection([DiceScore(), IoU(), F1()])
    instances, objects = InstanceScores(), ObjectScores()
    for prediction, target in pairs:
        pixels.update(prediction, target)
        rows = 1 + torch.arange(target.shape[1])[:, None] // 3  # bands of three rows are the instances
        instances.update(find_overlaps(prediction[0] * rows, target[0] * rows))
        objects.update(prediction[0] * rows, target[0] * rows)
    scores = pixels.compute() | instances.compute() | objects.compute()
    return {name: value.item() for name, value in scores.items()}


def score_share(rank: int, folder: str) -> None:
    """One of two processes: rank 0 is given four of the five images, rank 1 is given one."""
    meet = f"file://{folder}/meet"
    distributed.init_process_group(
        "gloo", init_method=meet, rank=rank, world_size=2, timeout=timedelta(minutes=10)
    )
    pairs = draw_masks(5)
    print(json.dumps(score_all(pairs[:4] if rank == 0 else pairs[4:])))
    distributed.destroy_process_group()


def test_two_processes_with_uneven_shares_score_as_one(processes: Processes, tmp_path: Path) -> None:
    share = "tests.training.metrics.test_pixels:score_share"
    ranks = [processes.start(share, rank, str(tmp_path), folder=tmp_path) for rank in (0, 1)]
    expected = score_all(draw_masks(5))
    assert {"DiceScore", "IoU", "F1", "aji", "pooled_pq", "object_hausdorff"} < set(expected)
    printed = [processes.wait(rank).stdout for rank in ranks]
    for scores in printed:
        assert json.loads(scores) == pytest.approx(expected, abs=1e-6)
