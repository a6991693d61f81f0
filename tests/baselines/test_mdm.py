"""MDM: the official code's numbers, the classifier's shortcut, which patches are hidden, and what stays frozen."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sac_lightning.baselines.diffusion_unet import DiffusionUNet
from sac_lightning.baselines.mdm import (
    MDM,
    PixelClassifier,
    hide_patches,
    make_generators,
    squared_norm_at,
)
from sac_lightning.core.errors import UserError
from sac_lightning.data.sample import TrainingBatch
from sac_lightning.model.weights import write_weights

Fill = Callable[..., nn.Module]
Images = Callable[[int], Tensor]
LOSS = nn.BCEWithLogitsLoss()


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def batch_of(images: Tensor, masks: Tensor | None = None, first_seed: int = 0) -> TrainingBatch:
    size = len(images)
    return {
        "images": images,
        "masks": (images.mean(1, keepdim=True) > 128).float() if masks is None else masks,
        "expert_coords": torch.zeros(size, 0, 2),
        "expert_labels": torch.zeros(size, 0),
        "seeds": torch.arange(first_seed, first_seed + size),
        "names": [""] * size,
    }


@pytest.fixture
def weights(fill: Fill, tmp_path: Path) -> Path:
    """Write the weights of a narrow U-Net as its pre-training would."""
    path = tmp_path / "mdm.safetensors"
    write_weights(path, fill(DiffusionUNet(8)).state_dict())
    return path


def test_it_has_the_official_number_of_parameters() -> None:
    with torch.device("meta"):
        mdm = MDM()
    assert count(mdm.classifier) == 225_826
    assert count(mdm) == 311_017_539 + 225_826 - 7_795_971  # What comes after the features is left out.


def test_its_logits_are_the_official_codes(fill: Fill, fixed_images: Images) -> None:
    mdm = fill(MDM(32))
    assert isinstance(mdm, MDM)
    with torch.no_grad():
        # The features of an image have the norm 1: ordinary weights would leave nothing of them beside the biases.
        mdm.classifier.first.weight.mul_(1000)
        logits = mdm(fixed_images(64))
    places = {
        (0, 0): -1.991168,
        (0, 63): -2.302998,
        (63, 0): -1.987808,
        (63, 63): -1.344467,
        (32, 32): -1.872553,
        (21, 12): -1.773207,
        (7, 55): -2.346684,
        (44, 3): -2.569852,
        (10, 40): -2.350360,
        (33, 12): -1.898138,
    }
    found = {place: logits[0, 0][place].item() for place in places}
    assert found == pytest.approx(places, rel=1e-4)


def test_the_classifier_takes_a_shortcut_to_the_same_end(fill: Fill) -> None:
    classifier = fill(PixelClassifier(20))
    assert isinstance(classifier, PixelClassifier)
    generator = torch.Generator().manual_seed(0)
    features = [torch.randn(2, 8, 4, 6, generator=generator), torch.randn(2, 12, 8, 12, generator=generator)]
    found = classifier(features, (16, 24))
    upsampled = torch.cat([F.interpolate(maps, (16, 24), mode="bilinear") for maps in features], dim=1)
    norms = upsampled.flatten(1).norm(dim=1).view(2, 1, 1, 1)
    torch.testing.assert_close(found, classifier.rest(classifier.first(upsampled / norms)))


@pytest.mark.parametrize(
    ("old", "new"), [((4, 4), (16, 16)), ((4, 6), (8, 24)), ((1, 2), (32, 64)), ((8, 8), (8, 8))]
)
def test_the_norm_of_upsampled_maps_needs_no_upsampling(old: tuple[int, int], new: tuple[int, int]) -> None:
    maps = torch.randn(2, 3, *old, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(maps, new, mode="bilinear").square().sum((1, 2, 3))
    torch.testing.assert_close(squared_norm_at(maps, new), expected)


@pytest.mark.parametrize(("step", "hidden"), [(0, 0), (50, 52), (500, 512), (999, 1023)])
def test_the_step_sets_how_many_patches_are_hidden(step: int, hidden: int) -> None:
    """Of the 1024 patches of an image of 256 pixels, a whole number stays visible; the others are hidden."""
    images = torch.ones(1, 3, 256, 256)
    masked = hide_patches(images, torch.tensor([step]), make_generators(torch.tensor([7])))
    patches = masked.view(3, 32, 8, 32, 8).transpose(2, 3).reshape(3, 1024, 64)
    assert ((patches == 0).all(-1) | (patches == 1).all(-1)).all()
    assert torch.equal(patches[0], patches[1])
    assert (patches[0, :, 0] == 0).sum() == hidden


def test_the_seed_of_an_image_decides_which_patches_are_hidden() -> None:
    images, steps = torch.ones(3, 3, 64, 32), torch.tensor([500, 500, 500])
    one, other, again = hide_patches(images, steps, make_generators(torch.tensor([1, 2, 1])))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_a_prediction_is_the_same_twice_and_in_any_batch(fill: Fill, fixed_images: Images) -> None:
    mdm = fill(MDM(8))
    images = torch.cat([fixed_images(64), 255 - fixed_images(64)])
    with torch.no_grad():
        both = mdm(images)
        assert torch.equal(both, mdm(images))
        torch.testing.assert_close(both[1:], mdm(images[1:]))


def test_in_training_patches_are_hidden_by_the_seeds_of_the_batch(fill: Fill, fixed_images: Images) -> None:
    mdm = fill(MDM(8)).train()
    assert isinstance(mdm, MDM)
    loss, again, other = (mdm.losses(batch_of(fixed_images(64), None, seed), LOSS)["mask"] for seed in (3, 3, 4))
    assert loss == again
    assert loss != other


def test_from_scratch_everything_trains(fill: Fill, fixed_images: Images) -> None:
    mdm = fill(MDM(8)).train()
    assert isinstance(mdm, MDM)
    mdm.losses(batch_of(fixed_images(64)), LOSS)["mask"].backward()
    without = [name for name, parameter in mdm.named_parameters() if parameter.grad is None]
    assert without == []
    assert mdm.unet.training


def test_the_unet_stays_what_the_pre_training_made_it(weights: Path, fixed_images: Images) -> None:
    mdm = MDM(8, weights=str(weights))
    mdm.load_weights(weights)
    before = {name: tensor.clone() for name, tensor in mdm.state_dict().items()}
    mdm.train()
    assert mdm.classifier.training
    assert not any(module.training for module in mdm.unet.modules())
    optimizer = torch.optim.Adam([p for p in mdm.parameters() if p.requires_grad], lr=1e-3)
    for step in range(3):
        optimizer.zero_grad()
        mdm.losses(batch_of(fixed_images(64), None, step), LOSS)["mask"].backward()
        optimizer.step()
    assert all(parameter.grad is None for parameter in mdm.unet.parameters())
    for name, tensor in mdm.state_dict().items():
        assert torch.equal(tensor, before[name]) == name.startswith("unet.")


def test_weights_are_loaded_when_asked_for(weights: Path, fill: Fill, tmp_path: Path) -> None:
    """The constructor must not need the weights' file, because a checkpoint already holds them."""
    mdm = MDM(8, weights=str(tmp_path / "gone.safetensors"))
    assert mdm.frozen
    mdm.load_weights(weights)
    given = fill(DiffusionUNet(8)).state_dict()
    for name, tensor in mdm.unet.state_dict().items():
        assert torch.equal(tensor, given[name].half().float())
    torch.save(given, tmp_path / "mdm.pth")
    mdm.load_weights(tmp_path / "mdm.pth")
    assert all(torch.equal(tensor, given[name]) for name, tensor in mdm.unet.state_dict().items())


