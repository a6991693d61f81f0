"""DoubleU-Net against values from its official PyTorch code."""

from collections.abc import Callable
from typing import Any
from urllib.error import URLError

import pytest
import torch
from torch import Tensor
from torchvision.models import vgg

from sac_lightning.baselines.doubleu_net import VGG19, DoubleUNet, centre_images
from sac_lightning.baselines.losses import Dice
from sac_lightning.core.errors import UserError
from sac_lightning.data.sample import TrainingBatch

Fill = Callable[..., DoubleUNet]
Images = Callable[[int], Tensor]
PLACES = [(0, 0), (0, 63), (11, 40), (20, 20), (29, 5), (35, 57), (44, 23), (52, 38), (63, 0), (63, 63)]
FIRST = (
    -0.07194022,
    0.1113096,
    1.268034,
    1.155557,
    -1.841807,
    1.683103,
    0.3404456,
    -1.03554,
    -0.2983421,
    0.106145,
)
SECOND = (
    *(-0.007945404, -0.3624935, -1.329152, -1.262272, -0.3849733),
    *(-1.78964, -1.394722, -0.5090795, 0.4693443, 0.005526812),
)
DOWNLOAD = "torchvision.models._api.load_state_dict_from_url"


def batch_of(masks: Tensor) -> TrainingBatch:
    """Make a batch of noise with these masks (B, 1, S, S)."""
    images = torch.rand(len(masks), 3, *masks.shape[-2:], generator=torch.Generator().manual_seed(1)) * 255
    return TrainingBatch(
        images=images,
        masks=masks,
        expert_coords=torch.zeros(len(masks), 0, 2),
        expert_labels=torch.zeros(len(masks), 0),
        seeds=torch.arange(len(masks)),
        names=["noise"] * len(masks),
    )


def squares() -> Tensor:
    masks = torch.zeros(2, 1, 32, 32)
    masks[:, :, 8:20, 8:20] = 1
    return masks


def small() -> DoubleUNet:
    torch.manual_seed(0)
    return DoubleUNet(width=8)


def test_parameters_are_as_many_as_in_the_official_code() -> None:
    with torch.device("meta"):
        model = DoubleUNet()
    assert sum(parameter.numel() for parameter in model.parameters()) == 29_288_886


def test_gives_the_official_code_s_logits(fill: Fill, fixed_images: Images) -> None:
    # Double precision, so that the small values among them hold on every machine.
    model = fill(DoubleUNet(), gain=1.15).double()
    images = fixed_images(64).double()
    with torch.no_grad():
        first, second = model.outputs(images)
        assert torch.equal(model(images), second)
    assert [float(first[0, 0][place]) for place in PLACES] == pytest.approx(FIRST, rel=1e-4)
    assert [float(second[0, 0][place]) for place in PLACES] == pytest.approx(SECOND, rel=1e-4)


def test_images_are_shifted_to_a_median_of_127() -> None:
    image = torch.tensor([10.0, 20.0, 40.0, 250.0] * 3).view(1, 3, 2, 2)
    shifted = centre_images(torch.cat([image, image.clamp(max=30)]))
    assert shifted[0, 0].flatten().tolist() == [107, 117, 137, 255]
    assert shifted[1, 0].flatten().tolist() == [112, 122, 132, 132]


def test_every_parameter_gets_a_gradient() -> None:
    model = small()
    (loss,) = model.losses(batch_of(squares()), Dice()).values()
    loss.backward()  # type: ignore[no-untyped-call]
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name


@torch.no_grad()
def test_loss_is_one_dice_of_both_outputs() -> None:
    model, batch = small().eval(), batch_of(squares())
    (loss,) = model.losses(batch, Dice()).values()
    probabilities = torch.cat(model.outputs(batch["images"]), dim=1).sigmoid()
    targets = batch["masks"].expand(-1, 2, -1, -1)
    dice = (2 * (probabilities * targets).sum() + 1) / (probabilities.sum() + targets.sum() + 1)
    assert float(loss) == pytest.approx(float(1 - dice))


@pytest.mark.parametrize("autocast", [False, True])
def test_background_alone_gives_finite_losses_even_for_one_image(autocast: bool) -> None:
    model = small()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        (loss,) = model.losses(batch_of(torch.zeros(1, 1, 32, 32)), Dice()).values()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)


@torch.no_grad()
def test_runs_on_oblong_images() -> None:
    assert small().eval()(torch.zeros(2, 3, 16, 48)).shape == (2, 1, 16, 48)


def test_refuses_a_size_that_its_poolings_do_not_divide() -> None:
    with pytest.raises(UserError, match="multiple of 16"):
        small()(torch.zeros(1, 3, 32, 40))


@torch.no_grad()
def test_imagenet_weights_make_its_encoder_torchvision_s(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    features = vgg.make_layers(vgg.cfgs["E"])
    state = {f"features.{name}": tensor for name, tensor in features.state_dict().items()}
    monkeypatch.setattr(DOWNLOAD, lambda *_args, **_kwargs: {**state, "classifier.0.bias": torch.zeros(1)})
    with torch.device("meta"):
        model = DoubleUNet()
    model.vgg = VGG19()
    assert model.load_imagenet() == "torchvision VGG19_Weights.IMAGENET1K_V1"
    images = torch.rand(1, 3, 32, 32)
    # Without its last layer, a pooling.
    torch.testing.assert_close(model.vgg(images)[-1], features[:-1](images))


@pytest.mark.parametrize("error", [URLError("no network"), RuntimeError("invalid hash value")])
def test_imagenet_weights_that_cannot_be_had_are_an_os_error(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_args: Any, **_kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(DOWNLOAD, failing)
    with torch.device("meta"):
        model = DoubleUNet()
    with pytest.raises(OSError, match=r"vgg19.*cannot be downloaded"):
        model.load_imagenet()


def test_a_narrower_encoder_has_no_imagenet_weights() -> None:
    assert small().load_imagenet() is None


@torch.no_grad()
def test_without_imagenet_weights_the_signal_does_not_fade() -> None:
    torch.manual_seed(0)
    maps = VGG19(width=16)(torch.rand(1, 3, 32, 32))
    assert all(0.01 < float(features.std()) < 5 for features in maps)
