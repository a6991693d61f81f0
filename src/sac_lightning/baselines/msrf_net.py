"""MSRF-Net (Srivastava et al. 2021): an encoder whose levels fuse in pairs, a shape stream, a gated decoder.

Sources: the paper (arXiv 2105.07451) and, where its text or figures differ from the code or leave something open,
the authors' Keras code (NoviceMAn-prog/MSRF-Net, model.py, train.py, utils.py). We keep those Keras conventions
that are needed for equal numbers: "same" padding below and on the right where the stride is two, BatchNorm's eps
of 1e-3 (1e-5 in the attention gates), upsampling between pixel centres, and the initialisation.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sac_lightning.baselines.dual_scale_fusion import FusionSubNetwork
from sac_lightning.baselines.network import Network
from sac_lightning.baselines.shape_stream import BoundaryMap, ShapeStream, enlarge, find_canny_edges
from sac_lightning.core.errors import UserError
from sac_lightning.data.sample import TrainingBatch

MASK_WEIGHT = 2.0
# The smallest probability that Keras's cross-entropy accepts; it bounds the logits of upsampled probabilities.
EPSILON = 1e-7


class MSRFOutputs(NamedTuple):
    """Logits (B, 1, H, W): of nucleus, of nucleus from the decoder's two coarser levels, and of its boundary."""

    mask: Tensor
    half: Tensor
    quarter: Tensor
    edges: Tensor


