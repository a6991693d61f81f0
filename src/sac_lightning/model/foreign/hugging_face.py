"""The names of transformers' SamModel, as its conversion from segment-anything makes them.

The encodings of positions are tied there: a .safetensors file holds them once, a pytorch_model.bin twice.
"""

import re
from collections.abc import Mapping

from torch import Tensor

ENCODER = "vision_encoder."
SHARED = "shared_image_embedding.positional_embedding"
POSITIONS = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"

# In this order: the first layer of an MLP is called proj_in, so that its second is layers.0.
RENAMED = tuple(
    (re.compile(theirs), official)
    for theirs, official in (
        (r"^vision_encoder\.layers\.(\d+)\.layer_norm", r"image_encoder.blocks.\1.norm"),
        (r"^vision_encoder\.layers\.", "image_encoder.blocks."),
        (r"^vision_encoder\.patch_embed\.projection\.", "image_encoder.patch_embed.proj."),
        (r"^vision_encoder\.neck\.conv1\.", "image_encoder.neck.0."),
        (r"^vision_encoder\.neck\.layer_norm1\.", "image_encoder.neck.1."),
        (r"^vision_encoder\.neck\.conv2\.", "image_encoder.neck.2."),
        (r"^vision_encoder\.neck\.layer_norm2\.", "image_encoder.neck.3."),
        (r"^vision_encoder\.", "image_encoder."),
        (r"^prompt_encoder\.shared_embedding\.positional_embedding$", POSITIONS),
        (r"^prompt_encoder\.point_embed\.", "prompt_encoder.point_embeddings."),
        (r"^prompt_encoder\.mask_embed\.conv1\.", "prompt_encoder.mask_downscaling.0."),
        (r"^prompt_encoder\.mask_embed\.layer_norm1\.", "prompt_encoder.mask_downscaling.1."),
        (r"^prompt_encoder\.mask_embed\.conv2\.", "prompt_encoder.mask_downscaling.3."),
        (r"^prompt_encoder\.mask_embed\.layer_norm2\.", "prompt_encoder.mask_downscaling.4."),
        (r"^prompt_encoder\.mask_embed\.conv3\.", "prompt_encoder.mask_downscaling.6."),
        (r"^(mask_decoder\.transformer\..*)layer_norm", r"\1norm"),
        (r"^mask_decoder\.upscale_conv1\.", "mask_decoder.output_upscaling.0."),
        (r"^mask_decoder\.upscale_layer_norm\.", "mask_decoder.output_upscaling.1."),
        (r"^mask_decoder\.upscale_conv2\.", "mask_decoder.output_upscaling.3."),
        (r"^(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|iou_prediction_head))\.layers\.0\.", r"\1.layers.1."),
        (r"^(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|iou_prediction_head))\.proj_in\.", r"\1.layers.0."),
        (r"^(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|iou_prediction_head))\.proj_out\.", r"\1.layers.2."),
    )
)


def name_officially(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a SamModel by segment-anything's names; any other state as it is."""
    if not any(name.startswith(ENCODER) for name in state):
        return dict(state)
    official = {_rename(name): tensor for name, tensor in state.items() if name != SHARED}
    if SHARED in state:
        official.setdefault(POSITIONS, state[SHARED])
    return official


def _rename(name: str) -> str:
    for theirs, official in RENAMED:
        renamed, count = theirs.subn(official, name)
        if count:
            return renamed
    return name
