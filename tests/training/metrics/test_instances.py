"""AJI, panoptic quality and AP50 against examples by hand and a slow reference that loops over masks."""

import time
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from torchmetrics import Metric, MetricCollection

from sac_lightning.training.metrics.instances import AJI, AP50, PanopticQuality, find_overlaps

Labels = NDArray[np.int64]
SHAPE = (6, 7)
label_maps = arrays(np.int64, SHAPE, elements=st.sampled_from([0, 0, 1, 2, 3, 70000]))


def score(metric: Metric, prediction: Labels, target: Labels) -> Any:
    metric.update(prediction, target)
    return metric.compute()


def as_masks(labels: Labels) -> list[NDArray[np.bool_]]:
    return [labels == label for label in sorted(set(labels.ravel().tolist()) - {0})]


def reference(prediction: Labels, target: Labels) -> dict[str, float]:
    """The four scores of one image by plain loops over whole masks."""
    truths, guesses = as_masks(target), as_masks(prediction)
    if not truths and not guesses:
        return {"aji": 1.0, "pq": 1.0, "dq": 1.0, "sq": 1.0, "ap50": 1.0}
    ious = {
        (i, j): (truth & guess).sum() / (truth | guess).sum()
        for i, truth in enumerate(truths)
        for j, guess in enumerate(guesses)
        if (truth & guess).any()
    }
    matched = [iou for iou in ious.values() if iou > 0.5]
    missed, spurious = len(truths) - len(matched), len(guesses) - len(matched)
    dq = len(matched) / (len(matched) + spurious / 2 + missed / 2)
    sq = sum(matched) / len(matched) if matched else 0.0
    shared = covered = 0
    chosen = set()
    for i, truth in enumerate(truths):
        candidates = [j for j in range(len(guesses)) if (i, j) in ious]
        if not candidates:
            covered += truth.sum()
            continue
        best = max(candidates, key=lambda j: (ious[i, j], -j))
        chosen.add(best)
        shared += (truth & guesses[best]).sum()
        covered += (truth | guesses[best]).sum()
    covered += sum(guess.sum() for j, guess in enumerate(guesses) if j not in chosen)
    ap50 = len(matched) / (len(matched) + missed + spurious)
    return {"aji": shared / covered, "pq": dq * sq, "dq": dq, "sq": sq, "ap50": ap50}


def all_scores(prediction: Labels, target: Labels) -> dict[str, float]:
    scores = {"aji": score(AJI(), prediction, target), "ap50": score(AP50(), prediction, target)}
    scores |= score(PanopticQuality(), prediction, target)
    return {name: value.item() for name, value in scores.items()}


@given(label_maps, label_maps)
def test_agrees_with_loops_on_unrelated_maps(prediction: Labels, target: Labels) -> None:
    assert all_scores(prediction, target) == pytest.approx(reference(prediction, target), abs=1e-6)


@given(label_maps, arrays(np.int64, SHAPE, elements=st.sampled_from([-1, -1, -1, -1, -1, 0, 1, 2])))
def test_agrees_with_loops_on_maps_that_nearly_match(target: Labels, edits: Labels) -> None:
    prediction = np.where(edits < 0, target, edits)
    assert all_scores(prediction, target) == pytest.approx(reference(prediction, target), abs=1e-6)


@given(label_maps, label_maps, st.permutations([1, 2, 3, 70000]), st.permutations([5, 9, 4, 2**31 - 1]))
def test_numbering_does_not_matter(prediction: Labels, target: Labels, old: list[int], new: list[int]) -> None:
    overlaps = find_overlaps(prediction, target)
    ious = overlaps.intersection / overlaps.union
    assume(len(set(ious.tolist())) == len(ious))  # AJI breaks ties of IoU by label
    renumbered = target.copy()
    for before, after in zip(old, new, strict=True):
        renumbered[target == before] = after
    assert all_scores(prediction, renumbered) == pytest.approx(all_scores(prediction, target))


def draw(rows: list[str]) -> Labels:
    return np.array([[int(character) for character in row] for row in rows])


def test_aji_by_hand() -> None:
    target = draw(["1110222", "1110000"])
    prediction = draw(["0111022", "0111033"])
    # 1-1: 4 of 8 pixels; 2-2: 2 of 3 pixels; prediction 3: 2 pixels left over.
    assert score(AJI(), prediction, target).item() == pytest.approx((4 + 2) / (8 + 3 + 2))


