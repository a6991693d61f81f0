"""The auto-prompt generator F of Eq. 2: a UNet that marks nucleus and background.

The paper has "a 4-layer UNet" (section 4.1.3). Table 6's count determines the rest: levels with 32-64-128-256-512
channels, each with two 3x3 convolutions without bias, BatchNorm and ReLU; transposed convolutions on the way up;
a 1x1 convolution at the end: 7,763,041 parameters.

What goes beyond it is ours, and off by default: group normalisation, other widths, a stem, a fine path, and maps
that tell touching nuclei apart (SEPARATING). Channel 0 is M of Eq. 2 whatever else there is.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from sac_lightning.core.errors import UserError
from sac_lightning.core.prompts import Generator, Norm

MASK, INTERIOR, DISTANCE, EDGE = range(4)
"""The channels of a separating UNet, all logits: M of Eq. 2; the inside of each nucleus, away from its outline;
the distance to the outline by the nucleus's largest; the outline itself."""
SEPARATING = 4

# Of a group normalisation, whose statistics are a window's own: a batch of few windows is too small for a batch's.
GROUP_CHANNELS = 8


class DoubleConvolution(nn.Sequential):
    """3x3 convolution without bias, normalisation and ReLU, twice."""

    def __init__(self, channels_in: int, channels_out: int, norm: Norm = "batch") -> None:
        """Build the layers.

        Args:
            channels_in: Channels of the input.
            channels_out: Channels of the output.
            norm: ``batch`` or ``group``.
        """
        layers: list[nn.Module] = []
        for channels in (channels_in, channels_out):
            layers += [
                nn.Conv2d(channels, channels_out, kernel_size=3, padding=1, bias=False),
                _normalisation(norm, channels_out),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)


class FinePath(nn.Module):
    """A thin path at full resolution beside a trunk at half of it, which alone would blur small nuclei."""

    def __init__(self, trunk: int, channels: int) -> None:
        """Args: trunk, channels: Channels of the trunk and of the path."""
        super().__init__()
        self.detail = nn.Sequential(nn.Conv2d(3, channels, kernel_size=3, padding=1), nn.ReLU(inplace=True))
        self.upsampling = nn.ConvTranspose2d(trunk, channels, kernel_size=2, stride=2)
        self.join = nn.Sequential(
            nn.Conv2d(2 * channels, 2 * channels, kernel_size=3, padding=1), nn.ReLU(inplace=True)
        )

    def forward(self, images: Tensor, features: Tensor) -> Tensor:
        """Map images (B, 3, H, W) and features (B, trunk, H/2, W/2) to (B, 2 * channels, H, W)."""
        return self.join(torch.cat([self.upsampling(features), self.detail(images)], dim=1))  # type: ignore[no-any-return]


class UNet(nn.Module):
    """UNet (Ronneberger et al. 2015): maps an image to logits of the same size, M = F(theta_u, I)."""

    def __init__(
        self,
        init_features: int = 32,
        depth: int = 4,
        norm: Norm = "batch",
        widths: Sequence[int] | None = None,
        stem: int = 1,
        fine: int = 0,
        maps: int = 1,
    ) -> None:
        """Build the network.

        Args:
            init_features: Channels at full resolution; each level doubles them.
            depth: How many times the trunk's resolution is halved.
            norm: ``batch``, the paper's, or ``group``.
            widths: Channels of each level, instead of those that follow from ``init_features`` and ``depth``.
            stem: 2: a 4x4 convolution halves the resolution first, so that the trunk costs a quarter. 1: no stem.
            fine: With a stem, channels of a path at full resolution, see FinePath; 0: none.
            maps: Channels of the output: 1, or SEPARATING.
        """
        super().__init__()
        channels = list(widths) if widths else [init_features * 2**level for level in range(depth + 1)]
        self.factor = stem * 2 ** (len(channels) - 1)
        self.stem = (
            nn.Sequential(nn.Conv2d(3, channels[0], kernel_size=4, stride=2, padding=1), nn.ReLU(inplace=True))
            if stem == 2
            else None
        )
        first = 3 if self.stem is None else channels[0]
        self.encoders = nn.ModuleList(
            DoubleConvolution(below, above, norm)
            for below, above in zip([first, *channels[:-2]], channels[:-1], strict=True)
        )
        self.pool = nn.MaxPool2d(2)
        self.bottleneck = DoubleConvolution(channels[-2], channels[-1], norm)
        rising = list(reversed(channels))
        self.upsamplings = nn.ModuleList(
            nn.ConvTranspose2d(below, above, kernel_size=2, stride=2) for below, above in pairwise(rising)
        )
        self.decoders = nn.ModuleList(DoubleConvolution(2 * c, c, norm) for c in rising[1:])
        self.fine_path = FinePath(channels[0], fine) if fine else None
        self.head = _head(channels[0], fine, stem, maps)

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (B, 3, H, W) to logits (B, maps, H, W).

        Raises:
            UserError: H or W is not a multiple of ``factor``.
        """
        height, width = images.shape[-2:]
        if height % self.factor or width % self.factor:
            raise UserError(
                f"the UNet cannot take {height}x{width} pixels: choose prompts.map_size (or, for "
                f"model=u_net, view.image_size) as a multiple of {self.factor}"
            )
        # Channels last: a third faster on a CPU at 8 features, and the layout for a GPU's bfloat16 convolutions.
        images = images.contiguous(memory_format=torch.channels_last)
        features = images if self.stem is None else self.stem(images)
        skips = []
        for encoder in self.encoders:
            features = encoder(features)
            skips.append(features)
            features = self.pool(features)
        features = self.bottleneck(features)
        for upsampling, decoder in zip(self.upsamplings, self.decoders, strict=True):
            features = decoder(torch.cat([upsampling(features), skips.pop()], dim=1))
        if self.fine_path is not None:
            features = self.fine_path(images, features)
        return self.head(features)  # type: ignore[no-any-return]


def make_generator(settings: Generator) -> UNet:
    """Make the prompt generator of its settings."""
    return UNet(
        settings.init_features,
        settings.depth,
        settings.norm,
        settings.widths,
        settings.stem,
        settings.fine,
        SEPARATING if settings.separating else 1,
    )


def _normalisation(norm: Norm, channels: int) -> nn.Module:
    if norm == "group":
        return nn.GroupNorm(max(1, channels // GROUP_CHANNELS), channels)
    return nn.BatchNorm2d(channels)


def _head(channels: int, fine: int, stem: int, maps: int) -> nn.Module:
    """Return what makes maps at full resolution of the trunk's or the fine path's features."""
    if fine:
        return nn.Conv2d(2 * fine, maps, kernel_size=1)
    if stem == 2:
        return nn.ConvTranspose2d(channels, maps, kernel_size=2, stride=2)
    return nn.Conv2d(channels, maps, kernel_size=1)
