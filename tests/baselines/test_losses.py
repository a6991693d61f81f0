"""The networks' losses against arithmetic by hand."""

from math import exp, log

import pytest
import torch

from sac_lightning.baselines.losses import CrossEntropy, Dice, DiceCrossEntropy

LOGITS = torch.tensor([[[[0.0, 2.0]]], [[[-1.0, 0.0]]]])
TARGET = torch.tensor([[[[0.0, 1.0]]], [[[0.0, 0.0]]]])
P = [0.5, 1 / (1 + exp(-2)), 1 / (1 + exp(1)), 0.5]
DICE = 1 - (2 * P[1] + 1) / (sum(P) + 1 + 1)
ENTROPY = -(log(1 - P[0]) + log(P[1]) + log(1 - P[2]) + log(1 - P[3])) / 4


def test_dice_pools_the_pixels_of_a_batch() -> None:
    assert Dice()(LOGITS, TARGET).item() == pytest.approx(DICE)


def test_cross_entropy_is_that_of_two_classes() -> None:
    assert CrossEntropy()(LOGITS, TARGET).item() == pytest.approx(ENTROPY)
    two = torch.cat([torch.zeros_like(LOGITS), LOGITS], dim=1)
    of_two = torch.nn.functional.cross_entropy(two, TARGET[:, 0].long())
    assert CrossEntropy()(LOGITS, TARGET).item() == pytest.approx(of_two.item())


def test_the_sum_is_weighted() -> None:
    loss = DiceCrossEntropy(dice_weight=0.5, cross_entropy_weight=2)
    assert loss(LOGITS, TARGET).item() == pytest.approx(0.5 * DICE + 2 * ENTROPY)


def test_a_batch_of_background_alone_is_defined() -> None:
    nothing = torch.zeros(2, 1, 4, 4)
    assert Dice()(torch.full((2, 1, 4, 4), -50.0), nothing).item() == pytest.approx(0, abs=1e-6)
    assert Dice()(torch.full((2, 1, 4, 4), 50.0), nothing).item() == pytest.approx(1 - 1 / 33)
