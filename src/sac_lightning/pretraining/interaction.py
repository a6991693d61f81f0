"""A simulated user who corrects a SAM: a click at the middle of an object, then at the middle of each error."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sac_lightning.model.segment_any_cell import SAC
from sac_lightning.pretraining.losses import mask_iou

CLICKS = 3
"""Clicks by which a model is judged: the first one and two corrections."""


def decode(
    sam: SAC,
    embeddings: Tensor,
    coords: Tensor | None = None,
    labels: Tensor | None = None,
    boxes: Tensor | None = None,
    mask_logits: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Run SAM's prompt encoder and mask decoder.

    Args:
        sam: The model.
        embeddings: (N, 256, h, w), the image embedding for each set of prompts.
        coords: (N, P, 2) xy in input pixels.
        labels: (N, P): 1 on the object, 0 off it, -1 for padding.
        boxes: (N, 4): left, top, right and bottom in input pixels.
        mask_logits: (N, 1, 4h, 4w), the logits of an earlier answer.

    Returns:
        Logits (N, 4, 4h, 4w), first the single mask and then the three; and the estimates of their IoU, (N, 4).
    """
    if coords is None or labels is None:
        coords = torch.zeros(len(embeddings), 0, 2, device=embeddings.device)
        labels = coords.new_zeros(len(embeddings), 0)
    image_pe, sparse, dense = sam.encode_prompts(coords, labels, boxes, mask_logits)
    logits, iou = sam.mask_decoder.predict_masks(embeddings, image_pe, sparse, dense)
    return logits.float(), iou.float()


def draw_corrections(
    logits: Tensor, target: Tensor, number: int, side: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw random clicks on what is wrong, or on the object if nothing is.

    Args:
        logits: (N, g, g), the logits of the answers.
        target: (N, g, g) in [0, 1].
        number: Clicks per object.
        side: Side of the image in pixels.
        generator: Source of the random places.

    Returns:
        Coordinates (N, number, 2) xy in pixels, at the centres of grid cells, and labels (N, number): 1 on the
        object, 0 elsewhere.
    """
    truth = (target > 0.5).flatten(1)
    wrong = ((logits > 0).flatten(1) != truth).float()
    wrong += 1e-6 * truth + 1e-12  # Fall back on the object, then on any cell.
    cells = torch.multinomial(wrong.cpu(), number, replacement=True, generator=generator).to(logits.device)
    grid, cell = logits.shape[-1], side / logits.shape[-1]
    coords = torch.stack([cells % grid, cells // grid], dim=-1) * cell + (cell - 1) / 2
    return coords, truth.gather(1, cells).long()


@dataclass
class Answers:
    """The answers to a sequence of clicks on each of N objects.

    Attributes:
        best: (N, clicks) IoU of the best of the three masks after each click.
        single: (N, clicks) IoU of the single mask after each click.
        masks: (N, S, S) bool, the best of the three masks after the first click.
        coords: (N, clicks, 2) xy in input pixels.
        labels: (N, clicks): 1 on the object, 0 off it.
    """

    best: Tensor
    single: Tensor
    masks: Tensor
    coords: Tensor
    labels: Tensor


@torch.inference_mode()
def interact(sam: SAC, embeddings: Tensor, truths: Tensor, clicks: int) -> Answers:
    """Click on objects as SAM's authors do in their evaluation, always at the point farthest from the border.

    The first click is at the middle of the object. Each further click is at the middle of the larger error of the
    mask that the model itself rates best: either what the mask misses (label 1) or what it wrongly includes (label
    0).

    Args:
        sam: The model.
        embeddings: (N, 256, h, w), the image embedding for each object.
        truths: (N, S, S) bool, the objects, in input pixels.
        clicks: Number of clicks per object.
    """
    side = truths.shape[-1]
    coords, labels = torch.zeros(len(truths), 0, 2), torch.zeros(len(truths), 0, dtype=torch.long)
    wrong = [truth.numpy() for truth in truths.cpu()]
    signs = [1] * len(truths)
    best, single, first = [], [], None
    for _ in range(clicks):
        middles = torch.tensor([find_middle(mask) for mask in wrong], dtype=torch.float32)
        coords = torch.cat([coords, middles[:, None]], dim=1)
        labels = torch.cat([labels, torch.tensor(signs)[:, None]], dim=1)
        logits, iou = decode(sam, embeddings, coords.to(embeddings.device), labels.to(embeddings.device))
        masks = F.interpolate(logits, (side, side), mode="bilinear", align_corners=False) > 0
        ious = mask_iou(masks, truths[:, None])
        best.append(ious[:, 1:].amax(1).cpu())
        single.append(ious[:, 0].cpu())
        if first is None:
            first = masks[torch.arange(len(masks)), 1 + ious[:, 1:].argmax(1)].cpu()
        rated_best = masks[torch.arange(len(masks)), 1 + iou[:, 1:].argmax(1)]
        wrong, signs = _find_errors(rated_best.cpu(), truths.cpu())
    assert first is not None
    return Answers(torch.stack(best, 1), torch.stack(single, 1), first, coords, labels)


def find_middle(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """Return the pixel (x, y) of a mask farthest from its border and the image's; (0, 0) for an empty mask."""
    distance = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    y, x = np.unravel_index(distance.argmax(), distance.shape)
    return max(int(x) - 1, 0), max(int(y) - 1, 0)


def _find_errors(masks: Tensor, truths: Tensor) -> tuple[list[NDArray[np.bool_]], list[int]]:
    """Return the larger error of each object, missed or wrongly included pixels, and the label of a click.

    If nothing is wrong, the region is the object itself.
    """
    regions, signs = [], []
    for mask, truth in zip(masks.numpy(), truths.numpy(), strict=True):
        missed, extra = truth & ~mask, mask & ~truth
        if missed.sum() >= extra.sum():
            regions.append(missed if missed.any() else truth)
            signs.append(1)
        else:
            regions.append(extra)
            signs.append(0)
    return regions, signs
