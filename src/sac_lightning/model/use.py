"""A trained model made ready to be used, and not trained any further: the same answers in less time."""

from torch import nn

from sac_lightning.model.lora import merge_lora
from sac_lightning.model.segment_any_cell import SAC

SILENT = 2e-5
"""Weight of a decoder below which what it adds to the generator's mask is no answer: SAM's logits are some tens at
most, so that is 1e-3 of a logit, a fourth of what bfloat16 leaves out of M."""


def prepare_for_use(model: nn.Module) -> None:
    """Merge LoRA into the layers that it adapts, and leave out a decoder that has not learnt to say anything.

    A decoder's answer is weighed by what it has come to be worth in training, see SAC.weigh_decoder. Where that
    is nothing, neither decoder nor image encoder need be run for the mask.

    Args:
        model: In eval mode. Its weights are no longer those of its checkpoint.
    """
    merge_lora(model)
    if isinstance(model, SAC) and model.decoder_weight is not None:
        model.is_silent = bool(model.decoder_weight.detach().abs() < SILENT)
