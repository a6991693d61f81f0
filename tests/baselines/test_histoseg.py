"""HistoSeg against its own Keras code: its parameter count, its output, its loss."""

from collections.abc import Callable

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

from sac_lightning.baselines.histoseg import CrossEntropyPixelDice, HistoSeg
from sac_lightning.core.errors import UserError

# What the authors' model gave for the same weights and image under TensorFlow 2.15: probabilities at these places.
PLACES = ((0, 0), (0, 63), (63, 0), (63, 63), (5, 40), (31, 31), (32, 17), (50, 9))
OFFICIAL = [0.8915756, 0.9297093, 0.8565373, 0.7806025, 0.9667219, 0.9550751, 0.9715251, 0.9732130]


@pytest.fixture
def small() -> HistoSeg:
    """Build a narrow HistoSeg."""
    torch.manual_seed(0)
    return HistoSeg(width=0.35, head_width=16)


def test_the_official_size_has_as_many_numbers_as_the_keras_model() -> None:
    with torch.device("meta"):
        network = HistoSeg()
    assert sum(parameter.numel() for parameter in network.parameters()) == 2_116_897
    numbers = [tensor.numel() for tensor in network.state_dict().values() if tensor.is_floating_point()]
    assert sum(numbers) == 2_149_985


def test_output_equals_that_of_the_official_code(
    fill: Callable[..., nn.Module], fixed_images: Callable[[int], Tensor]
) -> None:
    with torch.no_grad():
        probability = fill(HistoSeg(), 0.85)(fixed_images(64)).sigmoid()[0, 0]
    assert [probability[place].item() for place in PLACES] == pytest.approx(OFFICIAL, rel=1e-4)


def test_the_backbone_dilates_as_the_official_one() -> None:
    with torch.device("meta"):
        network = HistoSeg()
    depthwise = [
        module for module in network.backbone.modules() if isinstance(module, nn.Conv2d) and module.groups > 1
    ]
    assert [module.dilation[0] for module in depthwise] == [1] * 7 + [2] * 7 + [4] * 3
    assert [module.stride[0] for module in depthwise] == [1, 2, 1, 2] + [1] * 13


def test_other_sizes_than_multiples_of_eight_are_refused(small: HistoSeg) -> None:
    with pytest.raises(UserError, match="multiple of 8"):
        small(torch.zeros(1, 3, 32, 36))


def test_logits_have_the_size_of_the_image_under_bfloat16_too(small: HistoSeg) -> None:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert small.eval()(torch.zeros(1, 3, 24, 40)).shape == (1, 1, 24, 40)


def test_every_parameter_learns_from_images_of_background(small: HistoSeg) -> None:
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 255
    losses = small.losses({"images": images, "masks": torch.zeros(2, 1, 32, 32)}, CrossEntropyPixelDice())
    assert losses["mask"].isfinite()
    losses["mask"].backward()
    assert [name for name, parameter in small.named_parameters() if parameter.grad is None] == []


def test_imagenet_weights_fill_the_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    downloaded = timm.create_model("mobilenetv2_100", pretrained=False).state_dict()
    network = HistoSeg()
    monkeypatch.setattr(
        "sac_lightning.baselines.histoseg.download_state", {"timm/mobilenetv2_100.ra_in1k": downloaded}.get
    )
    assert network.load_imagenet() == "timm/mobilenetv2_100.ra_in1k"
    assert torch.equal(network.backbone.conv_stem.weight, downloaded["conv_stem.weight"])
    assert torch.equal(network.backbone.blocks[6][0].conv_pwl.weight, downloaded["blocks.6.0.conv_pwl.weight"])


def test_a_width_without_imagenet_weights_has_none(small: HistoSeg) -> None:
    assert small.load_imagenet() is None


def test_a_batch_of_one_image_trains(small: HistoSeg) -> None:
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 255
    assert small.training
    before = small.context.norm.running_mean.clone()
    small.losses({"images": images, "masks": torch.ones(1, 1, 32, 32)}, CrossEntropyPixelDice())["mask"].backward()
    assert all(parameter.grad is not None for parameter in small.parameters())
    assert torch.equal(small.context.norm.running_mean, before)


def test_loss_by_hand() -> None:
    logits = torch.tensor([0.0, np.log(3)]).view(1, 1, 1, 2)
    target = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)
    # Probabilities 1/2 and 3/4: cross-entropies log 2 and log 4; Dice 2 / 2.25 and 1 / (9/16 + 1).
    expected = (np.log(2) + np.log(4)) / 2 + 1 - (2 / 2.25 + 1 / (9 / 16 + 1)) / 2
    assert CrossEntropyPixelDice()(logits, target).item() == pytest.approx(expected)
