"""The losses of the pre-training against torchvision, the package's own losses and arithmetic by hand."""

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import sigmoid_focal_loss

from sac_lightning.pretraining.auxiliary import ReconstructionHead, SimilarityHead
from sac_lightning.pretraining.losses import balanced_bce, coverage, dice, focal, iou, mask_loss
from sac_lightning.training.losses import dice_loss


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def target() -> torch.Tensor:
    """Return one mask for the four answers to each question."""
    return (torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(1)) > 0.7).float()


def test_focal_and_dice_are_the_known_ones_on_masks(logits: torch.Tensor, target: torch.Tensor) -> None:
    reference = sigmoid_focal_loss(logits, target.expand_as(logits), alpha=-1, gamma=2).mean((-2, -1))
    assert torch.allclose(focal(logits, target), reference)
    one = dice(logits, target)[:, :1]
    assert one.mean() == pytest.approx(float(dice_loss(logits[:, :1], target)))


def test_object_and_background_weigh_the_same(logits: torch.Tensor, target: torch.Tensor) -> None:
    expected = [
        0.5 * F.binary_cross_entropy_with_logits(answer[mask > 0], torch.ones(int(mask.sum())))
        + 0.5 * F.binary_cross_entropy_with_logits(answer[mask == 0], torch.zeros(int((1 - mask).sum())))
        for answers, (mask,) in zip(logits, target, strict=True)
        for answer in answers
    ]
    assert torch.allclose(balanced_bce(logits, target).flatten(), torch.stack(expected))


def test_the_blend_goes_from_balanced_to_focal(logits: torch.Tensor, target: torch.Tensor) -> None:
    balanced, half, focused = (mask_loss(logits, target, focus) for focus in (0.0, 0.5, 1.0))
    assert torch.allclose(balanced, balanced_bce(logits, target) + dice(logits, target))
    assert torch.allclose(focused, 20 * focal(logits, target) + dice(logits, target))
    assert torch.allclose(half, (balanced + focused) / 2)


def test_an_empty_and_a_full_mask_have_finite_losses(logits: torch.Tensor) -> None:
    for value in (0.0, 1.0):
        assert mask_loss(logits, torch.full((3, 1, 8, 8), value), 0.3).isfinite().all()


def test_iou_counts_pixels() -> None:
    truth = torch.tensor([[[1.0, 1.0], [0.0, 0.2]]])
    answers = torch.tensor([[[5.0, -5.0], [5.0, -5.0]], [[5.0, 5.0], [-5.0, -5.0]], [[-5.0, -5.0], [-5.0, -5.0]]])
    assert iou(answers, truth).tolist() == pytest.approx([1 / 3, 1, 0])
    assert iou(answers[2], torch.zeros(2, 2)) == 1


def test_coverage_is_the_share_of_a_cell() -> None:
    mask = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    mask[0, 0, :4, :3] = True
    assert coverage(mask, 2)[0, 0].tolist() == [[0.75, 0], [0, 0]]
    assert coverage(mask, 2).shape == (2, 1, 2, 2)


def test_similarity_is_highest_at_the_click_itself() -> None:
    torch.manual_seed(0)
    head = SimilarityHead()
    embeddings = torch.randn(2, 256, 4, 4)
    clicks = torch.tensor([[[0.0, 0.0], [63.0, 63.0]], [[20.0, 41.0], [0.0, 63.0]]])
    logits = head(embeddings, clicks, side=64)
    assert logits.shape == (2, 2, 16, 16)
    cells = [(0, 0), (15, 15), (10, 5), (15, 0)]  # Row and column of 4 pixels each.
    for answer, (row, column) in zip(logits.flatten(0, 1), cells, strict=True):
        assert answer[row, column].item() == pytest.approx(5, abs=1e-4)  # Scale 10, bias -5.
        assert answer[row, column] == answer.max()


def test_reconstruction_compares_pixel_with_pixel() -> None:
    head = ReconstructionHead(patch=2)
    image = torch.arange(3 * 4 * 4.0).view(1, 3, 4, 4)
    embedding = F.pixel_unshuffle(image, 2)
    embedding = F.pad(embedding, (0, 0, 0, 0, 0, 256 - embedding.shape[1]))
    convolution = head.pixels[0]
    with torch.no_grad():
        convolution.weight.copy_(torch.eye(12, 256)[..., None, None])
        convolution.bias.zero_()
    assert head(embedding, image) == 0
    assert head(embedding, image + 1) == 1
