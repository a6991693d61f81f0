"""Losses that several of the compared networks were published with. Targets are (B, 1, H, W) in {0, 1}."""

import torch.nn.functional as F
from torch import Tensor, nn


def pooled_dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return the Dice loss over all pixels of a batch at once: 1 - (2 sum(p g) + 1) / (sum(p) + sum(g) + 1).

    ``training.losses.dice_loss`` is computed per image, as SAM's is. Pooling gives a steadier gradient on a batch
    of small images, some of them empty, and is what the code of these networks does.

    Args:
        logits: (B, 1, H, W).
        target: (B, 1, H, W) in {0, 1}.
    """
    p = logits.sigmoid()
    return 1 - (2 * (p * target).sum() + 1) / (p.sum() + target.sum() + 1)


class Dice(nn.Module):
    """Dice loss alone (U-Net, DoubleU-Net)."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss, a scalar, of logits and target, both (B, 1, H, W)."""
        return pooled_dice_loss(logits, target)


class CrossEntropy(nn.Module):
    """Binary cross-entropy (MedT, MDM); for a difference of two classes' logits, it equals their cross-entropy."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss, a scalar, of logits and target, both (B, 1, H, W)."""
        return F.binary_cross_entropy_with_logits(logits, target)


class DiceCrossEntropy(nn.Module):
    """A weighted sum of Dice loss and binary cross-entropy (FANet, MSRF-Net, SSFormer)."""

    def __init__(self, dice_weight: float = 1.0, cross_entropy_weight: float = 1.0) -> None:
        """Set the weights of the sum.

        Args:
            dice_weight: Weight of the Dice loss.
            cross_entropy_weight: Weight of the cross-entropy.
        """
        super().__init__()
        self.dice_weight = dice_weight
        self.cross_entropy_weight = cross_entropy_weight

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss, a scalar, of logits and target, both (B, 1, H, W)."""
        cross_entropy = F.binary_cross_entropy_with_logits(logits, target)
        return self.dice_weight * pooled_dice_loss(logits, target) + self.cross_entropy_weight * cross_entropy
