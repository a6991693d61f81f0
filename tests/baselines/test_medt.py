"""MedT: the official code's numbers and counts, gates that wait for their epoch, patches at every size."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sac_lightning.baselines.axial_attention import GatedAxialAttention
from sac_lightning.baselines.medt import MedT
from sac_lightning.core.errors import UserError
from sac_lightning.data.sample import TrainingBatch

# Parameters of the official code that never get a gradient, and that ours does not have.
UNUSED = 35_570

# From the official code at 128 px with the same weights, in double precision: the logit of class 1 less that of
# class 0, by row and column.
OFFICIAL = {
    (0, 0): 19.021217,
    (8, 59): 100.89397,
    (24, 43): 13.342325,
    (31, 96): 10.694125,
    (40, 27): 98.256267,
    (56, 11): 17.836321,
    (63, 64): 11.474456,
    (72, 123): 98.753726,
    (88, 107): 13.584581,
    (104, 91): 101.49112,
    (120, 75): 15.972853,
    (127, 127): 10.877528,
}


def small(**arguments: Any) -> MedT:
    return MedT(**{"image_size": 64, "width": 2, "groups": 2, "grid": 2, "blocks": (1, 2, 1, 1), **arguments})


def batch(images: int = 2, side: int = 64, nuclei: bool = True) -> TrainingBatch:
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(images, 1, side, side, generator=generator) > 0.5
    return TrainingBatch(
        images=torch.rand(images, 3, side, side, generator=generator) * 255,
        masks=masks.float() * nuclei,
        expert_coords=torch.zeros(images, 0, 2),
        expert_labels=torch.zeros(images, 0),
        seeds=torch.arange(images),
        names=[str(i) for i in range(images)],
    )


def gates(model: nn.Module) -> Tensor:
    """Return all gates, (24,)."""
    return torch.cat([m.gates.detach() for m in model.modules() if isinstance(m, GatedAxialAttention)]).clone()


@torch.no_grad()
def with_strong_positions(model: MedT) -> MedT:
    """Return the network with positions and gates so large that the outputs depend on them."""
    for module in model.modules():
        if isinstance(module, GatedAxialAttention):
            module.distances.mul_(10)
            module.gates.add_(torch.tensor([1.0, -0.8, 1.2, 0.9]))
    return model


def train_for(model: MedT, epochs: range, steps: int = 2) -> MedT:
    """Train for some steps in each epoch, with the weight decay that would move a gate without a gradient."""
    optimizer = torch.optim.Adam(model.parameter_groups(), lr=1e-2, weight_decay=0.1)
    for epoch in epochs:
        model.start_epoch(epoch)
        for _ in range(steps):
            optimizer.zero_grad()
            torch.stack(list(model.losses(batch(), nn.BCEWithLogitsLoss()).values())).sum().backward()
            optimizer.step()
    return model


@pytest.mark.parametrize(("side", "official"), [(128, 1_560_140), (256, 1_564_236), (512, 1_572_428)])
def test_parameters_are_the_official_ones_less_those_never_used(side: int, official: int) -> None:
    with torch.device("meta"):
        model = MedT(image_size=side)
    assert sum(p.numel() for p in model.parameters()) == official - UNUSED
    assert gates(model).numel() == 24


@torch.no_grad()
def test_outputs_are_those_of_the_official_code(
    fill: Callable[..., nn.Module], fixed_images: Callable[[int], Tensor]
) -> None:
    model = MedT()
    fill(model, gain=0.9)
    logits = with_strong_positions(model).double()(fixed_images(128).double())
    assert logits.shape == (1, 1, 128, 128)
    # Tighter than single precision would allow: what a parameter changes here is often less than a thousandth.
    assert {place: logits[0, 0, *place].item() for place in OFFICIAL} == pytest.approx(OFFICIAL, rel=1e-6)


def test_gates_start_as_in_the_official_code() -> None:
    assert gates(small()).view(6, 4).tolist() == [pytest.approx([0.1, 0.1, 1.0, 0.1])] * 6


def test_patches_are_a_quarter_of_the_side_and_join_again() -> None:
    model = small(image_size=256, grid=4)
    images = torch.rand(2, 3, 256, 256)
    patches = model.cut_patches(images)
    assert patches.shape == (32, 3, 64, 64)
    assert torch.equal(patches[16 + 4 * 1 + 2], images[1, :, 64:128, 128:192])
    assert torch.equal(model.join_patches(patches), images)


@torch.no_grad()
@pytest.mark.parametrize("corner", [0, -1])
def test_local_branch_refines_every_corner(corner: int, fill: Callable[..., nn.Module]) -> None:
    model = fill(small(image_size=128, grid=2))
    images = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0)) * 255
    whole = model(images)
    # Without the local branch's last layer its features are zeros.
    model.local_branch.decoders[-1].weight.zero_()  # type: ignore[union-attr,index]
    model.local_branch.decoders[-1].bias.fill_(-1)  # type: ignore[union-attr,index]
    assert abs(whole - model(images))[0, 0, corner, corner] > 1e-3


@pytest.mark.parametrize("side", [192, 64])
def test_refuses_another_size_than_its_own(side: int) -> None:
    with pytest.raises(UserError, match=f"takes 128x128 pixels, not {side}x{side}"):
        small(image_size=128)(torch.zeros(1, 3, side, side))


def test_refuses_a_size_that_does_not_fit_the_grid() -> None:
    with pytest.raises(UserError, match="multiple of 128"):
        MedT(image_size=192)


def test_refuses_groups_that_do_not_divide_the_width() -> None:
    with pytest.raises(UserError, match=r"set model\.groups to a divisor"):
        MedT(width=4)


@pytest.mark.parametrize("epoch", [0, 10])
@pytest.mark.parametrize("images", [1, 2])
def test_every_parameter_has_a_gradient_whether_the_gates_are_open_or_not(epoch: int, images: int) -> None:
    model = small()
    model.start_epoch(epoch)
    losses = model.losses(batch(images), nn.BCEWithLogitsLoss())
    assert losses.keys() == {"mask"}
    losses["mask"].backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


def test_background_alone_has_a_finite_loss() -> None:
    model = small()
    loss = model.losses(batch(nuclei=False), nn.BCEWithLogitsLoss())["mask"]
    loss.backward()
    assert loss.isfinite()


def test_runs_in_bfloat16() -> None:
    model = small()
    with torch.autocast("cpu", torch.bfloat16):
        loss = model.losses(batch(), nn.BCEWithLogitsLoss())["mask"]
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()


def test_gates_stay_to_the_bit_until_their_epoch_and_move_then() -> None:
    model = small(gates_open=3)
    before = gates(model)
    others = model.head.weight.detach().clone()
    train_for(model, range(3))
    assert torch.equal(gates(model), before)
    assert not torch.equal(model.head.weight, others)
    train_for(model, range(3, 4))
    assert (gates(model) != before).all()


@pytest.mark.parametrize(("epoch", "moved"), [(9, False), (10, True), (12, True)])
def test_a_resumed_training_knows_whether_the_gates_are_open(epoch: int, moved: bool) -> None:
    model = small()
    before = gates(model)
    train_for(model, range(epoch, epoch + 1))
    assert (gates(model) != before).all() if moved else torch.equal(gates(model), before)


def test_gates_of_a_copy_wait_too() -> None:
    model = copy.deepcopy(small())
    before = gates(model)
    assert torch.equal(gates(train_for(model, range(1))), before)


def test_parameter_groups_are_all_parameters_once() -> None:
    model = small()
    others, own = model.parameter_groups()
    assert own["weight_decay"] == 0
    assert sum(p.numel() for p in own["params"]) == 24
    together = [id(p) for p in [*others["params"], *own["params"]]]
    assert sorted(together) == sorted(id(p) for p in model.parameters())
