"""Foreground metrics of binary masks: Dice and IoU are means over images, F1 pools the pixels of a split.

The caller thresholds at 0.5 and resizes to the image's native resolution; a metric only counts.
"""

import torch
from torch import Tensor
from torchmetrics import Metric

from sac_lightning.core.errors import UserError


class ImageMetric(Metric):
    """A metric that counts its images and keeps sums, so that ranks with uneven numbers of images add up.

    A subclass names its sums after itself: MetricCollection computes two metrics as one if their states have the
    same names and, after the first batch, the same values.
    """

    is_differentiable = False
    higher_is_better: bool | None = True
    full_state_update = False

    images: Tensor

    def __init__(self) -> None:
        """Start with no images."""
        super().__init__()
        self._add_sum("images", torch.int64)

    def _add_sum(self, name: str, dtype: torch.dtype = torch.float32) -> None:
        # The dtype is explicit because Lightning's precision="bf16-true" changes the default one.
        self.add_state(name, torch.zeros((), dtype=dtype), dist_reduce_fx="sum")

    def _require_images(self) -> Tensor:
        if self.images == 0:
            raise UserError(f"{type(self).__name__} has seen no image: check that the split is not empty.")
        return self.images


class DiceScore(ImageMetric):
    """Mean over images of 2·TP / (2·TP + FP + FN); an image empty in truth and prediction scores 1."""

    dice_sum: Tensor

    def __init__(self) -> None:
        """Start with no images."""
        super().__init__()
        self._add_sum("dice_sum")

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add B images: both (B, H, W) bool, True on nuclei, of any H and W from call to call."""
        true_positives, false_positives, false_negatives = count_pixels(prediction, target)
        self.dice_sum += dice_of_counts(true_positives, false_positives, false_negatives).sum()
        self.images += len(target)

    def compute(self) -> Tensor:
        """Return the mean Dice, a scalar in [0, 1]; raise UserError if no image was given."""
        return self.dice_sum / self._require_images()


class IoU(ImageMetric):
    """Mean over images of TP / (TP + FP + FN); an image empty in truth and prediction scores 1."""

    iou_sum: Tensor

    def __init__(self) -> None:
        """Start with no images."""
        super().__init__()
        self._add_sum("iou_sum")

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add B images: both (B, H, W) bool, True on nuclei, of any H and W from call to call."""
        true_positives, false_positives, false_negatives = count_pixels(prediction, target)
        self.iou_sum += iou_of_counts(true_positives, false_positives, false_negatives).sum()
        self.images += len(target)

    def compute(self) -> Tensor:
        """Return the mean IoU, a scalar in [0, 1]; raise UserError if no image was given."""
        return self.iou_sum / self._require_images()


class F1(ImageMetric):
    """2·TP / (2·TP + FP + FN) of all pixels of the split (micro); a split empty in both scores 1."""

    true_positives: Tensor
    false_positives: Tensor
    false_negatives: Tensor

    def __init__(self) -> None:
        """Start with no images."""
        super().__init__()
        for name in ("true_positives", "false_positives", "false_negatives"):
            self._add_sum(name, torch.int64)

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add B images: both (B, H, W) bool, True on nuclei, of any H and W from call to call."""
        true_positives, false_positives, false_negatives = count_pixels(prediction, target)
        self.true_positives += true_positives.sum()
        self.false_positives += false_positives.sum()
        self.false_negatives += false_negatives.sum()
        self.images += len(target)

    def compute(self) -> Tensor:
        """Return F1 of the pooled pixels, a scalar in [0, 1]; raise UserError if no image was given."""
        self._require_images()
        return dice_of_counts(self.true_positives, self.false_positives, self.false_negatives)


def count_pixels(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Count the true positives, false positives and false negatives of each image.

    Args:
        prediction: (B, H, W) bool, True on nuclei.
        target: (B, H, W) bool, True on nuclei.

    Returns:
        Three (B,) int64 tensors.

    Raises:
        ValueError: They have another shape or dtype.
    """
    if prediction.shape != target.shape or target.ndim != 3:
        shapes = f"prediction {tuple(prediction.shape)} and target {tuple(target.shape)}"
        raise ValueError(f"{shapes} must have one shape (B, H, W).")
    if prediction.dtype != torch.bool or target.dtype != torch.bool:
        dtypes = f"prediction ({prediction.dtype}) and target ({target.dtype})"
        raise ValueError(f"{dtypes} must be boolean: threshold them first.")
    true_positives = (prediction & target).sum(dim=(1, 2))
    false_positives = (prediction & ~target).sum(dim=(1, 2))
    false_negatives = (~prediction & target).sum(dim=(1, 2))
    return true_positives, false_positives, false_negatives


def dice_of_counts(true_positives: Tensor, false_positives: Tensor, false_negatives: Tensor) -> Tensor:
    """Return 2·TP / (2·TP + FP + FN) of pixel counts (...), float32 in [0, 1]; 1 where all three are 0."""
    doubled = 2 * true_positives
    return _ratio(doubled, doubled + false_positives + false_negatives)


def iou_of_counts(true_positives: Tensor, false_positives: Tensor, false_negatives: Tensor) -> Tensor:
    """Return TP / (TP + FP + FN) of pixel counts (...), float32 in [0, 1]; 1 where all three are 0."""
    return _ratio(true_positives, true_positives + false_positives + false_negatives)


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Return the quotient of pixel counts in float32, 1 where there is nothing in truth or prediction."""
    return torch.where(denominator == 0, 1.0, numerator.float() / denominator.float())
