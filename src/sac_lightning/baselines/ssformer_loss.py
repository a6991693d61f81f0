"""SSFormer's own loss as its code has it: cross-entropy + Dice, in two ways not the usual ones."""

import torch.nn.functional as F
from torch import Tensor, nn


class PixelwiseDiceCrossEntropy(nn.Module):
    """Binary cross-entropy + a Dice loss of each pixel by itself, 1 - (2 p g + 1) / (p + g + 1); the mean of both.

    A Dice loss proper has the sums over all pixels above and below the fraction bar. Pixel by pixel it is
    p / (p + 1) in the background and (1 - p) / (p + 2) in a nucleus.
    """

    def __init__(self, sigmoid_twice: bool = True) -> None:
        """Chooses what is compared with the target.

        Args:
            sigmoid_twice: Whether a sigmoid is taken before the one that both parts of the loss take themselves,
                as in the official training. All probabilities lie between 0.5 and 0.73 then, so that a perfect
                pixel still costs 0.41 in a nucleus and 1.03 in the background; a prediction is nucleus where its
                logit is above 0 all the same.
        """
        super().__init__()
        self.sigmoid_twice = sigmoid_twice

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Logits and target (B, 1, H, W) to a scalar."""
        if self.sigmoid_twice:
            logits = logits.sigmoid()
        p = logits.sigmoid()
        dice = 1 - (2 * p * target + 1) / (p + target + 1)
        return F.binary_cross_entropy_with_logits(logits, target) + dice.mean()
