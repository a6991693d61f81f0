"""The methods that the paper ran itself, over the same parts: SAM, SAM-FT, MSA, LoRA and SAC.

They differ in what is added to SAM's image encoder and in what trains; any of them takes automatic points and
expert points. A model notes in ``settings`` what it was made with.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from sac_lightning.core.errors import UserError
from sac_lightning.core.limits import refuse_image_size
from sac_lightning.core.prompts import Generator, Prompts
from sac_lightning.model.adapter import Adapter, add_adapters
from sac_lightning.model.build import initialise_positions, load_base
from sac_lightning.model.image_encoder import NECK_CHANNELS, Backbone, ImageEncoder
from sac_lightning.model.lora import add_lora, lora_layers
from sac_lightning.model.mask_decoder import MaskDecoder
from sac_lightning.model.point_selection import PointSelection
from sac_lightning.model.prompt_generator import make_generator
from sac_lightning.model.sam_modules import PromptEncoder
from sac_lightning.model.segment_any_cell import SAC
from sac_lightning.model.settings import OWN, choose_backbone, describe_model

__all__ = ["Generator", "Prompts", "msa", "sac", "sam", "sam_ft"]  # The first two are where checkpoints know them.


AUTOMATIC = Prompts()
ONE_EXPERT_POINT = Prompts(points=0, experts=1)
NO_POINTS = Prompts(points=0)


def sam(
    backbone: Backbone | str = "vit_t",
    prompts: Prompts = ONE_EXPERT_POINT,
    image_size: int | None = None,
    *,
    weights: str | None = OWN,
) -> SAC:
    """SAM as it is: zero-shot. Only a prompt generator trains, if there are automatic points. See sac."""
    sizes = choose_backbone(backbone, weights)
    model = _assemble(sizes, prompts, image_size or sizes.native_size)
    return _finish(model, "sam", backbone, sizes, prompts)


def sam_ft(
    backbone: Backbone | str = "vit_t",
    prompts: Prompts = AUTOMATIC,
    image_size: int | None = None,
    *,
    weights: str | None = OWN,
) -> SAC:
    """SAM-FT: the encoder's neck and the mask decoder train (Table 6's 12,746,129 with the UNet). See sac."""
    sizes = choose_backbone(backbone, weights)
    model = _assemble(sizes, prompts, image_size or sizes.native_size)
    _unfreeze(model, sizes, [model.image_encoder.neck])
    return _finish(model, "sam_ft", backbone, sizes, prompts)


def msa(
    backbone: Backbone | str = "vit_t",
    prompts: Prompts = NO_POINTS,
    image_size: int | None = None,
    *,
    weights: str | None = OWN,
) -> SAC:
    """Medical SAM Adapter: two adapters per block and the mask decoder train. See sac."""
    sizes = choose_backbone(backbone, weights)
    model = _assemble(sizes, prompts, image_size or sizes.native_size)
    add_adapters(model.image_encoder)
    _unfreeze(model, sizes, [m for m in model.image_encoder.modules() if isinstance(m, Adapter)])
    return _finish(model, "msa", backbone, sizes, prompts)


def sac(
    backbone: Backbone | str = "vit_t",
    prompts: Prompts = AUTOMATIC,
    image_size: int | None = None,
    rank: int | None = None,
    alpha: float | None = None,
    dropout: float = 0.0,
    blocks: Sequence[int] | str | None = "all",
    projections: Sequence[str] = "qv",
    *,
    weights: str | None = OWN,
) -> SAC:
    """SAC, or "LoRA" where there are no automatic points: LoRA (on q and v) and the mask decoder train.

    Args:
        backbone: ``vit_t``, ``vit_b``, ``vit_l`` or ``vit_h``: the model comes with its weights loaded. Or a
            Backbone: the model is random until build.load_base.
        prompts: Which points.
        image_size: Side of the input in pixels. Default: the one that the backbone was trained at.
        rank: LoRA's rank. Default: dim / 4, which Table 6's count requires.
        alpha: Default: the rank.
        dropout: On the input of LoRA.
        blocks: The blocks that get LoRA: their indices, "global" for those with global attention, or "all" (None).
        projections: What LoRA adapts in them, any of q, k, v and o. Default: q and v (Eq. 1).
        weights: Beside the name of a backbone: the weights to load if they are not its own, by name or by the path
            of a file, see docs/foreign-weights.md; or None for random ones, where the whole encoder trains.

    Raises:
        UserError: There is no such backbone, its weights cannot be had, or the image size is no multiple of its
            patch.
    """
    sizes = choose_backbone(backbone, weights)
    model = _assemble(sizes, prompts, image_size or sizes.native_size)
    lora_rank = sizes.dim // 4 if rank is None else rank
    add_lora(model.image_encoder, lora_rank, alpha, dropout, _choose_blocks(blocks, sizes), projections)
    layers = list(lora_layers(model.image_encoder))
    _unfreeze(model, sizes, layers)
    if sizes.weights is not None:
        for layer in layers:
            layer.base.requires_grad_(False)
    options = {"rank": rank, "alpha": alpha, "dropout": dropout, "blocks": blocks, "projections": projections}
    return _finish(model, "sac", backbone, sizes, prompts, options)


def _assemble(backbone: Backbone, prompts: Prompts, image_size: int) -> SAC:
    """SAM with its prompt generator, frozen but for the generator."""
    selection = PointSelection(
        prompts.points,
        prompts.selection,
        prompts.threshold,
        prompts.fill_with_random,
        prompts.keep_raw_centroid,
        prompts.min_area,
        prompts.margin,
    )
    refuse_image_size(image_size, backbone.patch, backbone.name)
    grid = image_size // backbone.patch
    model = SAC(
        image_encoder=ImageEncoder(backbone),
        prompt_generator=make_generator(prompts.generator) if prompts.points else None,
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
        refine=prompts.refine,
        nucleus_field=min(prompts.field, grid) if prompts.objective == "instances" else None,
    )
    for part in (model.image_encoder, model.prompt_encoder, model.mask_decoder):
        part.requires_grad_(False)
    return model


def _choose_blocks(blocks: Sequence[int] | str | None, backbone: Backbone) -> Sequence[int] | None:
    """Return the indices of blocks that go by a name; None for all of them."""
    if not isinstance(blocks, str):
        return blocks
    if blocks not in ("all", "global"):
        raise UserError(f"model.blocks is {blocks}: choose all, global, or a list such as [0, 3]")
    return backbone.global_blocks if blocks == "global" else None


def _unfreeze(model: SAC, backbone: Backbone, parts: Sequence[nn.Module]) -> None:
    """Let the mask decoder and the given parts train, and the whole encoder if it has no weights."""
    for part in parts:
        part.requires_grad_(True)
    model.mask_decoder.requires_grad_(True)
    model.weigh_decoder()
    if backbone.weights is None:
        model.image_encoder.requires_grad_(True)


def _finish(
    model: SAC,
    method: str,
    given: Backbone | str,
    backbone: Backbone,
    prompts: Prompts,
    options: Mapping[str, Any] | None = None,
) -> SAC:
    """Note on a model what it was made with, and load the weights of a backbone that was given by its name."""
    image_size = model.prompt_encoder.input_image_size[0]
    model.settings = describe_model(method, backbone, prompts, image_size, options or {})
    initialise_positions(model)
    if isinstance(given, str) and backbone.weights is not None:
        load_base(model, model.settings)
    return model
