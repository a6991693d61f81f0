"""Axial attention against its equation written as loops; BatchNorm of patches against one patch at a time."""

import copy
from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from sac_lightning.baselines.axial_attention import AxialAttention, GatedAxialAttention, PatchBatchNorm

CHANNELS, GROUPS, LENGTH = 8, 2, 3


def normalised_value(norm: nn.BatchNorm2d, value: Tensor, channel: int) -> Tensor:
    """Return one number after BatchNorm outside training."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight[channel] / (norm.running_var[channel] + norm.eps).sqrt()
    return (value - norm.running_mean[channel]) * scale + norm.bias[channel]


def attention_of_a_row(layer: GatedAxialAttention, row: Tensor) -> Tensor:
    """Attend to a row (C, L) by the paper's equation: for each head and place i, a softmax over places j."""
    size = CHANNELS // GROUPS
    half = size // 2
    g_q, g_k, g_v1, g_v2 = layer.gates
    projected = layer.projection_norm(layer.projection(row[None, :, None]))[0, :, 0].view(GROUPS, 2 * size, LENGTH)
    output = torch.zeros(CHANNELS, LENGTH)
    for group, i in product(range(GROUPS), range(LENGTH)):
        queries, keys, values = projected[group].split([half, half, size])

        def distance(i: int, j: int) -> Tensor:
            return layer.distances[:, i - j + LENGTH - 1]

        similarities = torch.stack(
            [
                normalised_value(layer.content_norm, queries[:, i] @ keys[:, j], group)
                + normalised_value(layer.query_norm, g_q * queries[:, i] @ distance(i, j)[:half], group)
                + normalised_value(layer.key_norm, g_k * keys[:, j] @ distance(j, i)[half:size], group)
                for j in range(LENGTH)
            ]
        )
        weights = similarities.softmax(0)
        content = sum(weights[j] * g_v1 * values[:, j] for j in range(LENGTH))
        positions = sum(weights[j] * g_v2 * distance(i, j)[size:] for j in range(LENGTH))
        for c in range(size):
            channel = group * size + c
            output[channel, i] = normalised_value(layer.value_norm, content[c], channel) + normalised_value(
                layer.position_norm, positions[c], channel
            )
    return output


@torch.no_grad()
def test_gated_attention_is_the_papers_equation(fill: Callable[..., nn.Module]) -> None:
    layer = fill(GatedAxialAttention(CHANNELS, GROUPS, LENGTH))
    assert isinstance(layer, GatedAxialAttention)
    layer.gates.copy_(torch.tensor([0.7, -0.6, 1.2, 0.9]))
    rows = torch.randn(1, CHANNELS, 2, LENGTH, generator=torch.Generator().manual_seed(0))
    expected = torch.stack([attention_of_a_row(layer, rows[0, :, r]) for r in range(2)], dim=1)
    torch.testing.assert_close(layer(rows)[0], expected)


def test_attention_without_positions_does_not_know_the_order(fill: Callable[..., nn.Module]) -> None:
    rows = torch.randn(2, CHANNELS, 3, 5, generator=torch.Generator().manual_seed(0))
    order = torch.tensor([3, 0, 4, 1, 2])
    plain = fill(AxialAttention(CHANNELS, GROUPS))
    torch.testing.assert_close(plain(rows[..., order]), plain(rows)[..., order])
    gated = fill(GatedAxialAttention(CHANNELS, GROUPS, 5))
    assert (gated(rows[..., order]) - gated(rows)[..., order]).abs().max() > 1e-2


@pytest.mark.parametrize("images", [1, 3])
def test_batch_norm_of_patches_is_that_of_one_place_after_the_other(images: int) -> None:
    patches, features = 4, 5
    together = PatchBatchNorm(features, patches)
    nn.init.uniform_(together.weight)
    nn.init.normal_(together.bias)
    in_turn = nn.BatchNorm2d(features)
    in_turn.load_state_dict(copy.deepcopy(together.state_dict()))
    maps = torch.randn(images, patches, features, 2, 3, generator=torch.Generator().manual_seed(0)) * 3 + 1
    for _ in range(2):
        ours = together(maps.flatten(0, 1)).unflatten(0, (images, patches))
        expected = torch.stack([in_turn(maps[:, place]) for place in range(patches)], dim=1)
        torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(together.running_mean, in_turn.running_mean)
    torch.testing.assert_close(together.running_var, in_turn.running_var)
    together.eval()
    in_turn.eval()
    torch.testing.assert_close(together(maps.flatten(0, 1)), in_turn(maps.flatten(0, 1)))


def test_batch_norm_of_patches_gives_the_gradients_of_one_place_after_the_other() -> None:
    together, in_turn = PatchBatchNorm(3, 4), nn.BatchNorm2d(3)
    maps = torch.randn(2, 4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    together(maps.flatten(0, 1)).square().mul(maps.flatten(0, 1)).mean().backward()
    torch.stack([in_turn(maps[:, place]) for place in range(4)], dim=1).square().mul(maps).mean().backward()
    torch.testing.assert_close(together.weight.grad, in_turn.weight.grad)
    torch.testing.assert_close(together.bias.grad, in_turn.bias.grad)
