"""SSFormer (Wang et al. 2022, "Stepwise Feature Fusion: Local Guides Global"), in its sizes S and L.

SegFormer's pyramid transformer (MiT) gives features at 1/4, 1/8, 1/16 and 1/32 of the image's resolution. The
progressive locality decoder first looks at the neighbourhood within each level (the paper's local emphasis), then
fuses the levels one by one, from the coarsest to the finest (its stepwise feature aggregation).
"""

import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sac_lightning.baselines.network import IMAGENET_MEAN, IMAGENET_STD, Network
from sac_lightning.baselines.pretrained_state import download_state
from sac_lightning.core.heads import Heads

# Of the coarsest features. With multiples of it, the attention's windows divide the finer features evenly.
STRIDE = 32


class LocalEmphasis(nn.Sequential):
    """A 3x3 convolution without bias, then ReLU, twice."""

    def __init__(self, channels: int, dim: int) -> None:
        """Build the layers.

        Args:
            channels: Channels of the encoder's features.
            dim: Channels of the result.
        """
        super().__init__(
            nn.Conv2d(channels, dim, 3, padding=1, bias=False),
            nn.ReLU(),
            nn.Conv2d(dim, dim, 3, padding=1, bias=False),
            nn.ReLU(),
        )


class Fusion(nn.Module):
    """One step of the aggregation: the coarser levels fused so far and the next finer level become one."""

    def __init__(self, dim: int) -> None:
        """Build the layers.

        Args:
            dim: Channels of both inputs and of the result.
        """
        super().__init__()
        self.projection = nn.Conv2d(2 * dim, dim, 1, bias=False)
        self.norm = nn.BatchNorm2d(dim)
        nn.init.kaiming_normal_(self.projection.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Fuse two feature maps (B, dim, h, w) into one."""
        return self.norm(self.projection(torch.cat([coarse, fine], dim=1))).relu()  # type: ignore[no-any-return]


class LocalityDecoder(nn.Module):
    """The progressive locality decoder: a pyramid of features to logits at its finest resolution."""

    def __init__(self, channels: list[int], dim: int, maps: int) -> None:
        """Build the layers.

        Args:
            channels: Channels of the levels, finest first.
            dim: Channels of the decoder.
            maps: Channels of the logits.
        """
        super().__init__()
        self.emphases = nn.ModuleList(LocalEmphasis(level, dim) for level in channels)
        self.fusions = nn.ModuleList(Fusion(dim) for _ in channels[1:])
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Conv2d(dim, maps, 1)

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Map features (B, C_i, h_i, w_i), finest first, to logits (B, maps, h_0, w_0)."""
        size = levels[0].shape[-2:]
        finest, *finer, fused = (
            F.interpolate(emphasise(level), size, mode="bilinear", align_corners=False)
            for emphasise, level in zip(self.emphases, levels, strict=True)
        )
        for fuse, level in zip(self.fusions, [*reversed(finer), finest], strict=True):
            fused = fuse(fused, level)
        return self.head(self.dropout(fused))  # type: ignore[no-any-return]


class SSFormer(Network):
    """SSFormer; 65,956,289 parameters as L (mit_b4) and 29,309,889 as S (mit_b2), each with 256 channels.

    The official code has 66,218,945 and 29,572,545. In both, 262,656 belong to a fusion of all four levels at once
    that is built but not called. We leave them out.
    """

    def __init__(self, encoder: str = "mit_b4", dim: int = 256, heads: Heads | None = None) -> None:
        """Build the network with random parameters.

        Args:
            encoder: A MiT of segmentation-models-pytorch, mit_b0 to mit_b5.
            dim: Channels of the decoder.
            heads: See Network.
        """
        super().__init__(multiple=STRIDE, mean=IMAGENET_MEAN, std=IMAGENET_STD, heads=heads)
        self.encoder_name = encoder
        with torch.device("cpu"):  # The constructor reads a tensor's values, which the meta device does not hold.
            self.encoder = smp.encoders.get_encoder(encoder, weights=None)
        self.decoder = LocalityDecoder(self.encoder.out_channels[2:], dim, self.maps)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits; see Network."""
        # The encoder reshapes its features with view(), which fails on channels-last images.
        normalised = self.prepare(images).contiguous()
        levels = self.encoder(normalised)[2:]  # The first two are the images and a level without channels.
        logits = self.decoder(levels)
        # As in the official code, corners are aligned here but not within the decoder.
        return F.interpolate(logits, normalised.shape[-2:], mode="bilinear", align_corners=True)

    def load_imagenet(self) -> str:
        """Download the encoder's ImageNet weights; see Network."""
        place = smp.encoders.encoders[self.encoder_name]["pretrained_settings"]["imagenet"]
        self.encoder.load_state_dict(download_state(f"{place['repo_id']}@{place['revision']}"))
        return str(place["repo_id"])
