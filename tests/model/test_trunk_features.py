"""A trunk's tokens from disk: equal to computed ones, and used only if nothing that they depend on has changed."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from sac_lightning.core.errors import UserError
from sac_lightning.model import trunk_features
from sac_lightning.model.adapter import add_adapters
from sac_lightning.model.image_encoder import Backbone, ImageEncoder
from sac_lightning.model.lora import LoRA, add_lora, lora_layers
from sac_lightning.model.trunk_features import TrunkFeatures, trunk_hash, trunk_trains

# Grid 4, windows of 3 (which do not divide it), a window block and a global one.
TINY = Backbone("tiny", dim=32, depth=2, heads=2, global_blocks=(1,), patch=16, window=3, native_size=64)


def make_encoder(seed: int = 0, adapt: Callable[[ImageEncoder], None] | None = None) -> ImageEncoder:
    """A frozen encoder in which every tensor matters: positions start at zero, which would hide them."""
    torch.manual_seed(seed)
    encoder = ImageEncoder(TINY)
    if adapt is not None:
        adapt(encoder)
    for parameter in encoder.parameters():
        nn.init.normal_(parameter, std=0.1)
    return encoder.requires_grad_(False).eval()


def with_lora(encoder: ImageEncoder) -> None:
    add_lora(encoder, rank=2, dropout=0.5)


def pictures(count: int = 3, seed: int = 1) -> Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


class Passes:
    """Counts the images that go through an encoder's first block."""

    def __init__(self, encoder: ImageEncoder) -> None:
        self.images = 0
        encoder.blocks[0].register_forward_pre_hook(self.count)

    def count(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.images += len(inputs[0])


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("adapt", [None, with_lora, add_adapters], ids=["plain", "LoRA", "adapters"])
@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bfloat16"])
def test_embeddings_are_the_same_computed_kept_and_read(
    adapt: Callable[[ImageEncoder], None] | None, autocast: bool, tmp_path: Path
) -> None:
    encoder, images = make_encoder(adapt=adapt), pictures()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        plain = encoder(images)
        one_by_one = torch.cat([encoder.trunk(image[None]) for image in images])
        encoder.features = TrunkFeatures(tmp_path)
        first, second = encoder(images), encoder(images)
        tokens = encoder.features.tokens(encoder, images)
    assert torch.equal(first, second), "what was read is not what was computed"
    assert first.dtype == plain.dtype
    assert tokens.dtype == one_by_one.dtype == torch.float32
    assert torch.equal(tokens, one_by_one), "an image's tokens depend on its batch"
    assert plain.std() > 0.1
    torch.testing.assert_close(first, plain, atol=1e-5 if not autocast else 1e-2, rtol=0)


@pytest.mark.parametrize("channels", ["first", "last"])
def test_the_neck_gives_the_same_bits_for_tokens_that_are_read(channels: str, tmp_path: Path) -> None:
    encoder, image = make_encoder(), pictures(1)

    def laid_out(module: nn.Module, inputs: object, tokens: Tensor) -> Tensor:
        return (
            tokens.contiguous()
            if channels == "last"
            else tokens.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
        )

    encoder.blocks[-1].register_forward_hook(laid_out)
    plain = encoder(image)
    encoder.features = TrunkFeatures(tmp_path)
    assert torch.equal(encoder(image), plain)
    assert torch.equal(encoder(image), plain)


def test_an_image_is_computed_once_in_whatever_batch_it_comes(tmp_path: Path) -> None:
    encoder, images = make_encoder(), pictures(5)
    passes = Passes(encoder)
    encoder.features = TrunkFeatures(tmp_path)
    expected = encoder(images[:3])
    assert passes.images == 3
    assert torch.equal(encoder(images[[2, 0]]), expected[[2, 0]])
    assert passes.images == 3, "an image that is there was computed again"
    encoder(images[[1, 4, 3, 0]])
    assert passes.images == 5, "of a batch, only what is missing is computed"
    assert len(files(tmp_path)) == 5


def test_another_process_finds_what_one_has_left(tmp_path: Path) -> None:
    first, second = make_encoder(), make_encoder()
    first.features, second.features = TrunkFeatures(tmp_path), TrunkFeatures(tmp_path)
    passes = Passes(second)
    assert torch.equal(first(pictures()), second(pictures()))
    assert passes.images == 0


def test_the_neck_is_not_kept_and_trains_as_it_would(tmp_path: Path) -> None:
    encoder, images = make_encoder(), pictures()
    passes = Passes(encoder)
    encoder.features = TrunkFeatures(tmp_path)
    encoder(images)
    encoder.neck.requires_grad_(True)
    gradients = []
    for features in (None, encoder.features):
        encoder.features = features
        encoder.zero_grad()
        encoder(images).square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in encoder.neck.parameters()])
    for plain, kept in zip(*gradients, strict=True):
        torch.testing.assert_close(kept, plain)
        assert plain.abs().sum() > 0
    with torch.no_grad():
        for parameter in encoder.neck.parameters():
            parameter += 1
    encoder(images)
    assert passes.images == 6, "a step of the neck made the trunk run again"


