"""The prompts of a decoder of single nuclei, and what it learns of them."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sac_lightning.data.label_maps import find_boxes
from sac_lightning.model.nucleus_decoder import CELLS, NucleusMasks
from sac_lightning.model.prompt_generator import INTERIOR
from sac_lightning.training import nucleus_prompts
from sac_lightning.training.nucleus_loss import cut_targets, measure_iou
from sac_lightning.training.nucleus_prompts import (
    NucleusPrompts,
    draw_prompts,
    false_points,
    jitter_boxes,
    true_points,
)


def squares(side: int = 64, step: int = 16, width: int = 10) -> NDArray[np.int64]:
    """A grid of squares, numbered from 1."""
    y, x = np.mgrid[:side, :side]
    numbers = (y // step) * (side // step) + x // step + 1
    return np.where((y % step < width) & (x % step < width), numbers, 0)


def maps_of(interior: NDArray[np.bool_]) -> torch.Tensor:
    """The logits of a generator that knows an interior (h, w)."""
    maps = torch.full((1, 4, *interior.shape), -5.0)
    maps[0, INTERIOR][torch.from_numpy(interior)] = 5.0
    return maps


def test_true_points_are_one_in_each_nucleus_that_is_no_remainder() -> None:
    labels = squares()
    labels[48:58, 48:58] = 0
    labels[50:53, 50:53] = 99
    points = true_points(labels, np.random.default_rng(0))
    x, y = points.astype(int).T
    assert sorted(labels[y, x]) == [number for number in np.unique(labels) if number not in (0, 99)]
    inner = x > 16  # The image's border is no outline.
    assert (((x % 16) >= 2) & ((x % 16) < 8))[inner].all(), "well inside"


def test_false_points_lie_on_no_nucleus() -> None:
    points = false_points(squares(), 50, np.random.default_rng(0))
    x, y = points.astype(int).T
    assert len(points) == 50
    assert not squares()[y, x].any()
    assert len(false_points(np.ones((4, 4), np.int64), 2, np.random.default_rng(0))) == 2


def draw(labels: NDArray[np.int64], interior: NDArray[np.bool_], seed: int, size: int = 128) -> NucleusPrompts:
    """The prompts of one window, its input twice as fine as the generator's map."""
    fine = torch.from_numpy(labels.repeat(size // len(labels), 0).repeat(size // len(labels), 1)).int()
    return draw_prompts(fine[None, None], maps_of(interior), torch.tensor([seed]), reach=40.0)


@pytest.mark.parametrize("own", [0.0, 1.0])
def test_prompts_are_points_with_their_neighbours(own: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nucleus_prompts, "OWN", own)
    monkeypatch.setattr(nucleus_prompts, "BOXED", 0.0)
    labels = squares()
    interior = (labels > 0) & (np.mgrid[:64, :64][0] % 16 > 2) & (np.mgrid[:64, :64][0] % 16 < 7)
    interior[12:15, 12:15] = True  # A speck of the generator's, on no nucleus.
    numbers = []
    for seed in range(20):
        prompts = draw(labels, interior, seed)
        assert len(prompts.coords) <= nucleus_prompts.PROMPTS
        assert (prompts.labels[:, 0] == 1).all()
        assert set(prompts.labels[:, 1:].unique().tolist()) <= {0, -1}
        x, y = ((prompts.coords[:, 0] + 0.5) / 2 - 0.5).round().long().T
        assert prompts.nuclei.tolist() == labels[y, x].tolist()
        away = (prompts.coords[:, 1:] - prompts.coords[:, :1]).norm(dim=-1)
        assert (away[prompts.labels[:, 1:] == 0] <= 40).all()
        numbers += prompts.nuclei.tolist()
    assert set(numbers) >= set(range(17)), "all nuclei, and none"
    assert 0.02 < numbers.count(0) / len(numbers) < 0.2


def test_true_prompts_may_be_boxes_around_their_nuclei_and_false_ones_never(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nucleus_prompts, "OWN", 0.0)
    labels, shares = squares(), []
    for seed in range(20):
        prompts = draw(labels, labels > 0, seed)
        boxed = prompts.labels[:, 0] == 2
        shares.append(boxed.float().mean().item())
        assert ((prompts.labels[:, 1] == 3) == boxed).all()
        assert (prompts.nuclei[boxed] > 0).all()
        # The input is twice as fine; whole numbers are the centres of pixels.
        boxes = torch.from_numpy(find_boxes(labels))[prompts.nuclei[boxed]] * 2 - 0.5
        off = prompts.coords[boxed][:, :2].flatten(1) - boxes
        assert off.abs().max() < 10, "a tenth of a side of 20 pixels"
        assert off.std() > 0.5
    assert 0.3 < np.mean(shares) < 0.6


def test_the_jitter_of_a_box_is_a_tenth_of_its_sides_and_has_an_end() -> None:
    boxes = np.tile(np.float32([100, 100, 140, 1100]), (500, 1))
    off = jitter_boxes(boxes, np.random.default_rng(0)) - boxes
    assert off[:, ::2].std() == pytest.approx(4, rel=0.1)
    assert np.abs(off[:, 1::2]).max() == pytest.approx(20)


def test_a_seed_gives_the_same_prompts() -> None:
    labels = squares()
    one, same, other = (draw(labels, labels > 0, seed) for seed in (3, 3, 4))
    assert torch.equal(one.coords, same.coords)
    assert one.coords.shape != other.coords.shape or not torch.equal(one.coords, other.coords)


def test_a_window_without_nuclei_has_a_false_prompt() -> None:
    nothing = np.zeros((64, 64), np.int64)
    for seed in range(5):
        prompts = draw(nothing, nothing > 0, seed)
        assert len(prompts.nuclei) == 1
        assert prompts.nuclei.tolist() == [0]


def test_a_target_is_the_points_nucleus_alone_and_of_a_false_point_empty() -> None:
    labels = squares()
    coords = torch.tensor([[[10.0, 10.0]], [[42.0, 10.0]], [[30.0, 30.0]]])
    prompts = NucleusPrompts(torch.zeros(3).long(), coords, torch.ones(3, 1), torch.tensor([1, 2, 0]))
    masks = NucleusMasks(
        torch.zeros(3, 1, 2 * CELLS, 2 * CELLS), torch.zeros(0), torch.zeros(3), torch.zeros(3, 2).long()
    )
    targets = cut_targets(torch.from_numpy(labels)[None, None].int(), prompts, masks, grid=8)
    # Of 8 tokens with 8 cells each a cell is a pixel; the parts begin at the first.
    assert np.array_equal(targets[0, 0].numpy(), labels[:16, :16] == 1)
    assert not targets[1].any(), "it lies beyond the part"
    assert not targets[2].any()


def test_the_iou_of_a_false_point_is_zero_whatever_the_mask() -> None:
    logits = torch.tensor([[-1.0, -1], [1, 1], [1, -1], [1, 1]]).view(4, 1, 1, 2)
    target = torch.tensor([[0.0, 0], [0, 0], [1, 0], [1, 0]]).view(4, 1, 1, 2)
    assert measure_iou(logits, target).tolist() == [0, 0, 1, 0.5]
