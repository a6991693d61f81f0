"""Clicks and answers, against segment-anything's own prompt encoder and decoder, and by hand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from segment_anything.modeling import Sam
from torch import Tensor

from sac_lightning.model.build import load_official_state
from sac_lightning.model.image_encoder import Backbone
from sac_lightning.model.methods import Prompts, sam
from sac_lightning.model.segment_any_cell import SAC
from sac_lightning.pretraining import interaction
from sac_lightning.pretraining.interaction import decode, draw_corrections, find_middle, interact
from sac_lightning.pretraining.losses import mask_iou

SIDE = 64


@pytest.fixture
def official(official_sam: Callable[..., Sam]) -> Sam:
    return official_sam()


@pytest.fixture
def model(official: Sam) -> SAC:
    model = sam(Backbone("vit_t", 32, 2, 2, (1,), 16, 3, SIDE), Prompts(points=0), SIDE)
    load_official_state(model, official.state_dict(), Path("official"), "vit_t")
    return model.eval()


PROMPTS: dict[str, dict[str, Tensor]] = {
    "a click": {"coords": torch.tensor([[[10.0, 20.0]]]), "labels": torch.tensor([[1]])},
    "clicks": {"coords": torch.tensor([[[10.0, 20.0], [50.0, 3.0]]]), "labels": torch.tensor([[1, 0]])},
    "a box": {"boxes": torch.tensor([[5.0, 6.0, 40.0, 50.0]])},
    "a box and a click": {
        "boxes": torch.tensor([[5.0, 6.0, 40.0, 50.0]]),
        "coords": torch.tensor([[[10.0, 20.0]]]),
        "labels": torch.tensor([[0]]),
    },
    "a click and a mask": {
        "coords": torch.tensor([[[10.0, 20.0]]]),
        "labels": torch.tensor([[1]]),
        "mask_logits": torch.linspace(-3, 3, 256).view(1, 1, 16, 16),
    },
}


@pytest.mark.parametrize("prompts", PROMPTS.values(), ids=PROMPTS)
def test_answers_are_the_official_ones(prompts: dict[str, Tensor], official: Sam, model: SAC) -> None:
    image = torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 255
    record = {"image": image, "original_size": (SIDE, SIDE)}
    names = {"coords": "point_coords", "labels": "point_labels", "boxes": "boxes", "mask_logits": "mask_inputs"}
    record |= {names[key]: value for key, value in prompts.items()}
    single, multiple = (official([record], multimask_output=many)[0] for many in (False, True))
    with torch.no_grad():
        embeddings = model.image_encoder((image[None] - model.pixel_mean) / model.pixel_std)
        logits, iou = decode(model, embeddings, **prompts)
    expected = torch.cat([single["low_res_logits"], multiple["low_res_logits"]], dim=1)
    assert torch.allclose(logits, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    expected = torch.cat([single["iou_predictions"], multiple["iou_predictions"]], dim=1)
    assert torch.allclose(iou, expected, rtol=1e-3, atol=1e-3)


def test_the_middle_is_farthest_from_the_border_also_from_the_images() -> None:
    mask = np.zeros((20, 30), bool)
    mask[3:8, 10:21] = True  # 5 x 11: its middle line is row 5.
    assert find_middle(mask)[1] == 5
    assert 12 <= find_middle(mask)[0] <= 18
    half = np.zeros((21, 21), bool)
    half[:, :10] = True
    assert find_middle(half) in {(4, y) for y in range(4, 17)} | {(5, y) for y in range(4, 17)}
    assert find_middle(np.zeros((5, 5), bool)) == (0, 0)


def test_each_click_goes_to_the_larger_error_of_the_mask_rated_best(
    monkeypatch: pytest.MonkeyPatch, model: SAC
) -> None:
    """The answers are given: first the left half is missing, then there is a stripe too much."""
    truth = torch.zeros(1, 16, 16, dtype=torch.bool)
    truth[0, 4:12, 2:14] = True
    missing, extra = truth.clone(), truth.clone()
    missing[0, :, :8] = False
    extra[0, 13:16, :] = True
    given = [missing, extra, truth]

    def answer(sam: SAC, embeddings: Tensor, coords: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        right = torch.where(given[coords.shape[1] - 1], 9.0, -9.0)
        masks = torch.stack([torch.full_like(right, -9.0), right, -right, torch.full_like(right, 9.0)], dim=1)
        return masks, torch.tensor([[0.9, 0.5, 0.1, 0.2]])  # The single mask's estimate does not count.

    monkeypatch.setattr(interaction, "decode", answer)
    answers = interact(model, torch.zeros(1, 256, 4, 4), truth, clicks=3)
    first, second, third = answers.coords[0].long().tolist()
    assert truth[0, first[1], first[0]]
    assert (truth & ~missing)[0, second[1], second[0]]
    assert (extra & ~truth)[0, third[1], third[0]]
    assert answers.labels.tolist() == [[1, 1, 0]]
    assert answers.best[0].tolist() == pytest.approx([48 / 96, 96 / 144, 1])
    assert answers.single[0].tolist() == [0, 0, 0]
    assert torch.equal(answers.masks, missing)


def test_iou_of_masks() -> None:
    one = torch.tensor([[[True, True], [False, False]]])
    other = torch.tensor([[[True, False], [True, False]]])
    assert mask_iou(one, other).item() == pytest.approx(1 / 3)
    assert mask_iou(one & False, other & False).item() == 1


def test_corrections_are_in_the_wrong_cells_with_the_true_label() -> None:
    target = torch.zeros(2, 8, 8)
    target[:, 2:6, 2:6] = 1
    logits = torch.where(target > 0, 5.0, -5.0)
    logits[0, 2, 2:6] = -5  # missed
    logits[0, 7, 7] = 5  # too much
    coords, labels = draw_corrections(logits, target, 50, side=32, generator=torch.Generator().manual_seed(0))
    cells = ((coords + 0.5) / 4).floor().long()  # Cells of four pixels.
    for (column, row), label in zip(cells[0].tolist(), labels[0].tolist(), strict=True):
        assert (row, column) in [(2, 2), (2, 3), (2, 4), (2, 5), (7, 7)]
        assert label == (row == 2)
    assert {tuple(cell) for cell in cells[0].tolist()} >= {(7, 7), (2, 2)}
    inside = [target[1, row, column] for column, row in cells[1].tolist()]
    assert all(inside), "where nothing is wrong the click goes on the object"
    assert labels[1].all()