class MSRFNet(Network):
    """MSRF-Net; 18,595,607 parameters with 32 features, including BatchNorm's running statistics, as Keras counts.

    The wiring is that of model.py (see FusionSubNetwork); we leave out its layers that reach no output.
    """

    def __init__(self, width: int = 32, batch_norm_momentum: float = 0.01) -> None:
        """Build the network.

        Args:
            width: Channels at full resolution, a multiple of 8; they double from level to level, over four levels.
            batch_norm_momentum: Weight of the newest batch in the running statistics (Keras's default of 0.99 is
                0.01 here); short runs need a larger one.

        Raises:
            UserError: width is not a multiple of 8.
        """
        if width % 8:
            raise UserError(f"model.width={width}: the shape stream needs an eighth of it; choose a multiple of 8")
        super().__init__(multiple=8)
        widths = [width, 2 * width, 4 * width, 8 * width]
        self.encoders = nn.ModuleList(
            convolution_block(below, above) for below, above in zip([3, *widths[:3]], widths, strict=True)
        )
        # The deepest level has no squeeze and excitation.
        self.excitations = nn.ModuleList(ConvSqueezeExcitation(channels) for channels in widths[:3])
        self.pool = nn.Sequential(nn.MaxPool2d(2), nn.Dropout(0.2))
        self.fusion = FusionSubNetwork(width)
        self.shape_stream = ShapeStream(width)
        self.boundary = BoundaryMap()
        self.quarter_decoder = GatedDecoder(4 * width, 8 * width)
        self.half_decoder = GatedDecoder(2 * width, 4 * width)
        self.full_decoder = FullDecoder(width)
        self.quarter_head = nn.Conv2d(4 * width, 1, kernel_size=1)
        self.half_head = nn.Conv2d(2 * width, 1, kernel_size=1)
        self.head = nn.Conv2d(width, 1, kernel_size=1)
        draw_as_keras(self)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = batch_norm_momentum

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits; see Network."""
        return self.outputs(images).mask

    def outputs(self, images: Tensor) -> MSRFOutputs:
        """Map images (B, 3, H, W) RGB in 0..255 to the four outputs."""
        # Channels last is a third faster on a CPU in float32.
        features = self.prepare(images).contiguous(memory_format=torch.channels_last)
        levels = []
        for encoder, excitation in zip(self.encoders[:3], self.excitations, strict=True):
            levels.append(excitation(encoder(features)))
            features = self.pool(levels[-1])
        first, second, third, fourth = self.fusion([*levels, self.encoders[3](features)])
        edges = self.shape_stream(second, third, fourth)
        boundary = self.boundary(edges, find_canny_edges(images))
        quarter = self.quarter_decoder(third, fourth)
        half = self.half_decoder(second, quarter)
        return MSRFOutputs(
            mask=self.head(self.full_decoder(first, half, boundary)),
            half=enlarge_probabilities(self.half_head(half), 2),
            quarter=enlarge_probabilities(self.quarter_head(quarter), 4),
            edges=edges,
        )

    def losses(self, batch: TrainingBatch, mask_loss: nn.Module) -> Mapping[str, Tensor]:
        """Return the losses; see Network.

        The weights are those of train.py; the target of the edges is the Canny edge of the mask.
        """
        masks = batch["masks"]
        outputs = self.outputs(batch["images"])
        return {
            "mask": MASK_WEIGHT * mask_loss(outputs.mask.float(), masks),
            "half": mask_loss(outputs.half, masks),
            "quarter": mask_loss(outputs.quarter, masks),
            "edges": F.binary_cross_entropy_with_logits(outputs.edges.float(), find_canny_edges(255 * masks)),
        }


class GatedDecoder(nn.Module):
    """A level of the decoder: its features, after two kinds of attention, joined with the coarser level's."""

    def __init__(self, channels: int, coarse_channels: int) -> None:
        """Build the layers.

        Args:
            channels: Channels of this level.
            coarse_channels: Channels of the next coarser level.
        """
        super().__init__()
        self.gate = AttentionGate(channels, coarse_channels)
        # A kernel of one pixel and a stride of two: in both directions, every other pixel is the bias alone.
        self.spread = nn.ConvTranspose2d(coarse_channels, channels, kernel_size=1, stride=2, output_padding=1)
        self.attention = DualAttention(channels, coarse_channels)
        self.join = nn.Conv2d(3 * channels, channels, kernel_size=1)
        self.residual = nn.Sequential(
            nn.BatchNorm2d(channels, eps=1e-3),
            nn.ReLU(),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
            nn.BatchNorm2d(channels, eps=1e-3),
            nn.ReLU(),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
        )

    def forward(self, features: Tensor, coarse: Tensor) -> Tensor:
        """Map features (B, C, 2H, 2W) and coarse features (B, C', H, W) to (B, C, 2H, 2W)."""
        parts = [self.spread(coarse), self.gate(features, coarse), self.attention(features, coarse)]
        joined = self.join(torch.cat(parts, dim=1))
        return joined + self.residual(joined)  # type: ignore[no-any-return]


class FullDecoder(nn.Module):
    """The last level of the decoder, without attention; its last convolution also takes the boundary map."""

    def __init__(self, width: int) -> None:
        """Build the layers.

        Args:
            width: See MSRFNet.
        """
        super().__init__()
        self.up = nn.ConvTranspose2d(2 * width, width, kernel_size=4, stride=2, padding=1)
        self.join = nn.Sequential(nn.Conv2d(2 * width, width, kernel_size=1), nn.ReLU())
        self.residual = nn.Sequential(
            nn.Conv2d(width, width, kernel_size=3, padding=1), nn.ReLU(), nn.BatchNorm2d(width, eps=1e-3)
        )
        self.last = nn.Sequential(nn.Conv2d(width + 1, width, kernel_size=3, padding=1), nn.ReLU())

    def forward(self, features: Tensor, coarse: Tensor, boundary: Tensor) -> Tensor:
        """Map features (B, C, 2H, 2W), coarse ones (B, 2C, H, W) and boundary (B, 1, 2H, 2W) to (B, C, 2H, 2W)."""
        joined = self.join(torch.cat([self.up(coarse), features], dim=1))
        return self.last(torch.cat([joined + self.residual(joined), boundary], dim=1))  # type: ignore[no-any-return]


