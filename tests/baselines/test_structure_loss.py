"""The structure loss against arithmetic by hand and against the official function."""

import math

import pytest
import torch
from torch import Tensor

from sac_lightning.baselines.structure_loss import StructureLoss


def _example() -> tuple[Tensor, Tensor]:
    """Return two pixels with probabilities 0.75 (nucleus) and 0.5 (background), and their target."""
    return torch.tensor([[[[math.log(3), 0.0]]]]), torch.tensor([[[[1.0, 0.0]]]])


NUCLEUS = 1 + 5 * 960 / 961  # the weight: the mean of 31 x 31 pixels, of which this is the only one of 1, is 1/961
BACKGROUND = 1 + 5 * 1 / 961
WEIGHTED = (NUCLEUS * -math.log(0.75) + BACKGROUND * -math.log(0.5)) / (NUCLEUS + BACKGROUND)
PLAIN = -(math.log(0.75) + math.log(0.5)) / 2
INTERSECTION = 0.75 * NUCLEUS
UNION = 1.75 * NUCLEUS + 0.5 * BACKGROUND - INTERSECTION
IOU = 1 - (INTERSECTION + 1) / (UNION + 1)


def test_two_pixels_by_hand() -> None:
    assert StructureLoss()(*_example()).item() == pytest.approx(WEIGHTED + IOU, rel=1e-5)


def test_equals_the_official_function_once_it_weights_its_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 1, 40, 48, generator=generator)
    target = torch.zeros(2, 1, 40, 48)
    target[0, 0, 8:20, 30:48] = 1  # reaches the border; the second image is empty
    # Of the official code with reduction="none" in place of reduce="none".
    assert StructureLoss()(logits, target).item() == pytest.approx(1.6773312)


def test_without_boundary_weight_every_pixel_counts_alike() -> None:
    logits, target = _example()
    equal = StructureLoss(boundary_weight=0.0)(logits, target)

    assert equal.item() == pytest.approx(PLAIN + 1 - (0.75 + 1) / (1.5 + 1), rel=1e-5)


def test_background_alone_has_a_finite_loss_and_gradient() -> None:
    logits = torch.zeros(1, 1, 8, 8, requires_grad=True)
    loss = StructureLoss()(logits, torch.zeros(1, 1, 8, 8))
    loss.backward()

    assert loss.item() == pytest.approx(math.log(2) + 1 - 1 / (32 + 1), rel=1e-5)
    assert logits.grad is not None
    assert (logits.grad > 0).all()
