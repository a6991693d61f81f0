"""The losses of the paper: BCE for the generator (Eq. 3), focal + Dice or DiceCE for the mask (A.2).

Ours is that of a generator which tells touching nuclei apart.
"""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import sigmoid_focal_loss

from sac_lightning.model.prompt_generator import DISTANCE, EDGE, INTERIOR, MASK
from sac_lightning.model.promptable import Segmentation
from sac_lightning.training.separation_targets import separation_targets

# Of a separating generator: the edge serves only to make the other maps sharp.
EDGE_WEIGHT = 0.5


def focal_loss(logits: Tensor, target: Tensor, gamma: float = 2.0, alpha: float | None = None) -> Tensor:
    """Return the focal loss (Eq. 6; Lin et al. 2017), the mean over pixels.

    Args:
        logits: (B, 1, H, W).
        target: (B, 1, H, W) in {0, 1}.
        gamma: Focusing parameter.
        alpha: Weight of the nucleus pixels; the background has 1 - alpha. Default: no weights, as the paper names
            alpha without a value.
    """
    # torchvision takes a negative alpha for "unweighted".
    return sigmoid_focal_loss(logits, target, -1 if alpha is None else alpha, gamma, reduction="mean")  # type: ignore[no-any-return]


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return the Dice loss (Eq. 7; Milletari et al. 2016): the mean over images of 1 - 2 sum(p g) / sum(p + g).

    One is added above and below the fraction, as SAM's training does, so that an empty image is defined.

    Args:
        logits: (B, 1, H, W).
        target: (B, 1, H, W) in {0, 1}.
    """
    p, g = logits.sigmoid().flatten(1), target.flatten(1)
    return (1 - (2 * (p * g).sum(1) + 1) / (p.sum(1) + g.sum(1) + 1)).mean()


class FocalDice(nn.Module):
    """SAM's mask loss: 20 focal + 1 Dice (section 4.1.3, "as per SAM's methodology")."""

    def __init__(
        self,
        focal_weight: float = 20.0,
        dice_weight: float = 1.0,
        gamma: float = 2.0,
        alpha: float | None = None,
    ) -> None:
        """Note the weights of the two losses; ``gamma`` and ``alpha`` are those of focal_loss."""
        super().__init__()
        self.focal_weight = focal_weight
        self.dice_weight = dice_weight
        self.gamma = gamma
        self.alpha = alpha

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss, a scalar, of logits and target (B, 1, H, W)."""
        focal = focal_loss(logits, target, self.gamma, self.alpha)
        return self.focal_weight * focal + self.dice_weight * dice_loss(logits, target)


class DiceCE(nn.Module):
    """DiceCELoss (Eq. 8): Dice loss + binary cross-entropy."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss, a scalar, of logits and target (B, 1, H, W)."""
        return dice_loss(logits, target) + F.binary_cross_entropy_with_logits(logits, target)


def generator_loss(generator_logits: Tensor, target: Tensor) -> Tensor:
    """Return the BCE of the prompt generator (Eq. 3).

    Args:
        generator_logits: (B, 1, m, m).
        target: (B, 1, H, W) in {0, 1}; compared at the generator's resolution (nearest pixel).
    """
    small = F.interpolate(target, generator_logits.shape[-2:], mode="nearest-exact")
    return F.binary_cross_entropy_with_logits(generator_logits, small)


def separating_loss(logits: Tensor, instances: Tensor) -> Tensor:
    """Return the loss of a separating generator's maps.

    Mask and interior: BCE (Eq. 3) + Dice; distance: BCE on the soft target; edge: BCE, at half the weight.

    Args:
        logits: (B, 4, m, m).
        instances: (B, 1, H, W) label map of each image, 0 = background; compared at the generator's resolution
            (nearest pixel).
    """
    small = F.interpolate(instances.float(), logits.shape[-2:], mode="nearest-exact")[:, 0]
    targets = torch.from_numpy(np.stack([separation_targets(labels) for labels in small.long().cpu().numpy()]))
    targets = targets.to(logits.device)
    entropies = [F.binary_cross_entropy_with_logits(logits[:, part], targets[:, part]) for part in range(4)]
    overlaps = [dice_loss(logits[:, [part]], targets[:, [part]]) for part in (MASK, INTERIOR)]
    edge = EDGE_WEIGHT * entropies[EDGE]
    return torch.stack([entropies[MASK], entropies[INTERIOR], entropies[DISTANCE], edge, *overlaps]).sum()


def generator_losses(maps: Tensor, target: Tensor, instances: Tensor | None) -> Tensor:
    """Return the loss of a generator that separates touching nuclei or does not, see segmentation_losses."""
    if maps.shape[1] == 1:
        return generator_loss(maps.float(), target)
    assert instances is not None, "a separating generator learns from nuclei"
    return separating_loss(maps.float(), instances)


def iou_loss(iou: Tensor, logits: Tensor, target: Tensor) -> Tensor:
    """Return SAM's loss of a mask's quality: squared error between the predicted and the real IoU.

    The paper does not mention it. Without it the decoder's IoU head would train on nothing while Table 6
    counts it as trained, and "producing segmentation masks and scores as outputs" (section 3.5) needs it.

    Args:
        iou: (B,), the model's estimate.
        logits: (B, 1, H, W).
        target: (B, 1, H, W) in {0, 1}.
    """
    prediction = (logits.detach() > 0).to(target.dtype).flatten(1)
    truth = target.flatten(1)
    intersection = (prediction * truth).sum(1)
    union = prediction.sum(1) + truth.sum(1) - intersection
    return F.mse_loss(iou, (intersection + 1) / (union + 1))


def segmentation_losses(
    output: Segmentation, target: Tensor, mask_loss: nn.Module, instances: Tensor | None = None
) -> Mapping[str, Tensor]:
    """Return the parts of the training loss of one batch, whose sum is minimised.

    Args:
        output: What the model gives.
        target: (B, 1, H, W) in {0, 1}.
        mask_loss: Logits and target (B, 1, H, W) to a scalar.
        instances: (B, 1, H, W) label maps, which a separating generator learns from.

    Returns:
        ``mask`` always, ``generator`` and ``iou`` where the model has these outputs.
    """
    logits = output.logits.float()
    losses = {"mask": mask_loss(logits, target)}
    if output.generator_logits is not None:
        losses["generator"] = generator_losses(output.generator_logits, target, instances)
    if output.iou is not None:
        losses["iou"] = iou_loss(output.iou.float(), logits, target)
    return losses
