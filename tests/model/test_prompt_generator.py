"""The UNet: its number of parameters, the image sizes that it takes, its skip connections and gradients."""

from typing import Any

import pytest
import torch
from torch import nn

from sac_lightning.core.errors import UserError
from sac_lightning.core.prompts import Generator
from sac_lightning.model.prompt_generator import SEPARATING, UNet, make_generator


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_has_the_parameters_of_table_6() -> None:
    assert count(UNet()) == 7_763_041


@pytest.mark.parametrize(("height", "width"), [(32, 32), (16, 48), (64, 32)])
def test_logits_have_the_size_of_the_image(height: int, width: int) -> None:
    logits = UNet(init_features=4)(torch.randn(2, 3, height, width))
    assert logits.shape == (2, 1, height, width)
    assert logits.isfinite().all()


def test_logits_are_not_squashed() -> None:
    net = UNet(init_features=4, depth=2)
    net.head.bias = nn.Parameter(torch.tensor([-50.0]))
    assert net(torch.randn(2, 3, 16, 16)).max() < -10, "the output is a probability, not a logit"


@pytest.mark.parametrize(("height", "width", "depth", "factor"), [(24, 32, 4, 16), (32, 40, 4, 16), (6, 8, 2, 4)])
def test_a_size_that_cannot_be_halved_is_refused(height: int, width: int, depth: int, factor: int) -> None:
    message = rf"{height}x{width} pixels.*prompts\.map_size.*view\.image_size.*multiple of {factor}$"
    with pytest.raises(UserError, match=message):
        UNet(init_features=2, depth=depth)(torch.zeros(1, 3, height, width))


def test_widths_double_at_each_level() -> None:
    net = UNet(init_features=3, depth=2)
    shapes = [tuple(m.weight.shape[:2]) for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert shapes == [
        *((3, 3), (3, 3), (6, 3), (6, 6)),  # down
        *((12, 6), (12, 12)),  # bottleneck
        *((6, 12), (6, 6), (3, 6), (3, 3)),  # up, beside the skip connection
        (1, 3),
    ]


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_depth_is_the_number_of_halvings(depth: int) -> None:
    net = UNet(init_features=2, depth=depth)
    sizes: list[int] = []
    net.bottleneck.register_forward_hook(lambda module, args, out: sizes.append(out.shape[-1]))
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 1, 32, 32)
    assert sizes == [32 // 2**depth]


def test_skip_connections_carry_single_pixels() -> None:
    torch.manual_seed(0)
    net = UNet(init_features=4, depth=2).eval()
    image = torch.zeros(1, 3, 32, 32)
    dot = image.clone()
    dot[..., 16, 16] = 10.0
    with torch.no_grad():
        change = (net(dot) - net(image)).abs()[0, 0]
    assert change[16, 16] > 1e-3, "the pixel itself is not affected"
    assert change[0, 0] < 1e-5, "a pixel far beyond the receptive field is affected"


def test_every_parameter_gets_a_gradient() -> None:
    net = UNet(init_features=2)
    net(torch.randn(2, 3, 32, 32)).square().mean().backward()
    without = [name for name, parameter in net.named_parameters() if parameter.grad is None]
    assert not without, f"these parameters get no gradient: {without}"


SEPARATING_SETTINGS = Generator(norm="group", widths=(8, 12, 16), stem=2, fine=4, separating=True)


@pytest.mark.parametrize("settings", [
    SEPARATING_SETTINGS,
    Generator(init_features=4, depth=2, separating=True),
    Generator(widths=(4, 6), stem=2),
    Generator(init_features=8, depth=2, norm="group"),
])  # fmt: skip
def test_every_form_gives_maps_of_the_size_of_the_image_and_learns(settings: Generator) -> None:
    torch.manual_seed(0)
    net = make_generator(settings)
    logits = net(torch.randn(2, 3, 32, 48))
    assert logits.shape == (2, SEPARATING if settings.separating else 1, 32, 48)
    logits.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in net.parameters())
    assert net.factor == settings.factor


def test_a_group_is_normalised_by_the_image_alone() -> None:
    torch.manual_seed(0)
    net, images = make_generator(SEPARATING_SETTINGS), torch.randn(3, 3, 32, 32)
    torch.testing.assert_close(net(images)[:1], net(images[:1]))


def test_the_fine_path_carries_single_pixels_past_the_stem() -> None:
    torch.manual_seed(0)
    net, images = make_generator(SEPARATING_SETTINGS), torch.zeros(1, 3, 32, 32)
    assert net.fine_path is not None
    nn.init.zeros_(net.fine_path.upsampling.weight)  # Nothing comes from the trunk.
    spot = images.clone()
    spot[..., 15, 15] = 4.0
    rows, columns = ((net(spot) - net(images))[0].abs().sum(0) > 1e-6).nonzero(as_tuple=True)
    assert 15 in rows
    assert set(rows.tolist()) | set(columns.tolist()) <= set(range(13, 18))


@pytest.mark.parametrize(("options", "message"), [
    ({"norm": "layer"}, "generator.norm is layer"),
    ({"stem": 4}, "generator.stem is 4"),
    ({"fine": 8}, "generator.fine is beside a stem"),
    ({"widths": (8,)}, "fewer than two levels"),
])  # fmt: skip
def test_settings_that_make_no_network_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Generator(**options)
