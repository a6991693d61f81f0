"""Heads that train the image embedding directly and are dropped after the pre-training."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sac_lightning.model.image_encoder import NECK_CHANNELS

CHANNELS = 32


class SimilarityHead(nn.Module):
    """A map from the embedding to features that are alike on pixels that belong together.

    ``scale * cos(feature at a click, feature at every cell) + bias`` is trained to be the logit of the mask of the
    object that was clicked.
    """

    def __init__(self) -> None:
        """Build two upsamplings by two, as in SAM's mask decoder."""
        super().__init__()
        self.upsampling = nn.Sequential(
            nn.ConvTranspose2d(NECK_CHANNELS, 64, kernel_size=2, stride=2),
            nn.GELU(),
            nn.ConvTranspose2d(64, CHANNELS, kernel_size=2, stride=2),
        )
        self.scale = nn.Parameter(torch.tensor(10.0))
        self.bias = nn.Parameter(torch.tensor(-5.0))

    def forward(self, embeddings: Tensor, clicks: Tensor, side: int) -> Tensor:
        """Return the logits of the pixels that are similar to the clicked ones.

        Args:
            embeddings: (B, 256, h, w).
            clicks: (B, Q, 2) xy in pixels.
            side: Side of the image in pixels.

        Returns:
            (B, Q, 4h, 4w).
        """
        features = F.normalize(self.upsampling(embeddings).float(), dim=1)
        height, width = features.shape[-2:]
        column = (clicks[..., 0] * width / side).long().clamp(0, width - 1)
        row = (clicks[..., 1] * height / side).long().clamp(0, height - 1)
        flat = features.flatten(2)  # (B, C, cells)
        index = (row * width + column)[:, None].expand(-1, flat.shape[1], -1)
        clicked = flat.gather(2, index)  # (B, C, Q)
        cosine = torch.einsum("bcq,bcn->bqn", clicked, flat)
        logits: Tensor = self.scale * cosine + self.bias
        return logits.view(*clicks.shape[:2], height, width)


class ReconstructionHead(nn.Module):
    """A linear map from the embedding back to the pixels of each patch.

    It keeps the embedding from losing what SAC's dense task needs.
    """

    def __init__(self, patch: int) -> None:
        """Build the layers.

        Args:
            patch: Side of a patch in pixels.
        """
        super().__init__()
        self.pixels = nn.Sequential(nn.Conv2d(NECK_CHANNELS, 3 * patch**2, kernel_size=1), nn.PixelShuffle(patch))

    def forward(self, embeddings: Tensor, images: Tensor) -> Tensor:
        """Return the mean absolute error, in standard deviations, of the reconstruction of images (B, 3, S, S)."""
        return F.l1_loss(self.pixels(embeddings).float(), images)
