"""The instance figures against examples by hand and a slow reference that loops over masks."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from sac_lightning.training.metrics.instance_scores import InstanceScores, image_figures
from sac_lightning.training.metrics.overlaps import find_overlaps

Labels = NDArray[np.int64]
SHAPE = (6, 7)
NAMES = ("aji", "aji_plus", "pq", "dq", "sq", "ap50", "map", "f1_50", "f1_70", "f1_90", "count_error")
label_maps = arrays(np.int64, SHAPE, elements=st.sampled_from([0, 0, 1, 2, 3, 70000]))


def as_masks(labels: Labels) -> list[NDArray[np.bool_]]:
    return [labels == label for label in sorted(set(labels.ravel().tolist()) - {0})]


def reference(prediction: Labels, target: Labels) -> dict[str, float]:
    """The figures of one image by plain loops over whole masks."""
    truths, guesses = as_masks(target), as_masks(prediction)
    if not truths and not guesses:
        return dict.fromkeys(NAMES, 1.0) | {"count_error": 0.0}
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
    each = len(truths) + len(guesses)
    matches = {percent: sum(iou > percent / 100 for iou in ious.values()) for percent in range(50, 100, 5)}
    precisions = {percent: found / (each - found) for percent, found in matches.items()}
    return {
        "aji": shared / covered,
        "aji_plus": one_to_one(truths, guesses, ious),
        "pq": dq * sq,
        "dq": dq,
        "sq": sq,
        "ap50": precisions[50],
        "map": sum(precisions.values()) / len(precisions),
        **{f"f1_{percent}": 2 * matches[percent] / each for percent in (50, 70, 90)},
        "count_error": abs(len(guesses) - len(truths)) / max(len(truths), 1),
    }


def one_to_one(truths: list[Any], guesses: list[Any], ious: dict[tuple[int, int], float]) -> float:
    """AJI+ by trying every assignment; the largest sum of IoU, of equal ones any."""
    best, found = -1.0, set[float]()
    spare = [*range(len(guesses)), *[None] * len(truths)]
    for chosen in set(permutations(spare, len(truths))):
        pairs = [(i, j) for i, j in enumerate(chosen) if j is not None and (i, j) in ious]
        total = sum(ious[pair] for pair in pairs)
        if total < best - 1e-12:
            continue
        shared = sum((truths[i] & guesses[j]).sum() for i, j in pairs)
        covered = sum((truths[i] | guesses[j]).sum() for i, j in pairs)
        covered += sum(mask.sum() for i, mask in enumerate(truths) if i not in dict(pairs))
        covered += sum(mask.sum() for j, mask in enumerate(guesses) if j not in {pair[1] for pair in pairs})
        found = {*(found if total < best + 1e-12 else ()), shared / covered}
        best = max(best, total)
    # Assignments of one sum of IoU may share different pixels: which is taken is left open.
    return min(found) if len(found) == 1 else float("nan")


def all_scores(prediction: Labels, target: Labels) -> dict[str, float]:
    return image_figures(find_overlaps(prediction, target))


def agree(found: dict[str, float], expected: dict[str, float]) -> None:
    if np.isnan(expected["aji_plus"]):
        found, expected = (
            {name: figures[name] for name in NAMES if name != "aji_plus"} for figures in (found, expected)
        )
    assert found == pytest.approx(expected, abs=1e-9)


@given(label_maps, label_maps)
def test_agrees_with_loops_on_unrelated_maps(prediction: Labels, target: Labels) -> None:
    agree(all_scores(prediction, target), reference(prediction, target))


@given(label_maps, arrays(np.int64, SHAPE, elements=st.sampled_from([-1, -1, -1, -1, -1, 0, 1, 2])))
def test_agrees_with_loops_on_maps_that_nearly_match(target: Labels, edits: Labels) -> None:
    prediction = np.where(edits < 0, target, edits)
    agree(all_scores(prediction, target), reference(prediction, target))


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
    assert all_scores(prediction, target)["aji"] == pytest.approx((4 + 2) / (8 + 3 + 2))


def test_aji_lets_a_prediction_serve_two_nuclei() -> None:
    target = draw(["11112222220"])
    prediction = draw(["11111111111"])
    # Nucleus 1 shares 4 of 11 pixels with the only prediction, nucleus 2 shares 6 of 11.
    assert all_scores(prediction, target)["aji"] == pytest.approx((4 + 6) / (11 + 11))


def test_aji_chooses_the_best_prediction_though_another_nucleus_chose_it() -> None:
    target = draw(["1111222222"])
    prediction = draw(["3111111111"])
    # Nucleus 1: 3 of 10 with prediction 1 beats 1 of 4 with prediction 3, which is left over with 1 pixel.
    assert all_scores(prediction, target)["aji"] == pytest.approx((3 + 6) / (10 + 9 + 1))


def test_aji_plus_lets_no_prediction_serve_twice() -> None:
    target = draw(["11112222220"])
    prediction = draw(["11111111111"])
    # Nucleus 2 gets the only prediction, nucleus 1 with its 4 pixels is missed.
    assert all_scores(prediction, target)["aji_plus"] == pytest.approx(6 / (11 + 4))


def test_panoptic_quality_by_hand() -> None:
    target = draw(["111122223300"])
    prediction = draw(["111022220044"])
    # IoU 3/4 and 1; nucleus 3 missed, prediction 4 spurious.
    scores = {name: all_scores(prediction, target)[name] for name in ("dq", "sq", "pq")}
    assert scores == pytest.approx({"dq": 2 / 3, "sq": 7 / 8, "pq": 2 / 3 * 7 / 8})


def test_ap50_by_hand() -> None:
    target = draw(["111122223300"])
    prediction = draw(["111022220044"])
    assert all_scores(prediction, target)["ap50"] == pytest.approx(2 / 4)


def test_an_iou_of_exactly_half_is_no_match() -> None:
    target, prediction = draw(["1100"]), draw(["1000"])
    assert all_scores(prediction, target) == dict.fromkeys(NAMES, 0.0) | {"aji": 0.5, "aji_plus": 0.5}


EMPTY, ONE = draw(["0000"]), draw(["0110"])


@pytest.mark.parametrize(
    ("prediction", "target", "expected"),
    [(EMPTY, EMPTY, 1.0), (ONE, EMPTY, 0.0), (EMPTY, ONE, 0.0), (ONE, ONE, 1.0)],
    ids=["nothing-in-both", "nothing-true", "nothing-predicted", "equal"],
)
def test_empty_images(prediction: Labels, target: Labels, expected: float) -> None:
    found = all_scores(prediction, target)
    assert found.pop("count_error") == 1 - expected
    assert found == dict.fromkeys(NAMES[:-1], expected)


def scores_of(images: list[tuple[Labels, Labels]]) -> dict[str, float]:
    metric = InstanceScores()
    for prediction, target in images:
        metric.update(find_overlaps(prediction, target))
    return {name: value.item() for name, value in metric.compute().items()}


SEVERAL = [(ONE, ONE), (draw(["1000", "2233", "2233"]), draw(["1111", "2222", "2222"])), (ONE, EMPTY)]


def test_scores_are_means_over_images_whatever_their_size_and_nuclei() -> None:
    each = [reference(*image) for image in SEVERAL]
    expected = {name: sum(scores[name] for scores in each) / 3 for name in NAMES if name != "aji_plus"}
    found = scores_of(SEVERAL)
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_pooled_scores_are_those_of_one_image_that_holds_all() -> None:
    height, width = (max(target.shape[axis] for _, target in SEVERAL) for axis in (0, 1))
    sides = []
    for side in (0, 1):
        tiles = [
            np.pad(pair[side], [(0, n - m) for n, m in zip((height, width), pair[side].shape, strict=True)])
            for pair in SEVERAL
        ]
        sides.append(np.concatenate([np.where(tile > 0, tile + 10 * i, 0) for i, tile in enumerate(tiles)]))
    whole, found = all_scores(sides[0], sides[1]), scores_of(SEVERAL)
    for name in ("aji", "pq", "f1_50", "f1_70", "f1_90"):
        assert found[f"pooled_{name}"] == pytest.approx(whole[name])
    assert found["pooled_count_error"] == pytest.approx(5 / 3 - 1)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.int32, torch.int64])
def test_tensors_of_any_integer_dtype_are_taken(dtype: torch.dtype) -> None:
    target, prediction = draw(["1122"]), draw(["1022"])
    tensors = [torch.from_numpy(labels).to(dtype) for labels in (prediction, target)]
    assert image_figures(find_overlaps(*tensors))["aji"] == pytest.approx(3 / 4)


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
        find_overlaps(prediction, ONE)