def test_aji_lets_a_prediction_serve_two_nuclei() -> None:
    target = draw(["11112222220"])
    prediction = draw(["11111111111"])
    # Nucleus 1 shares 4 of 11 pixels with the only prediction, nucleus 2 shares 6 of 11.
    assert score(AJI(), prediction, target).item() == pytest.approx((4 + 6) / (11 + 11))


def test_aji_chooses_the_best_prediction_though_another_nucleus_chose_it() -> None:
    target = draw(["1111222222"])
    prediction = draw(["3111111111"])
    # Nucleus 1: 3 of 10 with prediction 1 beats 1 of 4 with prediction 3, which is left over with 1 pixel.
    assert score(AJI(), prediction, target).item() == pytest.approx((3 + 6) / (10 + 9 + 1))


def test_panoptic_quality_by_hand() -> None:
    target = draw(["111122223300"])
    prediction = draw(["111022220044"])
    # IoU 3/4 and 1; nucleus 3 missed, prediction 4 spurious.
    scores = {name: value.item() for name, value in score(PanopticQuality(), prediction, target).items()}
    assert scores == pytest.approx({"dq": 2 / 3, "sq": 7 / 8, "pq": 2 / 3 * 7 / 8})


def test_ap50_by_hand() -> None:
    target = draw(["111122223300"])
    prediction = draw(["111022220044"])
    assert score(AP50(), prediction, target).item() == pytest.approx(2 / 4)


def test_an_iou_of_exactly_half_is_no_match() -> None:
    target, prediction = draw(["1100"]), draw(["1000"])
    assert all_scores(prediction, target) == {"aji": 0.5, "pq": 0.0, "dq": 0.0, "sq": 0.0, "ap50": 0.0}


EMPTY, ONE = draw(["0000"]), draw(["0110"])


@pytest.mark.parametrize(
    ("prediction", "target", "expected"),
    [(EMPTY, EMPTY, 1.0), (ONE, EMPTY, 0.0), (EMPTY, ONE, 0.0), (ONE, ONE, 1.0)],
    ids=["nothing-in-both", "nothing-true", "nothing-predicted", "equal"],
)
def test_empty_images(prediction: Labels, target: Labels, expected: float) -> None:
    assert all_scores(prediction, target) == dict.fromkeys(["aji", "pq", "dq", "sq", "ap50"], expected)


def test_scores_are_means_over_images_whatever_their_size_and_nuclei() -> None:
    metrics = MetricCollection([AJI(), PanopticQuality(), AP50()])
    images = [(ONE, ONE), (draw(["1000", "2233", "2233"]), draw(["1111", "2222", "2222"])), (ONE, EMPTY)]
    for prediction, target in images:
        metrics.update(prediction, target)
    each = [reference(*image) for image in images]
    expected = {name: sum(scores[name] for scores in each) / 3 for name in each[0]}
    found = {name.lower(): value.item() for name, value in metrics.compute().items()}
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.int32, torch.int64])
def test_tensors_of_any_integer_dtype_are_taken(dtype: torch.dtype) -> None:
    target, prediction = draw(["1122"]), draw(["1022"])
    tensors = [torch.from_numpy(labels).to(dtype) for labels in (prediction, target)]
    metric = AJI()
    metric.update(*tensors)
    assert metric.compute().item() == pytest.approx(3 / 4)


@pytest.mark.parametrize(
    ("prediction", "message"),
    [
        (ONE[:, :3], "one shape"),
        (ONE[None], "integers"),
        (ONE.astype(float), "integers"),
        (ONE > 0, "integers"),
        (-ONE, "Labels must lie"),
        (ONE << 31, "Labels must lie"),
    ],
)
def test_other_maps_are_refused(prediction: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AJI().update(prediction, ONE)


def test_fifteen_hundred_nuclei_on_a_megapixel_take_well_under_a_second() -> None:
    y, x = np.mgrid[:1000, :1000]
    tiles = 1 + (y // 25) * 40 + x // 25
    disc = (y % 25 - 12) ** 2 + (x % 25 - 12) ** 2 < 100
    target = np.where(disc, tiles, 0)[:, :950]
    assert len(np.unique(target)) > 1500
    prediction = np.roll(target, 3, axis=1)
    start = time.process_time()  # of the processor, as other work on the machine is none of the test's
    all_scores(prediction, target)
    assert time.process_time() - start < 1.0, "three metrics on one image took a second or more"
