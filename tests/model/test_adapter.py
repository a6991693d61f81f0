"""MSA's adapters: their two positions, their initial state, and their number of trained parameters."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sac_lightning.model.adapter import AdaptedBlock, Adapter, add_adapters
from sac_lightning.model.image_encoder import Backbone, Block, ImageEncoder

TINY = Backbone("tiny", dim=32, depth=3, heads=2, global_blocks=(1,), patch=8, window=3, native_size=64)
VIT_H = Backbone("vit_h", dim=1280, depth=32, heads=16, global_blocks=(7, 15, 23, 31))


def images() -> Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def test_zeroed_adapters_leave_sam_as_it_is() -> None:
    torch.manual_seed(0)
    encoder = ImageEncoder(TINY).eval()
    with torch.no_grad():
        base = encoder(images())
        add_adapters(encoder)
        assert not torch.allclose(encoder(images()), base, atol=1e-3), "the adapters are not in the path"
        for module in encoder.modules():
            if isinstance(module, Adapter):
                nn.init.zeros_(module.up.weight)
                nn.init.zeros_(module.up.bias)
        torch.testing.assert_close(encoder(images()), base, atol=1e-6, rtol=0)


@pytest.mark.parametrize("skip", [True, False])
def test_arithmetic_of_one_adapter(skip: bool) -> None:
    adapter = Adapter(4, skip)
    with torch.no_grad():
        adapter.down.weight.fill_(0.5)
        adapter.down.bias.fill_(1.0)
        adapter.up.weight.copy_(torch.tensor([[1.0], [2.0], [0.0], [-1.0]]))
        adapter.up.bias.copy_(torch.tensor([0.0, 0.0, 7.0, 0.0]))
        tokens = torch.tensor([[1.0, 2.0, 3.0, -4.0]])
        out = adapter(tokens)
    hidden = F.gelu(torch.tensor(0.5 * (1 + 2 + 3 - 4) + 1)).item()  # GELU(2)
    assert hidden == pytest.approx(1.9545, abs=1e-4)
    expected = torch.tensor([[hidden, 2 * hidden, 7.0, -hidden]])
    torch.testing.assert_close(out, tokens + expected if skip else expected)


def constant(adapter: Adapter, value: float) -> None:
    """Makes an adapter's bottleneck give the same value whatever it gets."""
    nn.init.zeros_(adapter.up.weight)
    nn.init.constant_(adapter.up.bias, value)


def test_one_sits_after_attention_and_one_beside_the_mlp() -> None:
    torch.manual_seed(0)
    block = Block(8, heads=2, window=0, grid=4)
    adapted = AdaptedBlock(block, 8)
    constant(adapted.attention_adapter, 3.0)
    constant(adapted.mlp_adapter, 10.0)
    tokens = torch.randn(1, 4, 4, 8)
    with torch.no_grad():
        after_attention = tokens + block.attend(block.norm1(tokens)) + 3.0
        expected = after_attention + block.mlp(block.norm2(after_attention)) + 0.5 * 10.0
        torch.testing.assert_close(adapted(tokens), expected)


def test_the_adapters_see_attention_and_the_normed_tokens() -> None:
    torch.manual_seed(0)
    block = Block(8, heads=2, window=2, grid=4)
    adapted = AdaptedBlock(block, 8)
    seen: dict[str, Tensor] = {}
    adapted.attention_adapter.register_forward_hook(lambda m, args, out: seen.update(attention=args[0], out=out))
    adapted.mlp_adapter.register_forward_hook(lambda m, args, out: seen.update(mlp=args[0]))
    tokens = torch.randn(1, 4, 4, 8)
    with torch.no_grad():
        adapted(tokens)
        torch.testing.assert_close(seen["attention"], block.attend(block.norm1(tokens)))
        torch.testing.assert_close(seen["mlp"], block.norm2(tokens + seen["out"]))


def test_vit_h_trains_the_number_of_table_6() -> None:
    with torch.device("meta"):
        encoder = ImageEncoder(VIT_H)
        base = sum(p.numel() for p in encoder.parameters())
        add_adapters(encoder)
    assert sum(p.numel() for p in encoder.parameters()) - base == 52_531_200
    adapters = [module for module in encoder.modules() if isinstance(module, Adapter)]
    assert len(adapters) == 64, "two adapters per block"
    assert sum(p.numel() for adapter in adapters for p in adapter.parameters()) == 52_531_200
