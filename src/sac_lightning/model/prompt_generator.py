"""The auto-prompt generator F of Eq. 2: a UNet that marks nucleus and background.

The paper has "a 4-layer UNet" (section 4.1.3). Table 6's count determines the rest: levels with 32-64-128-256-512
channels, each with two 3x3 convolutions without bias, BatchNorm and ReLU; transposed convolutions on the way up;
a 1x1 convolution at the end: 7,763,041 parameters.
"""

import torch
from torch import Tensor, nn

from sac_lightning.core.errors import UserError


class DoubleConvolution(nn.Sequential):
    """3x3 convolution without bias, BatchNorm and ReLU, twice."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        """Build the layers.

        Args:
            channels_in: Channels of the input.
            channels_out: Channels of the output.
        """
        layers: list[nn.Module] = []
        for channels in (channels_in, channels_out):
            layers += [
                nn.Conv2d(channels, channels_out, kernel_size=3, padding=1, bias=False),
                nn.BatchNorm2d(channels_out),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)


class UNet(nn.Module):
    """UNet (Ronneberger et al. 2015): maps an image to logits of the same size, M = F(theta_u, I)."""

    def __init__(self, init_features: int = 32, depth: int = 4) -> None:
        """Build the network.

        Args:
            init_features: Channels at full resolution; each level doubles them.
            depth: How many times the resolution is halved.
        """
        super().__init__()
        self.factor = 2**depth
        channels = [init_features * 2**level for level in range(depth + 1)]
        self.encoders = nn.ModuleList(
            DoubleConvolution(below, above)
            for below, above in zip([3, *channels[: depth - 1]], channels[:depth], strict=True)
        )
        self.pool = nn.MaxPool2d(2)
        self.bottleneck = DoubleConvolution(channels[depth - 1], channels[depth])
        self.upsamplings = nn.ModuleList(
            nn.ConvTranspose2d(2 * c, c, kernel_size=2, stride=2) for c in reversed(channels[:depth])
        )
        self.decoders = nn.ModuleList(DoubleConvolution(2 * c, c) for c in reversed(channels[:depth]))
        self.head = nn.Conv2d(init_features, 1, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (B, 3, H, W) to logits (B, 1, H, W).

        Raises:
            UserError: H or W is not a multiple of 2 ** depth.
        """
        height, width = images.shape[-2:]
        if height % self.factor or width % self.factor:
            raise UserError(
                f"the UNet cannot take {height}x{width} pixels: choose prompts.map_size (or, for "
                f"model=u_net, view.image_size) as a multiple of {self.factor}"
            )
        # Channels last: a third faster on a CPU at 8 features, and the layout for a GPU's bfloat16 convolutions.
        features = images.contiguous(memory_format=torch.channels_last)
        skips = []
        for encoder in self.encoders:
            features = encoder(features)
            skips.append(features)
            features = self.pool(features)
        features = self.bottleneck(features)
        for upsampling, decoder in zip(self.upsamplings, self.decoders, strict=True):
            features = decoder(torch.cat([upsampling(features), skips.pop()], dim=1))
        return self.head(features)  # type: ignore[no-any-return]
