"""HistoSeg (Wazir & Fraz 2022): MobileNetV2 at 1/8 of the resolution, a small DeepLab head, two Quick Attentions.

Sources: the paper (arXiv 2209.00729) and the authors' Keras code (saadwazir/HistoSeg, HistoSeg_Train.py; the model
in HistoSeg_Test.py is a different one, without Quick Attention). We keep those Keras conventions that are needed
for equal numbers: "same" padding below and on the right where the stride is two, BatchNorm's eps of 1e-3 in the
backbone (1e-5 in the head), and upsampling with aligned corners.
"""

import timm
import torch
import torch.nn.functional as F
from timm.models.efficientnet import EfficientNetFeatures
from torch import Tensor, nn

from sac_lightning.baselines.network import Network
from sac_lightning.baselines.pretrained_state import download_state
from sac_lightning.core.heads import Heads

# How many of MobileNetV2's seven stages come before the first Quick Attention, whose output also feeds the skip
# connection past the other stages.
EARLY_STAGES = 3


class HistoSeg(Network):
    """HistoSeg; 2,116,897 parameters, or 2,149,985 with BatchNorm's running statistics, which Keras counts too."""

    def __init__(
        self,
        width: float = 1.0,
        head_width: int = 256,
        batch_norm_momentum: float = 0.01,
        heads: Heads | None = None,
    ) -> None:
        """Build the network.

        Args:
            width: Factor for the backbone's channels: 0.35, 0.5, 0.75, 1 or 1.4, the widths that timm offers.
            head_width: Channels of the head.
            batch_norm_momentum: Weight of the newest batch in the running statistics. The official code uses 0.01
                in the head and 0.001 in the backbone, which would need thousands of steps; using one value for
                both is our choice.
            heads: See Network.
        """
        # Scale images to -1..1, as the official weights were trained; the official training code defines a
        # function for this but never calls it.
        super().__init__(multiple=8, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), heads=heads)
        variant = f"mobilenetv2_{round(100 * width):03d}"
        backbone = timm.create_model(
            variant,
            pretrained=False,
            features_only=True,
            output_stride=8,
            pad_type="same",
            bn_eps=1e-3,
            bn_momentum=batch_norm_momentum,
        )
        assert isinstance(backbone, EfficientNetFeatures)
        described = timm.models.get_pretrained_cfg(variant)
        self.pretrained = described.hf_hub_id if described is not None else None
        self.backbone = backbone
        early, late = (int(backbone.feature_info.channels()[index]) for index in (2, 4))
        self.early_attention = QuickAttention(early)
        self.context = ConvolutionNorm(late, head_width)
        self.pixels = ConvolutionNorm(late, head_width)
        self.projection = ConvolutionNorm(2 * head_width, head_width)
        self.late_attention = QuickAttention(head_width)
        self.skip = nn.Conv2d(early, head_width, kernel_size=1, bias=False)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Conv2d(head_width, self.maps, kernel_size=1)
        for part in (self.context, self.pixels, self.projection):
            part.norm.momentum = batch_norm_momentum

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits; see Network."""
        backbone = self.backbone
        features = backbone.bn1(backbone.conv_stem(self.prepare(images)))
        for stage in backbone.blocks[:EARLY_STAGES]:
            features = stage(features)
        early = features = self.early_attention(features)
        for stage in backbone.blocks[EARLY_STAGES:]:
            features = stage(features)
        # The map (B, C, H / 8, W / 8) is concatenated with its own mean at every pixel.
        pixels = self.pixels(features).relu()
        context = self.context(features.mean((2, 3), keepdim=True)).relu().expand_as(pixels)
        features = self.late_attention(self.projection(torch.cat([context, pixels], dim=1)))
        logits = self.head(self.dropout(F.relu(features + self.skip(early))))
        return F.interpolate(logits, images.shape[-2:], mode="bilinear", align_corners=True)

    def load_imagenet(self) -> str | None:
        """Download the backbone's ImageNet weights; see Network.

        The official code starts from a DeepLab for PASCAL VOC in Keras's format; starting from timm's ImageNet
        weights for MobileNetV2 is our choice. They were trained with symmetric padding, so the maps shift by half
        a pixel at each halving. For some widths there are no weights.
        """
        if self.pretrained is None:
            return None
        weights = download_state(self.pretrained)
        self.backbone.load_state_dict({key: weights[key] for key in self.backbone.state_dict()})
        return self.pretrained


class QuickAttention(nn.Module):
    """Features plus a map in 0..1 of where they matter, the same map for every channel."""

    def __init__(self, channels: int) -> None:
        """Build the layer.

        Args:
            channels: Channels of the features.
        """
        super().__init__()
        self.place = nn.Conv2d(channels, 1, kernel_size=1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Add the attention map to features (B, C, H, W)."""
        return features + self.place(features).sigmoid()  # type: ignore[no-any-return]


class ConvolutionNorm(nn.Module):
    """1x1 convolution without bias, then BatchNorm."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        """Build the layers.

        Args:
            channels_in: Channels of the input.
            channels_out: Channels of the output.
        """
        super().__init__()
        self.convolution = nn.Conv2d(channels_in, channels_out, kernel_size=1, bias=False)
        self.norm = nn.BatchNorm2d(channels_out, eps=1e-5)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, C, H, W) to (B, C', H, W)."""
        features = self.convolution(features)
        if features.numel() == features.shape[1]:
            # With a batch of one, the context has a single value per channel and so no variance. An epoch's last
            # batch may be that small.
            norm = self.norm
            return F.batch_norm(
                features, norm.running_mean, norm.running_var, norm.weight, norm.bias, training=False, eps=norm.eps
            )
        return self.norm(features)  # type: ignore[no-any-return]


class CrossEntropyPixelDice(nn.Module):
    """HistoSeg's loss: cross-entropy plus the Dice of each single pixel, 1 - (2 p g + 1) / (p^2 + g^2 + 1).

    The paper adds a focal loss, which the official code defines but does not use.
    """

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss, a scalar, of logits and target, both (B, 1, H, W)."""
        probability = logits.sigmoid()
        dice = (2 * probability * target + 1) / (probability.square() + target.square() + 1)
        return F.binary_cross_entropy_with_logits(logits, target) + 1 - dice.mean()