def change_tensor(name: str) -> Callable[[ImageEncoder], None]:
    def change(encoder: ImageEncoder) -> None:
        with torch.no_grad():
            encoder.get_parameter(name).flatten()[0] += 1e-3

    return change


def change_scale(encoder: ImageEncoder) -> None:
    for layer in lora_layers(encoder):
        layer.scale *= 2


def merge(encoder: ImageEncoder) -> None:
    for layer in lora_layers(encoder):
        layer.merge()


CHANGES = {
    name: change_tensor(name)
    for name in (
        "patch_embed.proj.weight",
        "pos_embed",
        "blocks.0.attn.rel_pos_h",
        "blocks.1.mlp.lin2.bias",
        "blocks.1.attn.qkv.base.weight",
        "blocks.0.attn.qkv.q_a",
        "blocks.1.attn.qkv.v_b",
    )
}


@pytest.mark.parametrize("again", [False, True], ids=["same object", "new object"])
@pytest.mark.parametrize("name", [*CHANGES, "scale", "merged"])
def test_another_trunk_finds_nothing(name: str, again: bool, tmp_path: Path) -> None:
    encoder, images = make_encoder(adapt=with_lora), pictures()
    encoder.features = TrunkFeatures(tmp_path)
    encoder(images)
    {**CHANGES, "scale": change_scale, "merged": merge}[name](encoder)
    if again or name == "scale":  # No command changes that of an encoder in use.
        encoder.features = TrunkFeatures(tmp_path)
    passes = Passes(encoder)
    kept = encoder(images)
    assert passes.images == 3, f"a trunk with another {name} got the tokens of the old one"
    encoder.features = None
    torch.testing.assert_close(kept, encoder(images), atol=1e-5, rtol=0)


def test_another_pixel_is_another_image(tmp_path: Path) -> None:
    encoder, images = make_encoder(), pictures(1)
    encoder.features = TrunkFeatures(tmp_path)
    encoder(images)
    changed = images.clone()
    changed[0, 2, 63, 63] += 1e-6
    assert not torch.equal(changed, images)
    passes = Passes(encoder)
    encoder(changed)
    encoder(images.mT.contiguous())
    encoder(images[..., :32].contiguous())
    assert passes.images == 3
    encoder(images.to(memory_format=torch.channels_last))
    assert passes.images == 3, "the same pixels in another layout are the same image"


def test_the_same_bytes_in_another_shape_are_another_image(tmp_path: Path) -> None:
    encoder = make_encoder()
    encoder.features = TrunkFeatures(tmp_path)
    assert encoder(torch.zeros(1, 3, 64, 32)).shape == (1, 256, 4, 2)
    assert encoder(torch.zeros(1, 3, 32, 64)).shape == (1, 256, 2, 4)


