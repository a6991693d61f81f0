"""DuAT: equality with its official code, its scales, its losses."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sac_lightning.baselines.duat import BoundaryAggregation, DuAT
from sac_lightning.baselines.structure_loss import StructureLoss
from sac_lightning.core.errors import UserError
from sac_lightning.data.sample import TrainingBatch

OFFICIAL = 24_968_265
NEVER_CALLED = (2_112 + 5_184 + 8_256) + 3 * (512 + 98)
BEFORE_SOFTMAX = 3


@pytest.fixture(scope="module")
def small() -> DuAT:
    return DuAT(encoder="pvt_v2_b0", dim=8)


def _batch(side: int, seeds: list[int], nuclei: bool = True) -> TrainingBatch:
    count = len(seeds)
    masks = torch.zeros(count, 1, side, side)
    masks[:, :, : side // 2, 3 : side // 2 + 3] = float(nuclei)
    return {
        "images": torch.rand(count, 3, side, side) * 255,
        "masks": masks,
        "expert_coords": torch.zeros(count, 0, 2),
        "expert_labels": torch.zeros(count, 0),
        "seeds": torch.tensor(seeds),
        "names": [str(seed) for seed in seeds],
    }


class _RecordingLoss(nn.Module):
    """A mask loss that stores its arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Tensor, Tensor]] = []

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        self.calls.append((logits, target))
        return logits.mean()


def test_parameters_are_the_official_ones_but_for_those_that_never_learn() -> None:
    with torch.device("meta"):
        model = DuAT()

    assert sum(parameter.numel() for parameter in model.backbone.parameters()) == 24_849_856
    assert sum(parameter.numel() for parameter in model.parameters()) == OFFICIAL - NEVER_CALLED - BEFORE_SOFTMAX


def test_outputs_equal_the_official_code(
    fill: Callable[..., nn.Module], fixed_images: Callable[[int], Tensor]
) -> None:
    model = fill(DuAT())
    places = [(0, 0), (5, 40), (17, 23), (31, 31), (48, 9), (63, 63)]
    with torch.no_grad():
        region, boundary = model.outputs(fixed_images(64))
        both = model(fixed_images(64))

    assert [region[0, 0, y, x].item() for y, x in places] == pytest.approx(
        [0.148813, 0.98892, 1.854246, 2.006707, -0.279856, 3.174968], rel=1e-4
    )
    assert [boundary[0, 0, y, x].item() for y, x in places] == pytest.approx(
        [-1.864089, -2.703993, -0.767981, 1.803652, 2.361293, -4.4086], rel=1e-4
    )
    torch.testing.assert_close(both, region + boundary)


def test_boundary_aggregation_uses_the_new_fine_features_for_the_coarse_ones() -> None:
    aggregation = BoundaryAggregation(2).eval()
    for reduction in (aggregation.fine_reduction, aggregation.coarse_reduction):
        nn.init.constant_(reduction.weight, 0.5)
    for refinement in (aggregation.fine_refinement, aggregation.coarse_refinement):
        nn.init.ones_(refinement[0].weight)
    seen: list[Tensor] = []
    aggregation.fusion.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    aggregation(torch.full((1, 2, 4, 4), 2.0), torch.full((1, 2, 2, 2), 1.0))

    fine_gate, coarse_gate = 1 / (1 + 2.718281828**-2), 1 / (1 + 2.718281828**-1)
    fine = 2 * (1 + fine_gate) + (1 - fine_gate) * coarse_gate * 1
    coarse = 1 * (1 + coarse_gate) + (1 - coarse_gate) * fine_gate * fine
    # BatchNorm divides what passes through a refinement by sqrt(1 + 1e-5).
    assert seen[0][0, :, 0, 0].tolist() == pytest.approx([coarse, fine], rel=1e-4)


def test_other_sizes_are_refused(small: DuAT) -> None:
    with pytest.raises(UserError, match="multiple of 32"):
        small(torch.zeros(1, 3, 64, 80))


def test_sides_may_differ_and_bfloat16_runs(small: DuAT) -> None:
    small.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        logits = small(torch.rand(1, 3, 64, 96) * 255)

    assert logits.shape == (1, 1, 64, 96)
    assert logits.isfinite().all()


@pytest.mark.parametrize("nuclei", [True, False])
def test_every_parameter_gets_a_gradient(small: DuAT, nuclei: bool) -> None:
    small.train()
    small.zero_grad()
    losses = small.losses(_batch(64, [1], nuclei), StructureLoss())
    sum(losses.values()).backward()  # type: ignore[union-attr]

    assert set(losses) == {"region", "boundary"}
    assert all(loss.isfinite() for loss in losses.values())
    assert [name for name, parameter in small.named_parameters() if parameter.grad is None] == []
    assert all(parameter.grad.isfinite().all() for parameter in small.parameters() if parameter.grad is not None)


@pytest.mark.parametrize(("seeds", "side"), [([3, 6], 96), ([1, 3], 128), ([3, 5], 160)])
def test_the_seeds_of_a_batch_draw_its_scale(small: DuAT, seeds: list[int], side: int) -> None:
    small.train()
    seen = _RecordingLoss()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        small.losses(_batch(128, seeds), seen)

    for logits, target in seen.calls:
        assert logits.shape == target.shape == (2, 1, side, side)
        assert logits.dtype == torch.float32
        assert set(target.unique().tolist()) == {0.0, 1.0}
        assert target.mean().item() == pytest.approx(0.25, abs=0.01)


def test_images_keep_their_size_out_of_training(small: DuAT) -> None:
    small.eval()
    seen = _RecordingLoss()
    with torch.no_grad():
        small.losses(_batch(64, [0]), seen)

    assert [tuple(logits.shape) for logits, _ in seen.calls] == [(1, 1, 64, 64)] * 2


def test_a_size_that_is_refused_is_not_rescaled_into_a_good_one(small: DuAT) -> None:
    small.train()
    with pytest.raises(UserError, match="multiple of 32"):
        small.losses(_batch(120, [0]), _RecordingLoss())


def test_imagenet_weights_go_into_the_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    source = DuAT(encoder="pvt_v2_b0", dim=8)
    asked: list[str] = []

    def downloaded(name: str, **_: Any) -> dict[str, Tensor]:
        asked.append(name)
        return {
            **source.backbone.state_dict(),
            "head.weight": torch.zeros(1000, 256),
            "head.bias": torch.zeros(1000),
        }

    monkeypatch.setattr("sac_lightning.baselines.pretrained_state.load_state_dict_from_hf", downloaded)
    model = DuAT(encoder="pvt_v2_b0", dim=8)

    assert model.load_imagenet() == "timm/pvt_v2_b0.in1k"
    assert asked == ["timm/pvt_v2_b0.in1k"]
    for name, tensor in source.backbone.state_dict().items():
        assert torch.equal(model.backbone.state_dict()[name], tensor), name
