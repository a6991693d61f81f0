"""FANet against values from its official code, and the masks that are fed back."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sac_lightning.baselines.fanet import FANet, RandomSelection, find_otsu_masks
from sac_lightning.baselines.losses import DiceCrossEntropy
from sac_lightning.core.errors import UserError
from sac_lightning.data.sample import TrainingBatch

Fill = Callable[..., FANet]
Images = Callable[[int], Tensor]
PLACES = [(0, 0), (0, 63), (11, 40), (20, 20), (29, 5), (35, 57), (44, 23), (52, 38), (63, 0), (63, 63)]
PASS_1 = (
    -0.930515,
    0.2175332,
    -1.208211,
    -0.5273767,
    -2.800361,
    0.456774,
    -0.3339723,
    -0.4018649,
    0.404595,
    0.2470451,
)
PASS_10 = (
    *(-0.3686298, -0.02033456, 0.04262465, -1.362805, 0.6142282),
    *(-0.1358191, -0.7656579, 0.1935629, 0.2274539, 0.3480215),
)


def batch_of(masks: Tensor, seed: int = 1) -> TrainingBatch:
    """Make a batch of noise with these masks (B, 1, S, S)."""
    images = torch.rand(len(masks), 3, *masks.shape[-2:], generator=torch.Generator().manual_seed(seed)) * 255
    return TrainingBatch(
        images=images,
        masks=masks,
        expert_coords=torch.zeros(len(masks), 0, 2),
        expert_labels=torch.zeros(len(masks), 0),
        seeds=torch.arange(len(masks)),
        names=["noise"] * len(masks),
    )


def squares(size: int = 32) -> Tensor:
    masks = torch.zeros(2, 1, size, size)
    masks[:, :, 8:20, 8:20] = 1
    return masks


def blobs(fixed_images: Images) -> Tensor:
    """Draw an image (1, 3, 64, 64) of soft spots, which Otsu's threshold turns into regions."""
    return F.interpolate(fixed_images(8), scale_factor=8, mode="bilinear").round()


def small() -> FANet:
    torch.manual_seed(0)
    return FANet(width=8, feedback=3)


