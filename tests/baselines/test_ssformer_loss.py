"""SSFormer's own loss against arithmetic by hand and the official function."""

import math

import pytest
import torch

from sac_lightning.baselines.ssformer_loss import PixelwiseDiceCrossEntropy


def test_one_pixel_of_each_class_by_hand() -> None:
    logits, target = torch.tensor([[[[math.log(3), 0.0]]]]), torch.tensor([[[[1.0, 0.0]]]])
    cross_entropy = -(math.log(0.75) + math.log(0.5)) / 2
    dice = (0.25 / 2.75 + 0.5 / 1.5) / 2

    assert PixelwiseDiceCrossEntropy(sigmoid_twice=False)(logits, target).item() == pytest.approx(
        cross_entropy + dice, rel=1e-5
    )


def test_the_sigmoid_is_taken_twice_as_in_the_official_training() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 1, 6, 8, generator=generator)
    target = (torch.rand(2, 1, 6, 8, generator=generator) > 0.7).float()
    once = PixelwiseDiceCrossEntropy(sigmoid_twice=False)

    assert PixelwiseDiceCrossEntropy()(logits, target).item() == pytest.approx(
        once(logits.sigmoid(), target).item()
    )
    assert PixelwiseDiceCrossEntropy()(logits, target).item() == pytest.approx(1.1733427)


@pytest.mark.parametrize(("nucleus", "cost"), [(1.0, 0.4117368), (0.0, 1.0264805)])
def test_a_perfect_pixel_still_costs(nucleus: float, cost: float) -> None:
    logits = torch.full((1, 1, 4, 4), 50.0 if nucleus else -50.0)

    assert PixelwiseDiceCrossEntropy()(logits, torch.full((1, 1, 4, 4), nucleus)).item() == pytest.approx(cost)
