"""The loss of a decoder that answers one prompt with one nucleus."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sac_lightning.data.sample import TrainingBatch
from sac_lightning.model.nucleus_decoder import CELLS, NucleusMasks, cut_parts
from sac_lightning.model.promptable import Promptable
from sac_lightning.training.losses import separating_loss
from sac_lightning.training.nucleus_prompts import NucleusPrompts, draw_prompts

# The refined mask is what counts; the decoder's own keeps it from leaving all to the refinement.
COARSE_WEIGHT = 0.5


def nucleus_losses(model: nn.Module, batch: TrainingBatch, mask_loss: nn.Module) -> Mapping[str, Tensor]:
    """Return the parts of the training loss of one batch, whose sum is minimised.

    Args:
        model: Which decodes nuclei.
        batch: Windows with their label maps.
        mask_loss: Logits and target (P, 1, h, w) to a scalar.

    Returns:
        ``mask``, of the masks of single nuclei; ``iou``, of their estimated IoU; ``generator``.
    """
    assert isinstance(model, Promptable)
    image_embeddings, generator_logits = model.encode(batch["images"])
    assert generator_logits is not None
    instances = batch["instances"]
    assert model.nucleus_field is not None
    grid = image_embeddings.shape[-1]
    reach = model.nucleus_field * instances.shape[-1] / grid
    prompts = draw_prompts(instances, generator_logits, batch["seeds"], reach)
    masks = model.decode_nuclei(image_embeddings, generator_logits, prompts.owners, prompts.coords, prompts.labels)
    target = cut_targets(instances, prompts, masks, grid)
    coarse_target = (F.avg_pool2d(target, 2) > 0.5).float()
    logits = masks.logits.float()
    return {
        "mask": mask_loss(logits, target) + COARSE_WEIGHT * mask_loss(masks.coarse.float(), coarse_target),
        "generator": separating_loss(generator_logits.float(), instances),
        "iou": F.mse_loss(masks.iou.float(), measure_iou(logits, target)),
    }


def cut_targets(instances: Tensor, prompts: NucleusPrompts, masks: NucleusMasks, grid: int) -> Tensor:
    """Cut the truth of each mask (P, 1, s, s) out of label maps; of a point on no nucleus it is empty.

    Args:
        instances: (B, 1, S, S) label maps.
        prompts: That were answered.
        masks: The answers.
        grid: Side of the image embeddings, in tokens.
    """
    cells = F.interpolate(instances.float(), (grid * CELLS,) * 2, mode="nearest-exact")
    numbers = cut_parts(cells, prompts.owners, masks.corners * CELLS, masks.logits.shape[-1])
    nuclei = prompts.nuclei[:, None, None, None]
    return ((numbers == nuclei) & (nuclei > 0)).float()


def measure_iou(logits: Tensor, target: Tensor) -> Tensor:
    """Return the IoU (P,) of masks with their targets (P, 1, h, w), 0 where the target is empty.

    An empty mask of an empty target is no nucleus, either: the estimate is what drops false points.
    """
    with torch.no_grad():
        found, truth = (logits > 0).flatten(1), (target > 0.5).flatten(1)
        return (found & truth).sum(1) / (found | truth).sum(1).clamp(min=1)