def record_masks(model: FANet, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Return a list to which the masks of each pass are appended."""
    seen: list[Tensor] = []
    logits = model._logits

    def spy(prepared: Tensor, masks: Tensor) -> Tensor:
        seen.append(masks)
        return logits(prepared, masks)

    monkeypatch.setattr(model, "_logits", spy)
    return seen


def test_parameters_are_as_many_as_in_the_official_code() -> None:
    with torch.device("meta"):
        model = FANet()
    counts = dict.fromkeys((True, False), 0)
    for parameter in model.parameters():
        counts[parameter.requires_grad] += parameter.numel()
    assert sum(counts.values()) == 7_720_266
    assert counts[False] == 982_088


@pytest.mark.parametrize(("feedback", "expected"), [(1, PASS_1), (10, PASS_10)])
def test_gives_the_official_code_s_logits(
    fill: Fill, fixed_images: Images, feedback: int, expected: tuple[float, ...]
) -> None:
    # In double precision: a rounding that turns one pixel of a mask would change much else.
    model = fill(FANet(feedback=feedback)).double()
    with torch.no_grad():
        logits = model(blobs(fixed_images).double())[0, 0]
    assert [float(logits[place]) for place in PLACES] == pytest.approx(expected, rel=1e-4)


def test_first_masks_are_the_official_code_s(fixed_images: Images) -> None:
    masks = find_otsu_masks(blobs(fixed_images))
    assert masks.shape == (1, 1, 64, 64)
    assert set(masks.flatten().tolist()) == {0, 1}
    assert int(masks.sum()) == 1807
    assert masks[0, 0].sum(1)[::8].int().tolist() == [35, 39, 24, 29, 24, 24, 35, 23]


def test_first_mask_is_the_bright_side() -> None:
    image = torch.full((1, 3, 32, 32), 200.0)
    image[:, :, 8:24, 8:24] = 50
    found = find_otsu_masks(image)[0, 0]
    assert not found[12:20, 12:20].any()
    assert found[:6].all()


@pytest.mark.parametrize(("grey", "marked"), [(0.0, 0.0), (120.0, 1.0), (255.0, 1.0)])
def test_first_mask_of_an_image_of_one_colour(grey: float, marked: float) -> None:
    assert float(find_otsu_masks(torch.full((1, 3, 16, 16), grey)).mean()) == marked


def test_masks_of_one_image_do_not_depend_on_the_others() -> None:
    images = batch_of(squares())["images"] * torch.tensor([1.0, 0.3]).view(2, 1, 1, 1)
    assert torch.equal(find_otsu_masks(images), torch.cat([find_otsu_masks(image[None]) for image in images]))


def test_random_selection_never_trains_but_has_a_say(fixed_images: Images) -> None:
    model = small().eval()
    selections = [module for module in model.modules() if isinstance(module, RandomSelection)]
    assert len(selections) == 8
    (loss,) = model.train().losses(batch_of(squares()), DiceCrossEntropy(0.5, 0.5)).values()
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is None for module in selections for parameter in module.parameters())
    model.eval()
    before = model(blobs(fixed_images))
    with torch.no_grad():
        for module in selections:
            for parameter in module.parameters():
                parameter.neg_()
    assert not torch.equal(model(blobs(fixed_images)), before)


@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize("autocast", [False, True])
def test_every_parameter_that_trains_gets_a_gradient(epoch: int, autocast: bool) -> None:
    model = small()
    model.start_epoch(epoch)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        (loss,) = model.losses(batch_of(squares()), DiceCrossEntropy(0.5, 0.5)).values()
    assert loss.dtype == torch.float32
    loss.backward()  # type: ignore[no-untyped-call]
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


def test_epoch_0_is_fed_otsu_s_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = batch_of(squares())
    model = small()
    passes = record_masks(model, monkeypatch)
    model.losses(batch, DiceCrossEntropy(0.5, 0.5))
    (masks,) = passes
    assert torch.equal(masks, find_otsu_masks(batch["images"]))


def test_later_epochs_are_fed_what_a_prediction_s_first_pass_gives(
    fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = batch_of(squares())
    model = fill(small()).train()
    with torch.no_grad():
        first_pass = FANet(width=8, feedback=1).eval()
        first_pass.load_state_dict(model.state_dict())
        expected = first_pass(batch["images"]) > 0
    assert expected.any()
    assert not expected.all()
    model.start_epoch(3)
    passes = record_masks(model, monkeypatch)
    model.losses(batch, DiceCrossEntropy(0.5, 0.5))
    first, second = passes
    assert torch.equal(first, find_otsu_masks(batch["images"]))
    assert torch.equal(second, expected.float())
    assert not torch.equal(first, second)


@pytest.mark.parametrize("epoch", [0, 1])
def test_a_step_updates_the_running_statistics_once(epoch: int) -> None:
    model = small()
    model.start_epoch(epoch)
    model.losses(batch_of(squares()), DiceCrossEntropy(0.5, 0.5))
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert all(module.training for module in model.modules())
    assert {int(norm.num_batches_tracked) for norm in norms if norm.num_batches_tracked is not None} == {1}


def test_training_that_is_resumed_goes_on_alike() -> None:
    batch = batch_of(squares())
    through, resumed = small(), small()
    through.losses(batch, DiceCrossEntropy(0.5, 0.5))
    through.start_epoch(1)
    resumed.load_state_dict(through.state_dict())
    resumed.start_epoch(1)
    losses = [
        float(model.losses(batch, DiceCrossEntropy(0.5, 0.5))["mask"].detach()) for model in (through, resumed)
    ]
    assert losses[0] == losses[1]


@torch.no_grad()
def test_a_prediction_ends_where_it_no_longer_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    model = FANet(width=8, feedback=10).eval()
    model.head.weight.zero_()
    assert model.head.bias is not None
    model.head.bias.fill_(1)  # Every pixel is a nucleus, whatever the mask.
    passes = record_masks(model, monkeypatch)
    assert (model(batch_of(squares())["images"]) == 1).all()
    assert len(passes) == 3
    assert not passes[0].all()
    assert all(masks.all() for masks in passes[1:])


def test_background_alone_gives_finite_losses_even_for_one_image() -> None:
    model = small()
    (loss,) = model.losses(batch_of(torch.zeros(1, 1, 16, 16)), DiceCrossEntropy(0.5, 0.5)).values()
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.isfinite()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)


@torch.no_grad()
def test_runs_on_oblong_images_and_under_autocast() -> None:
    model = small().eval()
    with torch.autocast("cpu", torch.bfloat16):
        assert model(torch.from_numpy(np.full((2, 3, 32, 48), 9.0, np.float32))).shape == (2, 1, 32, 48)


def test_refuses_a_size_that_its_poolings_do_not_divide() -> None:
    with pytest.raises(UserError, match="multiple of 16"):
        small()(torch.zeros(1, 3, 32, 40))
