"""UCTransNet's own loss: Dice plus a cross-entropy in which nuclei and background have equal weight."""

import torch.nn.functional as F
from torch import Tensor, nn

# The official code adds 1e-5 to a numerator and a denominator that its class weights of 0.5 have quartered.
SMOOTHING = 4e-5


class DiceBalancedBCE(nn.Module):
    """A weighted sum of squared_dice_loss and balanced_bce; the official weights are 0.5 and 0.5."""

    def __init__(self, dice_weight: float = 0.5, bce_weight: float = 0.5) -> None:
        """Set the weights of the sum.

        Args:
            dice_weight: Weight of squared_dice_loss.
            bce_weight: Weight of balanced_bce.
        """
        super().__init__()
        self.dice_weight = dice_weight
        self.bce_weight = bce_weight

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss, a scalar, of logits and target, both (B, 1, H, W)."""
        return self.dice_weight * squared_dice_loss(logits, target) + self.bce_weight * balanced_bce(
            logits, target
        )


def squared_dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return the Dice loss with squares in the denominator.

    It is 1 - 2 sum(p g) / sum(p² + g²) per image, averaged over the images.

    Args:
        logits: (B, 1, H, W).
        target: (B, 1, H, W) in {0, 1}.
    """
    p, g = logits.sigmoid().flatten(1), target.flatten(1)
    return (1 - (2 * (p * g).sum(1) + SMOOTHING) / ((p * p).sum(1) + (g * g).sum(1) + SMOOTHING)).mean()


def balanced_bce(logits: Tensor, target: Tensor) -> Tensor:
    """Return half the mean cross-entropy of the batch's nucleus pixels plus half that of its background pixels.

    If the batch lacks one of the two classes, only the other half remains. The official code takes logarithms of
    probabilities, which torch clamps at -100; computing from logits needs no clamp, which is our choice.

    Args:
        logits: (B, 1, H, W).
        target: (B, 1, H, W) in {0, 1}.
    """
    error = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    nuclei = (error * target).sum() / target.sum().clamp(min=1)
    background = (error * (1 - target)).sum() / (1 - target).sum().clamp(min=1)
    return (nuclei + background) / 2
