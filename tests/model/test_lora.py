"""LoRA on q and v: where it starts, what it touches, what it adds, and how much it trains."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from sac_lightning.errors import UserError
from sac_lightning.model.image_encoder import Backbone, ImageEncoder
from sac_lightning.model.lora import LoRA, add_lora, lora_layers

TINY = Backbone("tiny", dim=32, depth=3, heads=2, global_blocks=(1,), patch=8, window=3, native_size=64)
VIT_H = Backbone("vit_h", dim=1280, depth=32, heads=16, global_blocks=(7, 15, 23, 31))


def images(batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def randomise_b(module: nn.Module) -> None:
    for layer in lora_layers(module):
        nn.init.normal_(layer.q_b, std=0.3)
        nn.init.normal_(layer.v_b, std=0.3)


def adapted_encoder(blocks: Sequence[int] | None = None, dropout: float = 0.0) -> ImageEncoder:
    torch.manual_seed(0)
    encoder = ImageEncoder(TINY)
    add_lora(encoder, rank=4, dropout=dropout, blocks=blocks)
    return encoder


def test_training_starts_from_sam_itself() -> None:
    torch.manual_seed(0)
    encoder = ImageEncoder(TINY).eval()
    with torch.no_grad():
        base = encoder(images())
        add_lora(encoder, rank=4)
        assert torch.equal(encoder(images()), base), "LoRA changes the output before any training"
        randomise_b(encoder)
        assert not torch.allclose(encoder(images()), base, atol=1e-3), "LoRA changes nothing once B is not 0"


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


def test_merged_equals_unmerged_and_unmerging_restores() -> None:
    encoder = adapted_encoder().eval()
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


@pytest.mark.parametrize("block", [3, -1])
def test_a_block_that_is_not_there_is_refused(block: int) -> None:
    with pytest.raises(UserError, match=rf"model\.blocks names block {block}.*blocks 0 to 2"):
        adapted_encoder(blocks=[0, block])


@pytest.mark.parametrize("rank", [0, -2])
def test_a_rank_below_one_is_refused(rank: int) -> None:
    with pytest.raises(UserError, match=rf"model\.rank is {rank}: choose"):
        LoRA(nn.Linear(4, 12), rank)


def test_gradients_reach_a_and_b_of_q_and_v() -> None:
    encoder = adapted_encoder()
    randomise_b(encoder)
    encoder(images()).square().mean().backward()
    for layer in lora_layers(encoder):
        for name in ("q_a", "q_b", "v_a", "v_b"):
            gradient = layer.get_parameter(name).grad
            assert gradient is not None, f"no gradient for {name}"
            assert gradient.abs().max() > 0, f"zero gradient for {name}"


def test_vit_h_trains_the_number_of_table_6() -> None:
    with torch.device("meta"):
        encoder = ImageEncoder(VIT_H)
        base = sum(p.numel() for p in encoder.parameters())
        add_lora(encoder, rank=320)
    assert sum(p.numel() for p in encoder.parameters()) - base == 52_428_800
