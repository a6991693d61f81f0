"""The structure loss of polyp segmentation, used by DuAT: F3Net's pixel position aware loss (Wei et al. 2020)."""

import torch.nn.functional as F
from torch import Tensor, nn


class StructureLoss(nn.Module):
    """Cross-entropy plus IoU loss, in which pixels near a boundary count more; the mean over images.

    A pixel's weight is 1 + 5 |m - g|, where g is its target and m the mean target around it: up to 6 at a boundary
    and in thin structures, 1 deep inside a large object or far from any. Beyond the image's border the target is
    0.

    The weights apply to both parts, as the papers have it. In the official code they do not apply to the
    cross-entropy: it passes ``reduce="none"`` to torch, which treats the string as true, so that the weights
    multiply the plain mean.
    """

    def __init__(self, window: int = 31, boundary_weight: float = 5.0) -> None:
        """Set how pixels are weighted.

        Args:
            window: Side of the square around a pixel, in pixels; odd.
            boundary_weight: The factor 5 in the weight above.
        """
        super().__init__()
        self.window = window
        self.boundary_weight = boundary_weight

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss, a scalar, of logits and target, both (B, 1, H, W)."""
        weights = self._weights(target)
        cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        cross_entropy = (weights * cross_entropy).sum((1, 2, 3)) / weights.sum((1, 2, 3))
        return cross_entropy.mean() + _iou_loss(logits.sigmoid(), target, weights).mean()

    def _weights(self, target: Tensor) -> Tensor:
        """Return the weight of each pixel, (B, 1, H, W)."""
        half = self.window // 2
        # Averaging columns, then rows gives the mean of the square; the square at once took two fifths of a step.
        columns = F.avg_pool2d(target, (self.window, 1), stride=1, padding=(half, 0))
        surroundings = F.avg_pool2d(columns, (1, self.window), stride=1, padding=(0, half))
        return 1 + self.boundary_weight * (surroundings - target).abs()


def _iou_loss(probabilities: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Return 1 - (I + 1) / (U + 1) of each image, (B,), with weighted pixels; the ones cover empty images."""
    intersection = (weights * probabilities * target).sum((1, 2, 3))
    both = (weights * (probabilities + target)).sum((1, 2, 3))
    return 1 - (intersection + 1) / (both - intersection + 1)
