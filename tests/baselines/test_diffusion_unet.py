"""The diffusion U-Net: the official code's numbers, and the behaviour of its parts."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from sac_lightning.baselines.diffusion_unet import (
    DECODER_BLOCKS,
    DecoderFeatures,
    DiffusionUNet,
    SelfAttention,
    embed_steps,
)
from sac_lightning.core.errors import UserError

Fill = Callable[..., nn.Module]
Images = Callable[[int], Tensor]


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_it_has_the_official_number_of_parameters() -> None:
    with torch.device("meta"):
        whole, part = DiffusionUNet(), DecoderFeatures(192, decoder_blocks=13)
    assert count(whole) == 311_017_539
    assert count(whole) - count(part) == 7_795_971


def test_its_output_is_the_official_codes(fill: Fill, fixed_images: Images) -> None:
    unet = fill(DiffusionUNet(32))
    with torch.no_grad():
        restored = unet(fixed_images(64) / 127.5 - 1, torch.tensor([50]))
    places = {
        (0, 0, 0): -0.0786568,
        (1, 21, 12): 0.00652775,
        (2, 63, 63): 0.506207,
        (0, 32, 32): 1.338898,
        (1, 7, 55): 0.1199335,
        (2, 44, 3): 0.0462751,
    }
    found = {place: restored[0][place].item() for place in places}
    assert found == pytest.approx(places, rel=1e-4, abs=1e-5)


def test_it_begins_with_nothing_restored() -> None:
    restored = DiffusionUNet(8)(torch.randn(1, 3, 64, 64), torch.tensor([3]))
    assert torch.equal(restored, torch.zeros(1, 3, 64, 64))


def test_each_block_of_the_decoder_has_its_place() -> None:
    """Each level has three blocks, the last of which is at the resolution of the next level."""
    outputs = DecoderFeatures(8).decode(torch.zeros(1, 3, 64, 96), torch.tensor([0]))
    assert len(outputs) == DECODER_BLOCKS
    widths = [32] * 6 + [16] * 6 + [8] * 6
    strides = [32, 32, 16, 16, 16, 8, 8, 8, 4, 4, 4, 2, 2, 2, 1, 1, 1, 1]
    assert [tuple(maps.shape) for maps in outputs] == [
        (1, width, 64 // stride, 96 // stride) for width, stride in zip(widths, strides, strict=True)
    ]


def test_a_part_of_it_puts_out_what_the_whole_does(fill: Fill, fixed_images: Images) -> None:
    whole, part = fill(DiffusionUNet(8)), fill(DecoderFeatures(8, decoder_blocks=4))
    assert isinstance(whole, DiffusionUNet)
    assert isinstance(part, DecoderFeatures)
    images, steps = fixed_images(64) / 127.5 - 1, torch.tensor([700])
    with torch.no_grad():
        expected, found = whole.decode(images, steps)[:4], part.decode(images, steps)
    assert all(torch.equal(one, other) for one, other in zip(expected, found, strict=True))


def test_images_of_a_batch_have_steps_of_their_own(fill: Fill, fixed_images: Images) -> None:
    unet = fill(DiffusionUNet(8))
    images = (fixed_images(64) / 127.5 - 1).repeat(2, 1, 1, 1)
    with torch.no_grad():
        both = unet(images, torch.tensor([10, 900]))
        alone = [unet(images[:1], torch.tensor([step]))[0] for step in (10, 900)]
    assert not torch.allclose(both[0], both[1], rtol=0.01)
    torch.testing.assert_close(both, torch.stack(alone), rtol=1e-3, atol=1e-3)


def test_every_parameter_matters(fill: Fill, fixed_images: Images) -> None:
    unet = fill(DiffusionUNet(8))
    unet(fixed_images(64) / 127.5 - 1, torch.tensor([50])).square().sum().backward()
    without = [n for n, p in unet.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_sinusoids_by_hand() -> None:
    found = embed_steps(torch.tensor([0, 50]), 4)
    slow = 50 / 100  # Of two frequencies, the second is 10,000 ** -(1/2).
    expected = [[1, 1, 0, 0], [math.cos(50), math.cos(slow), math.sin(50), math.sin(slow)]]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_attention_by_hand(fill: Fill) -> None:
    """Two heads of 64 channels, each with the softmax of scaled products over all positions."""
    attention = fill(SelfAttention(128))
    assert isinstance(attention, SelfAttention)
    features = torch.randn(1, 128, 2, 3, generator=torch.Generator().manual_seed(0))
    queries, keys, values = attention.queries_keys_values(attention.norm(features)).flatten(2)[0].chunk(3)
    heads = []
    for own in (slice(64), slice(64, 128)):
        weights = (queries[own].T @ keys[own] / 8).softmax(dim=1)  # (query, key)
        heads.append(values[own] @ weights.T)
    expected = features + attention.out(torch.cat(heads).view(1, 128, 2, 3))
    torch.testing.assert_close(attention(features), expected)


@pytest.mark.parametrize("width", [0, 4, 48, 112])
def test_a_width_that_the_heads_do_not_fit_is_refused(width: int) -> None:
    with pytest.raises(UserError, match=f"{width} channels wide: choose 8, 16 or a multiple of 32"):
        DiffusionUNet(width)
