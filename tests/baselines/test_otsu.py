"""Otsu's threshold: equal to scikit-image's, one per image, with the smaller class as nuclei."""

import numpy as np
import pytest
import torch
from skimage.filters import threshold_otsu
from torch import Tensor

from sac_lightning.baselines.otsu import Otsu
from sac_lightning.data.scene import Stain, render_scene
from sac_lightning.training.metrics.pixels import DiceScore

SIZE = 64


def disc(radius: int = 15) -> Tensor:
    """Return a disc (SIZE, SIZE) bool."""
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    return (x - 30) ** 2 + (y - 25) ** 2 < radius**2


def paint(mask: Tensor, inside: tuple[int, ...], outside: tuple[int, ...]) -> Tensor:
    """Return an image (3, H, W) of two colours."""
    return torch.where(mask, torch.tensor(inside).view(3, 1, 1), torch.tensor(outside).view(3, 1, 1)).float()


def mask_of(image: Tensor) -> Tensor:
    mask: Tensor = Otsu()(image[None])[0, 0] > 0
    return mask


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ((200, 200, 200), (10, 10, 10)),  # bright nuclei, as in fluorescence
        ((60, 40, 120), (230, 200, 220)),  # dark nuclei, as in histology
        ((2, 2, 2), (1, 1, 1)),  # nearly black
        ((0, 90, 0), (90, 0, 0)),  # told apart by colour alone
    ],
)
def test_finds_nuclei_that_are_brighter_or_darker_than_the_rest(
    inside: tuple[int, ...], outside: tuple[int, ...]
) -> None:
    assert torch.equal(mask_of(paint(disc(), inside, outside)), disc())


@pytest.mark.parametrize("bright_part", [0.2, 0.8])
def test_agrees_with_scikit_image_on_noise(bright_part: float) -> None:
    rng = np.random.default_rng(3)
    bright = rng.random((SIZE, SIZE)) < bright_part
    grey = np.clip(np.where(bright, 150, 90) + 25 * rng.standard_normal((SIZE, SIZE)), 0, 255).astype(np.uint8)
    threshold = threshold_otsu(grey)
    above = grey > threshold
    assert 0.1 < above.mean() < 0.9
    expected = above if above.mean() <= 0.5 else ~above
    found = mask_of(torch.from_numpy(np.repeat(grey[None], 3, axis=0)).float()).numpy()
    # On floating-point greys scikit-image has bins of another width: the grey next to the threshold may differ.
    clear = np.abs(grey - float(threshold)) > 1
    assert clear.mean() > 0.9
    assert np.array_equal(found[clear], expected[clear])


def test_each_image_has_its_own_threshold() -> None:
    bright, dark = paint(disc(), (250, 250, 250), (200, 200, 200)), paint(disc(8), (10, 10, 10), (60, 60, 60))
    masks = Otsu()(torch.stack([bright, dark]))[:, 0] > 0
    assert torch.equal(masks[0], disc())
    assert torch.equal(masks[1], disc(8))


@pytest.mark.parametrize("value", [0.0, 128.0, 255.0])
def test_an_image_of_one_colour_has_no_nuclei(value: float) -> None:
    assert not mask_of(torch.full((3, 8, 9), value)).any()


def test_logits_have_the_size_of_the_image_and_are_sure() -> None:
    logits = Otsu()(torch.rand(2, 3, 20, 31) * 255)
    assert logits.shape == (2, 1, 20, 31)
    assert logits.dtype == torch.float32
    probability = logits.sigmoid()
    assert ((probability < 1e-4) | (probability > 1 - 1e-4)).all()


def test_nothing_trains() -> None:
    assert not list(Otsu().parameters())
    assert not Otsu().state_dict()


@pytest.mark.parametrize("stain", ["fluorescence", "histology"])
def test_is_a_floor_and_no_coin_toss_on_synthetic_scenes(stain: Stain) -> None:
    dice = DiceScore()
    for seed in range(3):
        image, instances = render_scene(np.random.default_rng(seed), 128, 128, stain)
        found = mask_of(torch.from_numpy(image).permute(2, 0, 1).float())
        dice.update(found[None], torch.from_numpy(instances > 0)[None])
    assert dice.compute() > 0.5
