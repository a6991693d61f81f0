"""The part of a training in which the prompt generator learns by itself, without the encoder and the decoder.

Ours; the paper trains all parts together from the first step. The generator learns from nothing, beside parts that
are pre-trained, and until it has learnt something its points tell the decoder nothing. A step of it costs half.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, distributed

from sac_lightning.data.sample import TrainingBatch
from sac_lightning.model.segment_any_cell import SAC
from sac_lightning.training.losses import generator_losses


def train_alone(model: SAC, batch: TrainingBatch) -> Mapping[str, Tensor]:
    """Return the loss of the generator, ``generator``, without a step of the encoder and the decoder."""
    maps = model.generate(batch["images"])
    assert maps is not None, "a share of the training is a generator's"
    loss = generator_losses(maps, batch["masks"], batch["instances"])
    if distributed.is_available() and distributed.is_initialized():
        # Processes exchange the gradients of every parameter.
        idle = [p.sum() for p in model.parameters() if p.requires_grad]
        loss = loss + 0 * torch.stack(idle).sum()
    return {"generator": loss}
