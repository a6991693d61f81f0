"""The losses against hand arithmetic."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sac_lightning.model.promptable import Segmentation
from sac_lightning.training.losses import (
    DiceCE,
    FocalDice,
    dice_loss,
    focal_loss,
    generator_loss,
    iou_loss,
    segmentation_losses,
)

CERTAIN = 100.0  # A logit whose probability is 1 in float32.


def random_pair(batch: int = 2, side: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(batch, 1, side, side, generator=generator) * 3
    target = (torch.rand(batch, 1, side, side, generator=generator) > 0.6).float()
    return logits, target


def image(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32)[None, None]


@pytest.mark.parametrize("gamma", [0.0, 2.0, 3.5])
@pytest.mark.parametrize("alpha", [None, 0.25, 0.75])
def test_focal_loss_is_its_formula(gamma: float, alpha: float | None) -> None:
    logits, target = random_pair()
    p = 1 / (1 + np.exp(-logits.numpy().astype(np.float64)))
    nucleus = target.numpy() == 1
    p_t = np.where(nucleus, p, 1 - p)
    weight = 1.0 if alpha is None else np.where(nucleus, alpha, 1 - alpha)
    expected = (-weight * (1 - p_t) ** gamma * np.log(p_t)).mean()
    assert focal_loss(logits, target, gamma, alpha).item() == pytest.approx(expected, rel=1e-5)


def test_focal_loss_by_hand() -> None:
    # p = 0.5 everywhere: (1 - 0.5)^2 * ln 2 for each pixel.
    logits, target = torch.zeros(1, 1, 2, 2), image([[1, 0], [0, 0]])
    assert focal_loss(logits, target).item() == pytest.approx(0.25 * math.log(2))
    mean_weight = (0.25 + 3 * 0.75) / 4
    assert focal_loss(logits, target, alpha=0.25).item() == pytest.approx(mean_weight * 0.25 * math.log(2))


def test_dice_loss_by_hand() -> None:
    # 3 predicted, 2 true, 2 in both: 1 - (2 * 2 + 1) / (3 + 2 + 1).
    logits = image([[CERTAIN, CERTAIN, CERTAIN], [-CERTAIN, -CERTAIN, -CERTAIN]])
    target = image([[1, 1, 0], [0, 0, 0]])
    assert dice_loss(logits, target).item() == pytest.approx(1 - 5 / 6)
    # p = 0.5 on 6 pixels, 2 true: 1 - (2 * 1 + 1) / (3 + 2 + 1).
    assert dice_loss(torch.zeros(1, 1, 2, 3), target).item() == pytest.approx(1 - 3 / 6)


def test_dice_loss_is_a_mean_over_images() -> None:
    right = image([[CERTAIN, -CERTAIN]])
    target = image([[1, 0]])
    wrong = 1 - 1 / 3  # nothing in common: 1 - (0 + 1) / (1 + 1 + 1)
    both = dice_loss(torch.cat([right, -right]), torch.cat([target, target]))
    assert both.item() == pytest.approx((0 + wrong) / 2)


def test_dice_loss_of_an_empty_image_is_zero() -> None:
    logits = torch.full((1, 1, 4, 4), -CERTAIN, requires_grad=True)
    loss = dice_loss(logits, torch.zeros(1, 1, 4, 4))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_focal_dice_weighs_20_to_1() -> None:
    logits, target = random_pair()
    focal, dice = focal_loss(logits, target), dice_loss(logits, target)
    torch.testing.assert_close(FocalDice()(logits, target), 20 * focal + dice)
    torch.testing.assert_close(FocalDice(3.0, 5.0)(logits, target), 3 * focal + 5 * dice)
    weighted = FocalDice(gamma=1.0, alpha=0.25)(logits, target)
    torch.testing.assert_close(weighted, 20 * focal_loss(logits, target, 1.0, 0.25) + dice)


def test_dice_ce_is_dice_plus_cross_entropy() -> None:
    logits, target = random_pair()
    p = torch.sigmoid(logits.double())
    cross_entropy = -(target * p.log() + (1 - target) * (1 - p).log()).mean().float()
    torch.testing.assert_close(DiceCE()(logits, target), dice_loss(logits, target) + cross_entropy)


def test_generator_loss_takes_the_target_at_nearest_pixels() -> None:
    # The centres of 2 x 2 pixels of a 6 x 6 image are its pixels 1 and 4.
    target = torch.zeros(1, 1, 6, 6)
    target[..., 1, 4] = target[..., 4, 1] = 1
    target[..., 0, 0] = target[..., 5, 5] = 1  # not seen
    logits = image([[-CERTAIN, CERTAIN], [CERTAIN, -CERTAIN]])
    assert generator_loss(logits, target).item() == pytest.approx(0, abs=1e-6)
    assert generator_loss(torch.zeros_like(logits), target).item() == pytest.approx(math.log(2))


def test_generator_loss_at_the_same_size_is_cross_entropy() -> None:
    logits, target = random_pair()
    torch.testing.assert_close(generator_loss(logits, target), F.binary_cross_entropy_with_logits(logits, target))


def test_iou_loss_by_hand() -> None:
    # Image 0: 2 predicted, 2 true, 1 in both: IoU 1/3, smoothed (1 + 1) / (3 + 1). Image 1: empty, IoU 1.
    logits = torch.cat([image([[2.0, 1.0, -1.0]]), image([[-1.0, -1.0, -1.0]])])
    target = torch.cat([image([[0, 1, 1]]), image([[0, 0, 0]])])
    loss = iou_loss(torch.tensor([0.9, 0.5]), logits, target)
    assert loss.item() == pytest.approx(((0.9 - 0.5) ** 2 + (0.5 - 1) ** 2) / 2)


def test_iou_loss_trains_the_estimate_and_not_the_mask() -> None:
    logits, target = random_pair()
    logits.requires_grad_()
    iou = torch.tensor([0.5, 0.5], requires_grad=True)
    iou_loss(iou, logits, target).backward()
    assert logits.grad is None, "the mask is trained to fit its estimate"
    assert iou.grad is not None
    assert iou.grad.abs().min() > 0


def segmentation(generator: bool, iou: bool, dtype: torch.dtype = torch.float32) -> tuple[Segmentation, Tensor]:
    logits, target = random_pair(side=8)
    return Segmentation(
        logits.to(dtype),
        torch.tensor([0.2, 0.9], dtype=dtype) if iou else None,
        logits[..., ::2, ::2].to(dtype) if generator else None,
        torch.zeros(2, 0, 2),
        torch.zeros(2, 0, dtype=torch.long),
    ), target


@pytest.mark.parametrize("generator", [True, False])
@pytest.mark.parametrize("iou", [True, False])
def test_the_parts_are_those_that_the_model_gives(generator: bool, iou: bool) -> None:
    output, target = segmentation(generator, iou)
    losses = segmentation_losses(output, target, FocalDice())
    assert set(losses) == {"mask"} | ({"generator"} if generator else set()) | ({"iou"} if iou else set())
    torch.testing.assert_close(losses["mask"], FocalDice()(output.logits, target))
    if output.generator_logits is not None:
        torch.testing.assert_close(losses["generator"], generator_loss(output.generator_logits, target))
    if output.iou is not None:
        torch.testing.assert_close(losses["iou"], iou_loss(output.iou, output.logits, target))


def test_losses_are_taken_in_full_precision() -> None:
    output, target = segmentation(True, True, torch.bfloat16)
    losses = segmentation_losses(output, target, DiceCE())
    assert {name: loss.dtype for name, loss in losses.items()} == dict.fromkeys(
        ("mask", "generator", "iou"), torch.float32
    )
    torch.testing.assert_close(losses["mask"], DiceCE()(output.logits.float(), target))


@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_extreme_logits_give_finite_losses_and_gradients(logit: float) -> None:
    logits = torch.full((1, 1, 4, 4), logit, requires_grad=True)
    target = image([[1, 0, 1, 0]] * 4)
    for loss in (FocalDice(), DiceCE()):
        logits.grad = None
        value = loss(logits, target)
        value.backward()
        assert value.isfinite()
        assert logits.grad is not None
        assert logits.grad.isfinite().all()
