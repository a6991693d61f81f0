"""The losses of the pre-training, which compare masks on the cells of the decoder's grid."""

import torch
import torch.nn.functional as F
from torch import Tensor


def coverage(masks: Tensor, grid: int) -> Tensor:
    """Return the share of each grid cell that a mask covers.

    Args:
        masks: (..., S, S) bool.
        grid: Cells along a side; divides S.

    Returns:
        (..., grid, grid) float in [0, 1].
    """
    flat = masks.reshape(-1, 1, *masks.shape[-2:]).float()
    pooled = F.avg_pool2d(flat, masks.shape[-1] // grid)
    return pooled.view(*masks.shape[:-2], grid, grid)


def balanced_bce(logits: Tensor, target: Tensor) -> Tensor:
    """Return the cross-entropy (...,) in which object and background have equal weight, however small the object.

    Args:
        logits: (..., h, w).
        target: (..., h, w) in [0, 1], broadcast against the logits.
    """
    target = target.expand_as(logits)
    share = target.mean((-2, -1), keepdim=True).clamp(1e-4, 1 - 1e-4)
    weight = 0.5 * (target / share + (1 - target) / (1 - share))
    return F.binary_cross_entropy_with_logits(logits, target, weight, reduction="none").mean((-2, -1))


def focal(logits: Tensor, target: Tensor) -> Tensor:
    """Return the focal loss (...,) (gamma 2, no alpha; Lin et al. 2017) for targets in [0, 1].

    As in Li et al.'s quality focal loss, the modulating factor is the squared distance to the target; for targets
    in {0, 1} it is the same as Lin et al.'s.
    """
    target = target.expand_as(logits)
    cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return ((logits.sigmoid() - target) ** 2 * cross_entropy).mean((-2, -1))


def dice(logits: Tensor, target: Tensor) -> Tensor:
    """Return the Dice loss (...,), with one added to numerator and denominator, as in SAM's."""
    p, g = logits.sigmoid().flatten(-2), target.expand_as(logits).flatten(-2)
    return 1 - (2 * (p * g).sum(-1) + 1) / (p.sum(-1) + g.sum(-1) + 1)


def mask_loss(logits: Tensor, target: Tensor, focus: float) -> Tensor:
    """Return the Dice loss plus a blend of balanced cross-entropy and 20 times the focal loss: (...,).

    Args:
        logits: (..., h, w).
        target: (..., h, w) in [0, 1].
        focus: Share of the focal loss, in [0, 1]. SAM's 20 focal + 1 Dice alone (focus 1) stays on a plateau,
            predicting everything or nothing, for its first hundreds of steps; balanced cross-entropy (focus 0)
            leaves it.
    """
    blend = (1 - focus) * balanced_bce(logits, target) + focus * 20 * focal(logits, target)
    return blend + dice(logits, target)


def iou(logits: Tensor, target: Tensor) -> Tensor:
    """Return the IoU (...,) of the masks logits > 0 and target > 0.5; it is 1 where both are empty."""
    return mask_iou(logits > 0, target > 0.5)


def mask_iou(masks: Tensor, truths: Tensor) -> Tensor:
    """Return the IoU (...,) of boolean masks (..., h, w) that broadcast; it is 1 where both are empty."""
    # int32 can count any mask's pixels and is summed twice as fast as torch's default, int64.
    intersection, union = (m.sum((-2, -1), dtype=torch.int32) for m in (masks & truths, masks | truths))
    return (intersection + (union == 0)) / (union + (union == 0))
