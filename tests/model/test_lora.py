"""LoRA on q and v, or others: its initial state, what it changes, what it adds, and how much it trains."""

import math
from collections.abc import Sequence
from itertools import combinations

import pytest
import torch
from torch import Tensor, nn

from sac_lightning.core.errors import UserError
from sac_lightning.model.image_encoder import Backbone, ImageEncoder
from sac_lightning.model.lora import LoRA, add_lora, lora_layers

TINY = Backbone("tiny", dim=32, depth=3, heads=2, global_blocks=(1,), patch=8, window=3, native_size=64)
VIT_H = Backbone("vit_h", dim=1280, depth=32, heads=16, global_blocks=(7, 15, 23, 31))
CHOICES = [choice for size in (1, 2, 3, 4) for choice in combinations("qkvo", size)]
every_choice = pytest.mark.parametrize("projections", CHOICES, ids="".join)


def images(batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def randomise_b(module: nn.Module) -> None:
    for layer in lora_layers(module):
        for name, parameter in layer.named_parameters():
            if name.endswith("_b"):
                nn.init.normal_(parameter, std=0.3)


def adapted_encoder(
    blocks: Sequence[int] | None = None, dropout: float = 0.0, projections: Sequence[str] = ("q", "v")
) -> ImageEncoder:
    torch.manual_seed(0)
    encoder = ImageEncoder(TINY)
    add_lora(encoder, rank=4, dropout=dropout, blocks=blocks, projections=projections)
    return encoder


def parts(attention: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """What each projection of an attention gives for x, whatever wraps it."""
    q, k, v = attention.qkv(x).chunk(3, dim=-1)
    return {"q": q, "k": k, "v": v, "o": attention.proj(x)}


@every_choice
def test_training_starts_from_sam_itself(projections: Sequence[str]) -> None:
    torch.manual_seed(0)
    encoder = ImageEncoder(TINY).eval()
    with torch.no_grad():
        base = encoder(images())
        add_lora(encoder, rank=4, projections=projections)
        assert torch.equal(encoder(images()), base), "LoRA changes the output before any training"
        randomise_b(encoder)
        assert not torch.allclose(encoder(images()), base, atol=1e-3), "LoRA changes nothing once B is not 0"


@every_choice
def test_touches_the_chosen_projections_and_no_others(projections: Sequence[str]) -> None:
    torch.manual_seed(0)
    encoder = ImageEncoder(TINY)
    x = torch.randn(5, 7, 32)
    with torch.no_grad():
        before = [parts(block.attn, x) for block in encoder.blocks]
        add_lora(encoder, rank=4, projections=projections)
        randomise_b(encoder)
        after = [parts(block.attn, x) for block in encoder.blocks]
    for one, other in zip(before, after, strict=True):
        for name in "qkvo":
            if name in projections:
                assert not torch.allclose(one[name], other[name], atol=1e-3), f"{name} is not changed"
            else:
                assert torch.equal(one[name], other[name]), f"{name} is changed"


@every_choice
def test_adds_parameters_for_the_chosen_projections_and_no_others(projections: Sequence[str]) -> None:
    layers = {"q": "qkv", "k": "qkv", "v": "qkv", "o": "proj"}
    expected = {
        f"blocks.{block}.attn.{layers[name]}.{name}_{factor}"
        for block in range(3)
        for name in projections
        for factor in "ab"
    }
    plain = {name for name, _ in ImageEncoder(TINY).named_parameters()}
    own = {name for name, _ in adapted_encoder(projections=projections).named_parameters()}
    assert {name.replace(".base.", ".") for name in own} - plain == expected
    assert len(own) == len(plain) + len(expected), "a parameter of SAM is lost"


def initial(seed: int, projections: Sequence[str] = ("q", "v")) -> dict[str, Tensor]:
    encoder = ImageEncoder(TINY)
    torch.manual_seed(seed)
    add_lora(encoder, rank=4, projections=projections)
    return encoder.state_dict()


def test_the_initial_weights_are_drawn_block_by_block_q_before_v() -> None:
    state = initial(7)
    torch.manual_seed(7)
    for block in range(3):
        for name in ("q", "v"):
            # Kaiming's bound with a slope of sqrt(5), Hu et al.'s choice: sqrt(6 / (1 + 5) / dim).
            drawn = (torch.rand(4, 32) * 2 - 1) / math.sqrt(32)
            found = state[f"blocks.{block}.attn.qkv.{name}_a"]
            torch.testing.assert_close(found, drawn, atol=1e-7, rtol=0)
            assert not state[f"blocks.{block}.attn.qkv.{name}_b"].any(), "B does not start at zero"


@pytest.mark.parametrize("same", [("v", "q"), ["q", "v", "q"], "qv"])
def test_the_order_in_which_projections_are_named_does_not_matter(same: Sequence[str]) -> None:
    expected, found = initial(7), initial(7, same)
    assert list(found) == list(expected)
    for layer in (name for name in expected if name.endswith(("q_a", "v_a"))):
        assert torch.equal(found[layer], expected[layer]), f"{layer} starts elsewhere"


@pytest.mark.parametrize("choice", [["x"], ["q", "w"], ["qkv"], [None]])
def test_an_unknown_projection_is_refused(choice: list[str]) -> None:
    with pytest.raises(UserError, match=rf"model\.projections names {choice[-1]!r}: choose .*q, k, v and o$"):
        adapted_encoder(projections=choice)


def test_no_projection_at_all_is_refused() -> None:
    with pytest.raises(UserError, match=r"model\.projections names no projection: choose .*q, k, v and o$"):
        adapted_encoder(projections=[])


def test_adds_to_q_and_v_and_leaves_k() -> None:
    torch.manual_seed(0)
    base = nn.Linear(6, 18)
    layer = LoRA(base, rank=2)
    randomise_b(layer)
    x = torch.randn(5, 7, 6)
    with torch.no_grad():
        before, after = base(x), layer(x)
    assert torch.equal(after[..., 6:12], before[..., 6:12]), "k is changed"
    assert not torch.allclose(after[..., :6], before[..., :6]), "q is not changed"
    assert not torch.allclose(after[..., 12:], before[..., 12:]), "v is not changed"


@pytest.mark.parametrize(("alpha", "scale"), [(None, 1.0), (2.0, 1.0), (4.0, 2.0), (1.0, 0.5)])
def test_arithmetic_of_the_update(alpha: float | None, scale: float) -> None:
    layer = LoRA(nn.Linear(2, 6), rank=2, alpha=alpha)
    with torch.no_grad():
        layer.base.weight.zero_()
        layer.base.bias.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
        layer.q_a.copy_(torch.tensor([[1.0, 1.0], [0.0, 2.0]]))
        layer.q_b.copy_(torch.tensor([[1.0, 0.0], [1.0, -1.0]]))
        layer.v_a.copy_(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
        layer.v_b.copy_(torch.tensor([[10.0, 0.0], [0.0, 100.0]]))
        # x = (3, 5): A_q x = (8, 10), B_q A_q x = (8, -2); A_v x = (5, 3), B_v A_v x = (50, 300).
        out = layer(torch.tensor([[3.0, 5.0]]))
    expected = [1 + 8 * scale, 2 - 2 * scale, 3, 4, 5 + 50 * scale, 6 + 300 * scale]
    assert out[0].tolist() == pytest.approx(expected)


def test_arithmetic_of_the_update_of_a_layer_that_is_one_slice() -> None:
    layer = LoRA(nn.Linear(2, 2), rank=1, alpha=3.0, slices=["o"], adapted=["o"])
    with torch.no_grad():
        layer.base.weight.zero_()
        layer.base.bias.copy_(torch.tensor([1.0, 2.0]))
        layer.o_a.copy_(torch.tensor([[1.0, 2.0]]))
        layer.o_b.copy_(torch.tensor([[10.0], [-1.0]]))
        # x = (3, 5): A x = 13, B A x = (130, -13), three times that.
        assert layer(torch.tensor([[3.0, 5.0]])).tolist() == [[391.0, -37.0]]
        layer.merge()
        assert layer.base.weight.tolist() == [[30.0, 60.0], [-3.0, -6.0]]


@every_choice
def test_merged_equals_unmerged_and_unmerging_restores(projections: Sequence[str]) -> None:
    encoder = adapted_encoder(projections=projections).eval()
    randomise_b(encoder)
    weights = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    with torch.no_grad():
        unmerged = encoder(images())
        for layer in lora_layers(encoder):
            layer.merge()
            layer.merge()  # A second call adds nothing.
        merged = encoder(images())
        changed = any(not torch.equal(encoder.state_dict()[name], tensor) for name, tensor in weights.items())
        for layer in lora_layers(encoder):
            layer.unmerge()
            layer.unmerge()
        restored = encoder(images())
    assert changed, "merging leaves the base weights as they were"
    torch.testing.assert_close(merged, unmerged, atol=1e-5, rtol=0)
    torch.testing.assert_close(restored, unmerged, atol=1e-5, rtol=0)
    for name, tensor in encoder.state_dict().items():
        torch.testing.assert_close(tensor, weights[name], atol=1e-6, rtol=0, msg=f"{name} is not restored")


def test_merging_keeps_k_and_the_scale() -> None:
    layer = LoRA(nn.Linear(4, 12), rank=2, alpha=6.0)
    randomise_b(layer)
    x = torch.randn(3, 4)
    k = layer.base.weight[4:8].clone()
    with torch.no_grad():
        before = layer(x)
        layer.merge()
        torch.testing.assert_close(layer(x), before)
    assert torch.equal(layer.base.weight[4:8], k), "merging changes k"


def test_dropout_acts_in_training_only() -> None:
    encoder = adapted_encoder(dropout=0.5)
    randomise_b(encoder)
    with torch.no_grad():
        encoder.train()
        assert not torch.equal(encoder(images()), encoder(images())), "no dropout in training"
        encoder.eval()
        assert torch.equal(encoder(images()), encoder(images())), "dropout in evaluation"


def test_dropout_does_not_touch_the_base() -> None:
    layer = LoRA(nn.Linear(4, 12), rank=2, dropout=0.5).train()  # B is 0: the base alone is left.
    x = torch.randn(3, 4)
    assert torch.equal(layer(x), layer.base(x))


def adapted_blocks(encoder: ImageEncoder) -> list[int]:
    return [i for i, block in enumerate(encoder.blocks) if list(lora_layers(block))]


def test_blocks_choose_what_is_adapted() -> None:
    assert adapted_blocks(adapted_encoder()) == [0, 1, 2]
    assert adapted_blocks(adapted_encoder(blocks=[2])) == [2]
    assert adapted_blocks(adapted_encoder(blocks=[])) == []


def test_a_block_named_twice_is_adapted_once() -> None:
    encoder = adapted_encoder(blocks=[1, 1])
    assert len(list(lora_layers(encoder))) == 1


def test_o_is_adapted_in_the_chosen_blocks_only() -> None:
    encoder = adapted_encoder(blocks=[1], projections=["o"])
    assert adapted_blocks(encoder) == [1]
    assert isinstance(encoder.blocks[1].attn.proj, LoRA)
    assert isinstance(encoder.blocks[1].attn.qkv, nn.Linear)


@pytest.mark.parametrize("block", [3, -1])
def test_a_block_that_is_not_there_is_refused(block: int) -> None:
    with pytest.raises(UserError, match=rf"model\.blocks names block {block}.*blocks 0 to 2"):
        adapted_encoder(blocks=[0, block])


@pytest.mark.parametrize("rank", [0, -2])
def test_a_rank_below_one_is_refused(rank: int) -> None:
    with pytest.raises(UserError, match=rf"model\.rank is {rank}: choose"):
        LoRA(nn.Linear(4, 12), rank)


def test_gradients_reach_a_and_b_of_every_projection() -> None:
    encoder = adapted_encoder(projections="qkvo")
    randomise_b(encoder)
    encoder(images()).square().mean().backward()
    for block in encoder.blocks:
        found = {**dict(block.attn.qkv.named_parameters()), **dict(block.attn.proj.named_parameters())}
        for name in ("q_a", "q_b", "k_a", "k_b", "v_a", "v_b", "o_a", "o_b"):
            gradient = found[name].grad
            assert gradient is not None, f"no gradient for {name}"
            assert gradient.abs().max() > 0, f"zero gradient for {name}"


def test_vit_h_trains_the_number_of_table_6() -> None:
    with torch.device("meta"):
        encoder = ImageEncoder(VIT_H)
        base = sum(p.numel() for p in encoder.parameters())
        add_lora(encoder, rank=320)
    assert sum(p.numel() for p in encoder.parameters()) - base == 52_428_800
