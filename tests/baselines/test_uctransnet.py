"""UCTransNet: the official code's numbers, its size, its loss, and the sizes that it rejects."""

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from sac_lightning.baselines.uctransnet import UCTransNet
from sac_lightning.baselines.uctransnet_loss import DiceBalancedBCE, balanced_bce, squared_dice_loss
from sac_lightning.core.errors import UserError
from sac_lightning.data.sample import TrainingBatch

SIDE = 32


def tiny() -> UCTransNet:
    """Build a network for 32 px, which has four tokens."""
    torch.manual_seed(0)
    return UCTransNet(width=4, image_size=SIDE, layers=2, attention_heads=2, expansion=2)


def batch_of(masks: Tensor) -> TrainingBatch:
    size = len(masks)
    return {
        "images": torch.rand(size, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1)) * 255,
        "masks": masks,
        "expert_coords": torch.zeros(size, 0, 2),
        "expert_labels": torch.zeros(size, 0),
        "seeds": torch.arange(size),
        "names": ["image"] * size,
    }


def half_masks(size: int) -> Tensor:
    masks = torch.zeros(size, 1, SIDE, SIDE)
    masks[..., : SIDE // 2] = 1
    return masks


@pytest.mark.parametrize(("image_size", "parameters"), [(224, 66_430_657), (256, 66_488_257), (512, 67_225_537)])
def test_has_the_official_number_of_parameters(image_size: int, parameters: int) -> None:
    with torch.device("meta"):
        model = UCTransNet(image_size=image_size)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


# Probabilities at (y, x) of the official code with the same weights, at its width, on 64 pixels.
OFFICIAL = {
    (0, 0): 0.394049,
    (0, 63): 0.538641,
    (5, 40): 0.458835,
    (13, 7): 0.267896,
    (21, 58): 0.243615,
    (32, 32): 0.327623,
    (39, 14): 0.277332,
    (47, 51): 0.226648,
    (58, 26): 0.485931,
    (63, 63): 0.830195,
}


def test_agrees_with_the_official_code(
    fill: Callable[..., nn.Module], fixed_images: Callable[[int], Tensor]
) -> None:
    model = fill(UCTransNet(image_size=64))
    with torch.no_grad():
        # Attention that is standardised is nearly even, and what it adds all but vanishes: louder, it shows.
        for name, parameter in model.named_parameters():
            if name.endswith("attention.output.weight"):
                parameter.mul_(10)
        probabilities = model(fixed_images(64)).sigmoid()[0, 0]
    found = [probabilities[place].item() for place in OFFICIAL]
    assert found == pytest.approx(list(OFFICIAL.values()), rel=1e-4)


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("mask_loss", [DiceBalancedBCE(), nn.BCEWithLogitsLoss()])
def test_every_parameter_gets_a_gradient(size: int, mask_loss: nn.Module) -> None:
    model = tiny().train()
    sum(model.losses(batch_of(half_masks(size)), mask_loss).values(), torch.tensor(0.0)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_batch_of_one_class_has_a_finite_loss_and_gradients(value: float) -> None:
    model = tiny().train()
    losses = model.losses(batch_of(torch.full((2, 1, SIDE, SIDE), value)), DiceBalancedBCE())
    assert set(losses) == {"mask"}
    losses["mask"].backward()
    assert losses["mask"].isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_learns_one_image() -> None:
    model = tiny().train()
    batch, mask_loss = batch_of(half_masks(2)), DiceBalancedBCE()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    start = model.losses(batch, mask_loss)["mask"].item()
    for _ in range(12):
        optimizer.zero_grad()
        loss = model.losses(batch, mask_loss)["mask"]
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.75 * start


def test_runs_in_bfloat16() -> None:
    model = tiny().train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = model.losses(batch_of(half_masks(2)), DiceBalancedBCE())["mask"]
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()


def test_drops_in_training_only() -> None:
    images = batch_of(half_masks(1))["images"]
    model = tiny()
    with torch.no_grad():
        assert not torch.equal(model.train()(images), model(images))
        assert torch.equal(model.eval()(images), model(images))


@pytest.mark.parametrize(("height", "width"), [(48, 48), (32, 64), (33, 32)])
def test_takes_one_size_only(height: int, width: int) -> None:
    with pytest.raises(UserError, match=f"takes 32x32 pixels, not {width}x{height}: .*view.image_size=32"):
        tiny()(torch.zeros(1, 3, height, width))


@pytest.mark.parametrize(("image_size", "patch"), [(40, 8), (100, 16), (64, 48)])
def test_refuses_an_image_size_that_patches_do_not_tile(image_size: int, patch: int) -> None:
    with pytest.raises(UserError, match=f"multiple of {math.lcm(patch, 16)}"):
        UCTransNet(width=2, image_size=image_size, patch=patch)


def test_refuses_a_patch_that_the_deepest_level_cannot_halve() -> None:
    with pytest.raises(UserError, match=r"model\.patch of UCTransNet is 12: set it to a multiple of 8"):
        UCTransNet(width=2, image_size=48, patch=12)


@pytest.mark.parametrize("patch", [8, 16, 32])
def test_any_patch_gives_an_output_of_the_inputs_size(patch: int) -> None:
    model = UCTransNet(width=2, image_size=64, patch=patch, layers=1).eval()
    with torch.no_grad():
        assert model(torch.rand(1, 3, 64, 64) * 255).shape == (1, 1, 64, 64)


def logits_of(probabilities: Sequence[float]) -> Tensor:
    return torch.tensor(probabilities).view(1, 1, 1, -1).logit()


def test_dice_squares_its_denominator() -> None:
    target = torch.tensor([1.0, 1.0, 0.0]).view(1, 1, 1, 3)
    # 2 (0.5 + 0.8) over 0.25 + 0.64 + 0.04 + 2, and the smoothing.
    expected = 1 - (2.6 + 4e-5) / (2.93 + 4e-5)
    assert squared_dice_loss(logits_of([0.5, 0.8, 0.2]), target).item() == pytest.approx(expected, rel=1e-5)


def test_dice_is_a_mean_over_images() -> None:
    logits = torch.stack([torch.full((1, 2, 2), 20.0), torch.full((1, 2, 2), -20.0)])
    target = torch.ones(2, 1, 2, 2)
    assert squared_dice_loss(logits, target).item() == pytest.approx(0.5, abs=1e-4)


def test_cross_entropy_weighs_the_classes_alike_over_the_batch() -> None:
    target = torch.tensor([1.0, 0.0, 0.0, 0.0]).view(1, 1, 1, 4)
    expected = -(math.log(0.4) + (math.log(0.9) + math.log(0.8) + math.log(0.5)) / 3) / 2
    assert balanced_bce(logits_of([0.4, 0.1, 0.2, 0.5]), target).item() == pytest.approx(expected, rel=1e-5)
    nucleus, background = torch.ones(1, 1, 1, 4), torch.zeros(1, 1, 1, 4)
    logits = torch.cat([logits_of([0.4] * 4), logits_of([0.2] * 4)])
    expected = -(math.log(0.4) + math.log(0.8)) / 2
    assert balanced_bce(logits, torch.cat([nucleus, background])).item() == pytest.approx(expected, rel=1e-5)


def test_loss_of_an_image_without_nuclei() -> None:
    target = torch.zeros(1, 1, 1, 2)
    dice = 1 - 4e-5 / (0.5 + 4e-5)
    expected = 0.5 * dice + 0.5 * math.log(2) / 2
    assert DiceBalancedBCE()(logits_of([0.5, 0.5]), target).item() == pytest.approx(expected, rel=1e-5)


def test_loss_agrees_with_the_official_code() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 1, 8, 8, generator=generator) * 3
    target = (torch.rand(3, 1, 8, 8, generator=generator) < torch.tensor([0.0, 0.3, 0.9]).view(3, 1, 1, 1)).float()
    assert DiceBalancedBCE()(logits, target).item() == pytest.approx(0.99896202, rel=1e-6)
    assert DiceBalancedBCE(1, 0)(logits, target).item() == pytest.approx(0.61753615, rel=1e-6)