def test_weights_of_another_width_are_refused(weights: Path) -> None:
    with pytest.raises(UserError, match=r"mdm.safetensors does not contain of_step.0.weight .*model.width=16"):
        MDM(16, weights=str(weights)).load_weights(weights)


def test_a_frozen_one_learns(weights: Path, fixed_images: Images) -> None:
    """It learns to tell bright from dark halves in a few steps."""
    torch.manual_seed(0)
    mdm = MDM(8, weights=str(weights)).train()
    mdm.load_weights(weights)
    images = fixed_images(64) / 2
    images[..., 32:] += 100
    batch = batch_of(images, (torch.arange(64) >= 32).float().expand(1, 1, 64, 64))
    optimizer = torch.optim.Adam(mdm.classifier.parameters(), lr=1e-2)
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        loss = mdm.losses(batch, LOSS)["mask"]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_the_loss_of_its_own_recipe_is_the_cross_entropy_of_both_classes() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 2, 8, 8, generator=generator)
    target = torch.randint(2, (2, 8, 8), generator=generator)
    difference = logits[:, 1:] - logits[:, :1]
    torch.testing.assert_close(LOSS(difference, target[:, None].float()), F.cross_entropy(logits, target))


def test_windows_without_a_nucleus_have_a_finite_loss(fixed_images: Images) -> None:
    mdm = MDM(8).train()
    loss = mdm.losses(batch_of(fixed_images(64), torch.zeros(1, 1, 64, 64)), LOSS)["mask"]
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in mdm.parameters())


def test_it_runs_in_bfloat16(fill: Fill, fixed_images: Images) -> None:
    mdm = fill(MDM(8))
    with torch.no_grad():
        exact = mdm(fixed_images(64))
        with torch.autocast("cpu", torch.bfloat16):
            rounded = mdm(fixed_images(64))
    assert rounded.shape == (1, 1, 64, 64)
    torch.testing.assert_close(rounded.float(), exact, rtol=0.05, atol=0.05)


def test_sides_are_multiples_of_32() -> None:
    assert MDM(8, units=(6, 4))(torch.zeros(1, 3, 64, 96)).shape == (1, 1, 64, 96)
    with pytest.raises(UserError, match=r"MDM cannot take 40x32 pixels: .* multiple of 32"):
        MDM(8)(torch.zeros(1, 3, 32, 40))