def test_another_precision_finds_nothing(tmp_path: Path) -> None:
    encoder, images = make_encoder(), pictures()
    encoder.features = TrunkFeatures(tmp_path)
    passes = Passes(encoder)
    full = encoder.features.tokens(encoder, images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = encoder.features.tokens(encoder, images)
    assert passes.images == 6
    assert not torch.equal(full, half)
    assert torch.equal(encoder.features.tokens(encoder, images), full)
    assert passes.images == 6


def test_the_hash_sees_device_and_code_and_not_the_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = make_encoder()
    expected = trunk_hash(encoder, ("cpu", "None"))
    assert trunk_hash(make_encoder().train(), ("cpu", "None")) == expected
    assert trunk_hash(encoder, ("cuda", "None")) != expected
    assert trunk_hash(make_encoder(seed=1), ("cpu", "None")) != expected
    monkeypatch.setattr(trunk_features, "strip_docstrings", lambda source: source.replace("erf", "tanh") + "pass")
    assert trunk_hash(encoder, ("cpu", "None")) != expected


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def overwritten(path: Path) -> None:
    path.write_bytes(b"no such format" * 100)


def removed(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [emptied, cut_short, overwritten, removed])
def test_a_damaged_file_is_made_again(damage: Callable[[Path], None], tmp_path: Path) -> None:
    encoder, images = make_encoder(), pictures()
    encoder.features = TrunkFeatures(tmp_path)
    expected = encoder(images)
    path = files(tmp_path)[1]
    content = path.read_bytes()
    damage(path)
    passes = Passes(encoder)
    assert torch.equal(encoder(images), expected)
    assert passes.images == 1
    assert path.read_bytes() == content
    assert len(files(tmp_path)) == 3


def test_two_that_compute_the_same_image_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    slow, quick = make_encoder(), make_encoder()
    slow.features, quick.features = TrunkFeatures(tmp_path), TrunkFeatures(tmp_path)
    image = pictures(1)
    passes = Passes(quick)

    def meanwhile(module: nn.Module, inputs: object) -> None:
        quick(image)

    slow.blocks[0].register_forward_pre_hook(meanwhile)
    expected = slow(image)
    assert passes.images == 1
    assert torch.equal(quick(image), expected)
    (path,) = files(tmp_path)
    assert load_file(path)["tokens"].shape == (32, 4, 4)


def test_nothing_is_left_of_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    encoder = make_encoder()
    (tmp_path / "file").write_text("no folder")
    encoder.features = TrunkFeatures(tmp_path / "file")
    with pytest.raises(UserError, match=r"safetensors cannot be written \(.*Not a directory.*make room"):
        encoder(pictures())
    assert files(tmp_path) == [tmp_path / "file"]


def test_a_trunk_that_trains_is_refused_where_a_gradient_could_flow(tmp_path: Path) -> None:
    encoder = make_encoder(adapt=with_lora)
    encoder.features = TrunkFeatures(tmp_path)
    assert not trunk_trains(encoder)
    encoder(pictures())
    next(lora_layers(encoder)).q_a.requires_grad_(True)
    assert trunk_trains(encoder)
    with pytest.raises(UserError, match=r"^features on disk have no gradient, .* trunk trains: freeze it"):
        encoder(pictures())
    with torch.no_grad():
        encoder(pictures())
    with torch.inference_mode():
        encoder(pictures())


def test_a_gradient_to_the_pixels_is_refused(tmp_path: Path) -> None:
    encoder = make_encoder()
    encoder.features = TrunkFeatures(tmp_path)
    with pytest.raises(UserError, match=r"^features on disk have no gradient"):
        encoder(pictures().requires_grad_(True))


def test_an_active_dropout_is_refused(tmp_path: Path) -> None:
    encoder = make_encoder(adapt=with_lora)
    encoder.features = TrunkFeatures(tmp_path)
    encoder.train()
    with pytest.raises(UserError, match=r"a dropout in the image encoder's trunk is active: call eval\(\)"):
        encoder(pictures())
    for layer in encoder.modules():
        if isinstance(layer, LoRA):
            layer.dropout.p = 0.0
    encoder(pictures())


def test_a_size_that_the_patch_does_not_divide_is_refused_as_ever(tmp_path: Path) -> None:
    encoder = make_encoder()
    encoder.features = TrunkFeatures(tmp_path)
    with pytest.raises(UserError, match="cannot take 60x64 pixels"):
        encoder(torch.zeros(1, 3, 60, 64))


def test_the_summary_counts_images_and_not_how_often_they_came(tmp_path: Path) -> None:
    encoder, images = make_encoder(), pictures(5)
    encoder.features = TrunkFeatures(tmp_path)
    for _ in range(3):
        encoder(images[:2])
    assert encoder.features.summary() == f"{tmp_path} (0 images found, 2 computed, 0.0 MB)"
    assert sum(encoder.features.sizes.values()) == 2 * 4 * 4 * 32 * 4
    encoder.features = TrunkFeatures(tmp_path)
    for _ in range(2):
        encoder(images)
    assert encoder.features.summary() == f"{tmp_path} (2 images found, 3 computed, 0.0 MB)"


def test_features_are_no_part_of_what_a_checkpoint_holds(tmp_path: Path) -> None:
    encoder = make_encoder()
    names = encoder.state_dict().keys()
    encoder.features = TrunkFeatures(tmp_path)
    assert encoder.state_dict().keys() == names