class AttentionGate(nn.Module):
    """Features multiplied by a map of where the coarser level agrees with them."""

    def __init__(self, channels: int, coarse_channels: int) -> None:
        """Build the layers for ``channels`` features and a coarser level of ``coarse_channels``."""
        super().__init__()
        self.own = nn.Conv2d(channels, channels, kernel_size=2, stride=2)
        self.coarse = nn.Conv2d(coarse_channels, channels, kernel_size=1)
        self.agreement = nn.Conv2d(channels, 1, kernel_size=1)
        self.up = nn.ConvTranspose2d(1, 1, kernel_size=2, stride=2)
        self.norm = nn.BatchNorm2d(channels, eps=1e-5)

    def forward(self, features: Tensor, coarse: Tensor) -> Tensor:
        """Map features (B, C, 2H, 2W) and coarse features (B, C', H, W) to (B, C, 2H, 2W)."""
        agreement = self.agreement(F.relu(self.own(features) + self.coarse(coarse)))
        return self.norm(features * self.up(agreement.sigmoid()))  # type: ignore[no-any-return]


class DualAttention(nn.Module):
    """The features of two levels combined, weighted by channel and by place."""

    def __init__(self, channels: int, coarse_channels: int) -> None:
        """Build the layers for ``channels`` features and a coarser level of ``coarse_channels``."""
        super().__init__()
        self.up = nn.Sequential(
            nn.ConvTranspose2d(coarse_channels, channels, kernel_size=4, stride=2, padding=1),
            nn.BatchNorm2d(channels, eps=1e-3),
            nn.ReLU(),
        )
        self.join = nn.Sequential(
            nn.Conv2d(2 * channels, channels, kernel_size=3, padding=1),
            nn.BatchNorm2d(channels, eps=1e-3),
            nn.ReLU(),
        )
        self.by_channel = ConvSqueezeExcitation(channels)
        self.by_place = nn.Sequential(
            nn.Conv2d(channels, channels // 4, kernel_size=1),
            nn.BatchNorm2d(channels // 4, eps=1e-3),
            nn.ReLU(),
            nn.Conv2d(channels // 4, 1, kernel_size=1),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor, coarse: Tensor) -> Tensor:
        """Map features (B, C, 2H, 2W) and coarse features (B, C', H, W) to (B, C, 2H, 2W)."""
        joined = self.join(torch.cat([features, self.up(coarse)], dim=1))
        return (1 + self.by_place(joined)) * self.by_channel(joined)  # type: ignore[no-any-return]


class ConvSqueezeExcitation(nn.Module):
    """Features times a weight per channel, computed from the channel means (Hu et al. 2018; reduction 16)."""

    def __init__(self, channels: int) -> None:
        """Build the layers.

        Args:
            channels: Channels of the features.
        """
        super().__init__()
        hidden = max(1, channels // 16)
        self.weights = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, hidden, kernel_size=1),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, kernel_size=1),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Scale each channel of features (B, C, H, W)."""
        return features * self.weights(features)  # type: ignore[no-any-return]


def convolution_block(channels_in: int, channels_out: int) -> nn.Sequential:
    """Build a level of the encoder: two convolutions with ReLU, then BatchNorm."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(channels_out, channels_out, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.BatchNorm2d(channels_out, eps=1e-3),
    )


def enlarge_probabilities(logits: Tensor, factor: int) -> Tensor:
    """Enlarge logits (B, 1, H, W) as probabilities: the official code applies the sigmoid before it upsamples."""
    return torch.logit(enlarge(logits.float().sigmoid(), factor), eps=EPSILON)


def draw_as_keras(network: MSRFNet) -> None:
    """Initialise the weights as the official code does: Glorot, or He where it asks for it; biases of zero."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    decoder = network.full_decoder
    for part in (network.encoders, decoder.join, decoder.residual, decoder.last):
        for module in part.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
    for gate in (network.quarter_decoder.gate, network.half_decoder.gate):
        nn.init.normal_(gate.agreement.weight, std=0.02)
