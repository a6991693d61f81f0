"""The image encoder, compared with segment-anything's, with positions that are not zero."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sac_lightning.benchmarking.official import build_official_encoder as official_encoder_of
from sac_lightning.core.errors import UserError
from sac_lightning.model import image_encoder
from sac_lightning.model.image_encoder import Backbone, ImageEncoder

# Grid 8, windows of 3 (which do not divide it), window and global blocks in turn.
TINY = Backbone("tiny", dim=32, depth=4, heads=2, global_blocks=(1, 3), patch=8, window=3, native_size=64)
VIT_B = Backbone("vit_b", dim=768, depth=12, heads=12, global_blocks=(2, 5, 8, 11))


def random_encoder(backbone: Backbone, seed: int = 0) -> ImageEncoder:
    """An encoder whose relative and absolute positions matter: they start at zero, which would hide them."""
    torch.manual_seed(seed)
    encoder = ImageEncoder(backbone)
    for name, parameter in encoder.named_parameters():
        if "pos" in name:
            nn.init.normal_(parameter, std=0.2)
    return encoder.eval()


def build_official_encoder(backbone: Backbone, state: dict[str, Tensor]) -> nn.Module:
    official = official_encoder_of(backbone)
    official.load_state_dict(state, strict=True)
    return official.eval()


@torch.no_grad()
def largest_difference(backbone: Backbone, height: int, width: int) -> float:
    """Largest difference of the two encoders on a random image."""
    encoder = random_encoder(backbone)
    official = build_official_encoder(backbone, encoder.state_dict())
    # The official encoder adds its absolute positions only at the native size.
    grid = F.interpolate(
        encoder.pos_embed.permute(0, 3, 1, 2),
        (height // backbone.patch, width // backbone.patch),
        mode="bicubic",
    )
    if (height, width) != (backbone.native_size, backbone.native_size):
        official.pos_embed = nn.Parameter(grid.permute(0, 2, 3, 1))
    images = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(1))
    ours, theirs = encoder(images), official(images)
    assert ours.shape == theirs.shape == (1, 256, height // backbone.patch, width // backbone.patch)
    assert theirs.std() > 0.5, "an output that is nearly constant compares nothing"
    return float((ours - theirs).abs().max())


@pytest.mark.parametrize(
    ("height", "width"),
    [(64, 64), (128, 128), (32, 32), (8, 8), (64, 96), (136, 40)],
    ids=lambda side: str(side),
)
def test_equals_segment_anything_at_any_size(height: int, width: int) -> None:
    assert largest_difference(TINY, height, width) <= 1e-5


@pytest.mark.parametrize("global_blocks", [(), (0, 1, 2, 3)], ids=["windows only", "global only"])
@pytest.mark.parametrize("size", [64, 96, 40])
def test_equals_segment_anything_with_one_kind_of_attention(global_blocks: tuple[int, ...], size: int) -> None:
    assert largest_difference(replace(TINY, global_blocks=global_blocks), size, size) <= 1e-5


@pytest.mark.slow
def test_vit_b_equals_segment_anything_at_1024_pixels() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert largest_difference(VIT_B, 1024, 1024) <= 1e-4
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    "name", ["pos_embed", *(f"blocks.{i}.attn.rel_pos_{axis}" for i in range(4) for axis in "hw")]
)
def test_the_comparison_would_notice_wrong_positions(name: str) -> None:
    encoder = random_encoder(TINY)
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        before = encoder(images)
        positions = encoder.get_parameter(name)
        positions.copy_(positions.flip(0) if name != "pos_embed" else positions.flip(1))
        change = (encoder(images) - before).abs().max().item()
    assert change > 1e-3, f"{name} is not used: turning it round changes the output by {change} only"


def test_state_dict_has_the_official_names_and_shapes() -> None:
    ours = {name: tensor.shape for name, tensor in ImageEncoder(TINY).state_dict().items()}
    official = build_official_encoder(TINY, ImageEncoder(TINY).state_dict()).state_dict()
    assert ours == {name: tensor.shape for name, tensor in official.items()}


def test_images_of_a_batch_do_not_mix() -> None:
    encoder = random_encoder(TINY)
    images = torch.randn(3, 3, 40, 64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        together = encoder(images)
        alone = torch.cat([encoder(image[None]) for image in images])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(60, 64), (64, 60)])
def test_a_size_that_the_patch_does_not_divide_is_refused(height: int, width: int) -> None:
    with pytest.raises(UserError, match=rf"{height}x{width} pixels.*view\.image_size.*multiple of its patch, 8"):
        ImageEncoder(TINY)(torch.zeros(1, 3, height, width))


def test_gradients_reach_the_positions() -> None:
    encoder = random_encoder(TINY).train()
    encoder(torch.randn(1, 3, 64, 64)).square().mean().backward()
    without = [name for name, parameter in encoder.named_parameters() if parameter.grad is None]
    assert not without, f"these parameters get no gradient: {without}"


def test_checkpointing_changes_no_gradient_and_runs_the_blocks_again() -> None:
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    gradients, runs = [], []
    for checkpointing in (False, True):
        encoder = random_encoder(TINY).train()
        encoder.checkpointing = checkpointing
        calls: list[int] = []
        encoder.blocks[1].register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
        encoder(images).square().mean().backward()
        gradients.append([parameter.grad for parameter in encoder.parameters()])
        runs.append(len(calls))
    assert runs == [1, 2]
    for plain, checkpointed in zip(*gradients, strict=True):
        assert plain is not None
        assert checkpointed is not None
        assert torch.equal(plain, checkpointed)


def test_checkpointing_does_nothing_without_gradients() -> None:
    encoder = random_encoder(TINY)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = encoder(images)
        encoder.checkpointing = True
        assert torch.equal(encoder(images), before)


@pytest.mark.parametrize("numbers", [1, 32 * 8 * 4 * 5], ids=["a window at a time", "five rows, so three"])
@pytest.mark.parametrize("size", [64, 40])
def test_strips_change_nothing(numbers: int, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = random_encoder(TINY).train()
    images = torch.randn(2, 3, size, 64, generator=torch.Generator().manual_seed(2))
    outputs, gradients, runs = [], [], []
    for strip in (2**30, numbers):
        monkeypatch.setattr(image_encoder, "STRIP_NUMBERS", strip)
        calls: list[int] = []
        handle = encoder.blocks[0].norm1.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        encoder.zero_grad()
        out = encoder(images)
        out.square().mean().backward()
        handle.remove()
        outputs.append(out)
        gradients.append([parameter.grad for parameter in encoder.parameters()])
        runs.append(len(calls))
    assert runs == [1, -(-(size // 8) // 3)]
    torch.testing.assert_close(outputs[0], outputs[1])
    for whole, in_strips in zip(*gradients, strict=True):
        torch.testing.assert_close(whole, in_strips)


def test_frozen_weights_are_cast_once_for_all_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = random_encoder(TINY).requires_grad_(False)
    images = torch.randn(1, 3, 64, 64)
    outputs, kept = [], []
    for strip in (2**30, 1):
        monkeypatch.setattr(image_encoder, "STRIP_NUMBERS", strip)
        weights = set()
        with torch.autocast("cpu", torch.bfloat16):
            handle = encoder.blocks[0].mlp.lin1.register_forward_hook(
                lambda layer, *_, weights=weights: weights.add((layer.weight.data_ptr(), layer.weight.dtype))
            )
            outputs.append(encoder(images))
            handle.remove()
        kept.append(weights)
    for weights in kept:
        assert len(weights) == 1
        assert {dtype for _, dtype in weights} == {torch.bfloat16}
    assert encoder.blocks[0].mlp.lin1.weight.dtype == torch.float32
    torch.testing.assert_close(outputs[0], outputs[1], atol=2e-2, rtol=2e-2)


def test_casting_once_gives_what_autocast_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = random_encoder(TINY).requires_grad_(False)
    images = torch.randn(1, 3, 64, 64)
    with torch.autocast("cpu", torch.bfloat16):
        cast_once = encoder(images)
        monkeypatch.setattr(image_encoder, "_cast_once", lambda block, tokens: block(tokens))
        assert torch.equal(encoder(images), cast_once)
