"""segment-anything's own image encoder, with the weights and the LoRA layers of one of ours."""

from functools import partial

from segment_anything.modeling import ImageEncoderViT
from torch import nn

from sac_lightning.model.image_encoder import Backbone, Block, ImageEncoder


def build_official_encoder(backbone: Backbone) -> nn.Module:
    """Build the official encoder of these sizes, with random weights.

    Args:
        backbone: The sizes; ``native_size`` is the size of the images.
    """
    return ImageEncoderViT(  # type: ignore[no-any-return]
        img_size=backbone.native_size,
        patch_size=backbone.patch,
        embed_dim=backbone.dim,
        depth=backbone.depth,
        num_heads=backbone.heads,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=backbone.window,
        global_attn_indexes=backbone.global_blocks,
    )


def convert_to_official(encoder: ImageEncoder, backbone: Backbone) -> nn.Module:
    """Build the official encoder with an encoder's own parameters, frozen and LoRA alike, at the native size."""
    official = build_official_encoder(backbone)
    state = encoder.state_dict()
    plain = {name.replace(".base.", "."): tensor for name, tensor in state.items()}
    added = {name for name in plain if name not in official.state_dict()}
    official.load_state_dict({name: tensor for name, tensor in plain.items() if name not in added}, strict=True)
    official.requires_grad_(False)
    if added:
        for theirs, ours in zip(official.get_submodule("blocks").children(), encoder.blocks, strict=True):
            assert isinstance(ours, Block)
            theirs.get_submodule("attn").register_module("qkv", ours.attn.qkv)
    return official.train(encoder.training)
