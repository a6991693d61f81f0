"""UCTransNet's own loss: Dice and a cross-entropy in which nuclei and background weigh the same."""

import torch.nn.functional as F
from torch import Tensor, nn

# The official code adds 1e-5 to a numerator and a denominator that its class weights of 0.5 have quartered.
SMOOTHING = 4e-5


class DiceBalancedBCE(nn.Module):
    """A weighted sum of squared_dice_loss and balanced_bce; the official weights are 0.5 and 0.5."""

    def __init__(self, dice_weight: float = 0.5, bce_weight: float = 0.5) -> None:
        """Args: dice_weight, bce_weight: of the sum."""
        super().__init__()
        self.dice_weight = dice_weight
        self.bce_weight = bce_weight

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Logits and target (B, 1, H, W) to a scalar."""
        return self.dice_weight * squared_dice_loss(logits, target) + self.bce_weight * balanced_bce(
            logits, target
        )


def squared_dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Dice loss with squares in the denominator: 1 - 2 sum(p g) / sum(p² + g²) per image, the mean over images.

    Args:
        logits: (B, 1, H, W).
        target: (B, 1, H, W) in {0, 1}.
    """
    p, g = logits.sigmoid().flatten(1), target.flatten(1)
    return (1 - (2 * (p * g).sum(1) + SMOOTHING) / ((p * p).sum(1) + (g * g).sum(1) + SMOOTHING)).mean()


def balanced_bce(logits: Tensor, target: Tensor) -> Tensor:
    """Half the mean cross-entropy of the batch's nucleus pixels plus half that of its background pixels.

    A batch without one of the two has the other half alone. The official code takes logarithms of
    probabilities, which torch cuts at -100; logits need no cut: our choice.

    Args:
        logits: (B, 1, H, W).
        target: (B, 1, H, W) in {0, 1}.
    """
    error = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    nuclei = (error * target).sum() / target.sum().clamp(min=1)
    background = (error * (1 - target)).sum() / (1 - target).sum().clamp(min=1)
    return (nuclei + background) / 2
