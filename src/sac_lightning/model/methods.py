"""The methods that the paper ran itself, over the same parts: SAM, SAM-FT, MSA, LoRA and SAC.

They differ in what is added to SAM's image encoder and in what trains; any of them takes automatic points and
expert points. Weights are loaded afterwards (``sac_lightning.model.build``).
"""

from collections.abc import Sequence

from segment_anything.modeling import PromptEncoder
from torch import nn

from sac_lightning.core.errors import UserError
from sac_lightning.core.limits import refuse_image_size
from sac_lightning.core.prompts import Generator, Prompts
from sac_lightning.model.adapter import Adapter, add_adapters
from sac_lightning.model.image_encoder import NECK_CHANNELS, Backbone, ImageEncoder
from sac_lightning.model.lora import add_lora, lora_layers
from sac_lightning.model.mask_decoder import MaskDecoder
from sac_lightning.model.point_selection import PointSelection
from sac_lightning.model.prompt_generator import UNet
from sac_lightning.model.segment_any_cell import SAC

__all__ = ["Generator", "Prompts", "msa", "sac", "sam", "sam_ft"]  # The first two are where checkpoints know them.


def sam(backbone: Backbone, prompts: Prompts, image_size: int) -> SAC:
    """SAM as it is: zero-shot. Only a prompt generator trains, if there are automatic points."""
    selection = PointSelection(
        prompts.points,
        prompts.selection,
        prompts.threshold,
        prompts.fill_with_random,
        prompts.keep_raw_centroid,
    )
    refuse_image_size(image_size, backbone.patch, backbone.name)
    grid = image_size // backbone.patch
    model = SAC(
        image_encoder=ImageEncoder(backbone),
        prompt_generator=UNet(prompts.generator.init_features, prompts.generator.depth)
        if prompts.points
        else None,
        point_selection=selection,
        prompt_encoder=PromptEncoder(
            embed_dim=NECK_CHANNELS,
            image_embedding_size=(grid, grid),
            input_image_size=(image_size, image_size),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(),
        map_size=prompts.map_size,
        dense=prompts.dense,
    )
    for part in (model.image_encoder, model.prompt_encoder, model.mask_decoder):
        part.requires_grad_(False)
    return model


def sam_ft(backbone: Backbone, prompts: Prompts, image_size: int) -> SAC:
    """SAM-FT: the encoder's neck and the mask decoder train (Table 6's 12,746,129 with the UNet)."""
    model = sam(backbone, prompts, image_size)
    return _unfreeze(model, backbone, [model.image_encoder.neck])


def msa(backbone: Backbone, prompts: Prompts, image_size: int) -> SAC:
    """Medical SAM Adapter: two adapters per block and the mask decoder train."""
    model = sam(backbone, prompts, image_size)
    add_adapters(model.image_encoder)
    return _unfreeze(model, backbone, [m for m in model.image_encoder.modules() if isinstance(m, Adapter)])


def sac(
    backbone: Backbone,
    prompts: Prompts,
    image_size: int,
    rank: int | None = None,
    alpha: float | None = None,
    dropout: float = 0.0,
    blocks: Sequence[int] | str | None = "all",
    projections: Sequence[str] = ("q", "v"),
) -> SAC:
    """SAC, or "LoRA" where there are no automatic points: LoRA (on q and v) and the mask decoder train.

    Args:
        backbone: Sizes of the image encoder.
        prompts: Which points.
        image_size: Side of the input in pixels.
        rank: LoRA's rank. Default: dim / 4, which Table 6's count requires.
        alpha: Default: the rank.
        dropout: On the input of LoRA.
        blocks: The blocks that get LoRA: their indices, "global" for those with global attention, or "all" (None).
        projections: What LoRA adapts in them, any of q, k, v and o. Default: q and v (Eq. 1).
    """
    model = sam(backbone, prompts, image_size)
    rank = backbone.dim // 4 if rank is None else rank
    add_lora(model.image_encoder, rank, alpha, dropout, _choose_blocks(blocks, backbone), projections)
    layers = list(lora_layers(model.image_encoder))
    model = _unfreeze(model, backbone, layers)
    if backbone.weights is not None:
        for layer in layers:
            layer.base.requires_grad_(False)
    return model


def _choose_blocks(blocks: Sequence[int] | str | None, backbone: Backbone) -> Sequence[int] | None:
    """Return the indices of blocks that go by a name; None for all of them."""
    if not isinstance(blocks, str):
        return blocks
    if blocks not in ("all", "global"):
        raise UserError(f"model.blocks is {blocks}: choose all, global, or a list such as [0, 3]")
    return backbone.global_blocks if blocks == "global" else None


def _unfreeze(model: SAC, backbone: Backbone, parts: Sequence[nn.Module]) -> SAC:
    """Let the mask decoder and the given parts train, and the whole encoder if it has no weights."""
    for part in parts:
        part.requires_grad_(True)
    model.mask_decoder.requires_grad_(True)
    if backbone.weights is None:
        model.image_encoder.requires_grad_(True)
    return model
