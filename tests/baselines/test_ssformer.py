"""SSFormer against its official code."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sac_lightning.baselines.losses import DiceCrossEntropy
from sac_lightning.baselines.ssformer import SSFormer
from sac_lightning.core.errors import UserError
from sac_lightning.data.sample import TrainingBatch

NEVER_CALLED = 262_656


@pytest.fixture(scope="module")
def small() -> SSFormer:
    return SSFormer(encoder="mit_b0", dim=16)


def _batch(count: int, nuclei: bool) -> TrainingBatch:
    masks = torch.zeros(count, 1, 64, 64)
    masks[:, :, 10:30, 20:40] = float(nuclei)
    return {
        "images": torch.rand(count, 3, 64, 64) * 255,
        "masks": masks,
        "expert_coords": torch.zeros(count, 0, 2),
        "expert_labels": torch.zeros(count, 0),
        "seeds": torch.arange(count),
        "names": [str(number) for number in range(count)],
    }


@pytest.mark.parametrize(("encoder", "official"), [("mit_b4", 66_218_945), ("mit_b2", 29_572_545)])
def test_parameters_are_the_official_ones_but_for_those_never_called(
    monkeypatch: pytest.MonkeyPatch, encoder: str, official: int
) -> None:
    # Most of the time would go into drawing values, and the meta device is no way out: the encoder reads a tensor.
    monkeypatch.setattr(
        "segmentation_models_pytorch.encoders.mix_transformer.trunc_normal_", lambda *_, **__: None
    )
    model = SSFormer(encoder)

    assert sum(parameter.numel() for parameter in model.parameters()) == official - NEVER_CALLED


def test_outputs_equal_the_official_code(
    fill: Callable[..., nn.Module], fixed_images: Callable[[int], Tensor]
) -> None:
    model = fill(SSFormer("mit_b2"))
    places = [(0, 0), (3, 60), (5, 40), (17, 23), (31, 31), (32, 2), (40, 55), (48, 9), (60, 30)]
    with torch.no_grad():
        logits = model(fixed_images(64))

    assert [logits[0, 0, y, x].item() for y, x in places] == pytest.approx(
        [0.144864, 0.739218, 1.199573, 1.278551, 1.049391, 0.835569, 0.673517, 0.38154, 0.607343], rel=1e-4
    )


def test_other_sizes_are_refused(small: SSFormer) -> None:
    with pytest.raises(UserError, match="multiple of 32"):
        small(torch.zeros(1, 3, 64, 80))


def test_sides_may_differ_and_bfloat16_runs(small: SSFormer) -> None:
    small.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        logits = small(torch.rand(1, 3, 64, 96) * 255)

    assert logits.shape == (1, 1, 64, 96)
    assert logits.isfinite().all()


def test_images_may_have_their_channels_last(small: SSFormer) -> None:
    small.eval()
    images = torch.rand(2, 3, 64, 64) * 255
    with torch.no_grad():
        torch.testing.assert_close(small(images.contiguous(memory_format=torch.channels_last)), small(images))


@pytest.mark.parametrize("nuclei", [True, False])
def test_every_parameter_gets_a_gradient(small: SSFormer, nuclei: bool) -> None:
    small.train()
    small.zero_grad()
    losses = small.losses(_batch(1, nuclei), DiceCrossEntropy())
    losses["mask"].backward()

    assert set(losses) == {"mask"}
    assert losses["mask"].isfinite()
    assert [name for name, parameter in small.named_parameters() if parameter.grad is None] == []
    assert all(parameter.grad.isfinite().all() for parameter in small.parameters() if parameter.grad is not None)


def test_imagenet_weights_go_into_the_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    source = SSFormer(encoder="mit_b0", dim=16)
    asked: list[str] = []

    def downloaded(name: str, **_: Any) -> dict[str, Tensor]:
        asked.append(name)
        return {
            **source.encoder.state_dict(),
            "head.weight": torch.zeros(1000, 256),
            "head.bias": torch.zeros(1000),
        }

    monkeypatch.setattr("sac_lightning.baselines.pretrained_state.load_state_dict_from_hf", downloaded)
    model = SSFormer(encoder="mit_b0", dim=16)

    assert model.load_imagenet() == "smp-hub/mit_b0.imagenet"
    assert asked == ["smp-hub/mit_b0.imagenet@9ce53d104d92d75aabb00aae70677aaab67e7c84"]
    for name, tensor in source.encoder.state_dict().items():
        assert torch.equal(model.encoder.state_dict()[name], tensor), name
