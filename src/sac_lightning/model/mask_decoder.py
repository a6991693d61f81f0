"""SAM's mask decoder, for a batch of images with one prompt set each.

segment-anything's decoder takes one image and repeats its embedding for every prompt set. Here, image i goes with
prompt set i. Layers, their names and the results are those of segment-anything.
"""

import torch
from torch import Tensor

from sac_lightning.model.sam_modules import MaskDecoder as OfficialMaskDecoder
from sac_lightning.model.sam_modules import TwoWayTransformer

EMBEDDING_DIM = 256


class MaskDecoder(OfficialMaskDecoder):  # type: ignore[misc]
    """Maps image and prompt embeddings to masks and their predicted quality (4,058,340 parameters)."""

    def __init__(self) -> None:
        """Build SAM's decoder: two two-way transformer layers, one single mask and three alternative ones."""
        super().__init__(
            transformer_dim=EMBEDDING_DIM,
            transformer=TwoWayTransformer(depth=2, embedding_dim=EMBEDDING_DIM, mlp_dim=2048, num_heads=8),
        )

    def predict_masks(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Decode B images with one prompt set each.

        Args:
            image_embeddings: (B, 256, h, w).
            image_pe: (1, 256, h, w), the positional encoding of each cell of the grid.
            sparse_prompt_embeddings: (B, N, 256), one row per point; N may be 0.
            dense_prompt_embeddings: (B, 256, h, w).

        Returns:
            low_res_logits (B, 4, 4h, 4w), the single mask first, and their predicted IoU (B, 4).
        """
        batch, channels, h, w = image_embeddings.shape
        output_tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight]).expand(batch, -1, -1)
        tokens = torch.cat([output_tokens, sparse_prompt_embeddings], dim=1)
        # Channels last: the transformer takes grid cells as rows and would otherwise copy them for every product.
        source = (image_embeddings + dense_prompt_embeddings).contiguous(memory_format=torch.channels_last)
        image_pe = image_pe.contiguous(memory_format=torch.channels_last)
        tokens, source = self.transformer(source, image_pe.expand_as(source), tokens)

        iou_token, mask_tokens = tokens[:, 0], tokens[:, 1 : 1 + self.num_mask_tokens]
        source = source.transpose(1, 2).reshape(batch, channels, h, w)
        upscaled = self.output_upscaling(source)  # (B, 32, 4h, 4w)
        weights = [mlp(mask_tokens[:, i]) for i, mlp in enumerate(self.output_hypernetworks_mlps)]
        low_res_logits = torch.einsum("bmc,bchw->bmhw", torch.stack(weights, dim=1), upscaled)
        return low_res_logits, self.iou_prediction_head(iou_token)
