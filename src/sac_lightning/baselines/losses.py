"""The losses that several of the compared networks were published with. Targets are (B, 1, H, W) in {0, 1}."""

import torch.nn.functional as F
from torch import Tensor, nn


def pooled_dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Dice loss over all pixels of a batch at once: 1 - (2 sum(p g) + 1) / (sum(p) + sum(g) + 1).

    The one of ``losses.dice_loss`` is taken per image, as SAM's. A batch of small images, some of them empty, has
    a steadier gradient this way, and these networks' code has it so.

    Args:
        logits: (B, 1, H, W).
        target: (B, 1, H, W) in {0, 1}.
    """
    p = logits.sigmoid()
    return 1 - (2 * (p * target).sum() + 1) / (p.sum() + target.sum() + 1)


class Dice(nn.Module):
    """Dice loss alone (U-Net, DoubleU-Net)."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Logits and target (B, 1, H, W) to a scalar."""
        return pooled_dice_loss(logits, target)


class CrossEntropy(nn.Module):
    """Binary cross-entropy: also that of two classes, of whose logits ours are the difference (MedT, MDM)."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Logits and target (B, 1, H, W) to a scalar."""
        return F.binary_cross_entropy_with_logits(logits, target)


class DiceCrossEntropy(nn.Module):
    """A weighted sum of Dice loss and binary cross-entropy (FANet, MSRF-Net, SSFormer)."""

    def __init__(self, dice_weight: float = 1.0, cross_entropy_weight: float = 1.0) -> None:
        """Args: dice_weight, cross_entropy_weight: of the sum."""
        super().__init__()
        self.dice_weight = dice_weight
        self.cross_entropy_weight = cross_entropy_weight

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Logits and target (B, 1, H, W) to a scalar."""
        cross_entropy = F.binary_cross_entropy_with_logits(logits, target)
        return self.dice_weight * pooled_dice_loss(logits, target) + self.cross_entropy_weight * cross_entropy
