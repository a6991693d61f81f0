"""The figures of an evaluation on images small enough to count by hand."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from sac_lightning.data.sample import WholeImage
from sac_lightning.errors import UserError
from sac_lightning.inference import Experts, Prediction
from sac_lightning.scores import Scores

NO_POINTS, NO_LABELS = torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)
Rows = Sequence[str]


def label_map(rows: Rows) -> Tensor:
    """Rows of digits, a dot for background."""
    return torch.tensor([[0 if c == "." else int(c) for c in row] for row in rows], dtype=torch.int32)


def image(rows: Rows) -> WholeImage:
    instances = label_map(rows)
    experts = Experts(NO_POINTS[None], NO_LABELS[None])
    return WholeImage("image", torch.zeros(3, *instances.shape), instances, experts, seed=0)


def probability(rows: Rows) -> Tensor:
    """Sure of the pixels that carry a digit, just not sure of the others."""
    return torch.where(label_map(rows) > 0, 0.9, 0.5)


def prediction(rows: Rows, generator: Rows | None = None) -> Prediction:
    generated = None if generator is None else probability(generator)
    return Prediction(probability(rows), generated, NO_POINTS, NO_LABELS)


def figures(scores: Scores) -> dict[str, float]:
    return {name: value.item() for name, value in scores.compute().items()}


def test_dice_and_iou_are_means_over_images_and_f1_pools_their_pixels() -> None:
    scores = Scores(generator=False, instances=False)
    # 4 true positives, 2 false positives: Dice 8/10, IoU 4/6.
    scores.update(prediction(["111.", "111.", "...."]), image(["11..", "11..", "...."]))
    # 2 false negatives, on an image of another size: 0 and 0.
    scores.update(prediction([".....", "....."]), image(["...77", "....."]))
    expected = {"dice": 0.4, "iou": 1 / 3, "f1": 8 / 12}
    assert figures(scores) == pytest.approx(expected)


def test_an_image_that_is_empty_in_both_counts_as_right() -> None:
    scores = Scores(generator=False, instances=True)
    scores.update(prediction(["...", "..."]), image(["...", "..."]))
    expected = dict.fromkeys(("dice", "iou", "f1", "aji", "pq", "dq", "sq", "ap50"), 1)
    assert figures(scores) == expected


def test_a_probability_of_one_half_is_no_nucleus() -> None:
    scores = Scores(generator=False, instances=False)
    undecided = Prediction(torch.full((2, 2), 0.5), None, NO_POINTS, NO_LABELS)
    scores.update(undecided, image(["..", ".."]))
    assert figures(scores)["dice"] == 1


def test_the_generator_is_scored_by_itself() -> None:
    scores = Scores(generator=True, instances=False)
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
    scores = Scores(generator=False, instances=True)
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
    scores = Scores(generator=False, instances=True)
    # Every pixel is right, yet the two true nuclei of 2 pixels melt into one region of 4: IoU 1/2, no match.
    scores.update(prediction(["11", "11"]), image(["12", "12"]))
    values = figures(scores)
    assert values["dice"] == 1
    assert values["pq"] == values["ap50"] == 0


def test_regions_that_touch_at_a_corner_are_one_instance() -> None:
    scores = Scores(generator=False, instances=True)
    scores.update(prediction(["1..", ".1."]), image(["3..", ".3."]))
    assert figures(scores)["ap50"] == 1


def test_instance_figures_are_means_over_images() -> None:
    scores = Scores(generator=False, instances=True)
    scores.update(prediction(["11."]), image(["11."]))
    scores.update(prediction(["11.."]), image(["...1"]))
    values = figures(scores)
    for name in ("aji", "pq", "dq", "sq", "ap50"):
        assert values[name] == pytest.approx(0.5), name


def test_only_what_was_asked_for_is_computed() -> None:
    scores = Scores(generator=False, instances=False)
    # A generator may be there without its score being asked for.
    scores.update(prediction(["1."], ["1."]), image(["1."]))
    assert figures(scores).keys() == {"dice", "iou", "f1"}


# torchmetrics warns besides.
@pytest.mark.filterwarnings("ignore:.*before the ``update`` method:UserWarning")
def test_reset_forgets_every_image() -> None:
    scores = Scores(generator=True, instances=True)
    scores.update(prediction(["1."], ["1."]), image([".1"]))
    scores.reset()
    with pytest.raises(UserError, match="no image"):
        scores.compute()
    scores.update(prediction(["1."], ["1."]), image(["1."]))
    assert set(figures(scores).values()) == {1}
