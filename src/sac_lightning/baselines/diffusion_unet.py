"""The U-Net of guided diffusion (Dhariwal and Nichol 2021) as used by MDM: features per decoder block or an image.

Six levels, each at half the resolution of the one above. At every level there are two residual blocks on the way
down and three on the way up; at the three lowest levels, each of them is followed by attention over all positions.
The diffusion step enters each residual block as a scale and a shift. Skip connections join each output of the
encoder to one block of the decoder, the first to the last:

    stem, 2 blocks, down, 2 blocks, down, ... 2 blocks, middle, 3 blocks, up, 3 blocks, up, ... 3 blocks, head

Between two levels a residual block changes the resolution, by averaging 2x2 pixels or by repeating each pixel.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sac_lightning.core.errors import UserError

MULTIPLIERS = (1, 1, 2, 2, 4, 4)
"""Channels of each level, in multiples of the width."""

BLOCKS = 2
ATTENDING_LEVELS = (3, 4, 5)
HEAD_CHANNELS = 64
GROUPS = 32
LONGEST_PERIOD = 10_000

DECODER_BLOCKS = len(MULTIPLIERS) * (BLOCKS + 1)
LOWEST_STRIDE = 2 ** (len(MULTIPLIERS) - 1)


class DecoderFeatures(nn.Module):
    """Stem, encoder, middle and first decoder blocks: images and steps to the output of each decoder block."""

    def __init__(self, width: int = 192, decoder_blocks: int = DECODER_BLOCKS) -> None:
        """Build the network with random weights; each residual block starts out as its shortcut alone.

        Args:
            width: Channels of the first level: a multiple of 32, or 8 or 16.
            decoder_blocks: Number of decoder blocks, counted from the lowest resolution.

        Raises:
            UserError: The attention heads do not fit the width.
        """
        super().__init__()
        if width < 1 or (width % 32 and width not in (8, 16)):
            raise UserError(f"a diffusion U-Net cannot be {width} channels wide: choose 8, 16 or a multiple of 32")
        self.width = width
        embedding = 4 * width
        self.of_step = nn.Sequential(nn.Linear(width, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        levels = [width * multiplier for multiplier in MULTIPLIERS]
        self.stem = nn.Conv2d(3, levels[0], kernel_size=3, padding=1)
        self.encoder = nn.ModuleList()
        channels, skipped = levels[0], [levels[0]]
        for level, wanted in enumerate(levels):
            if level > 0:
                self.encoder.append(UNetBlock(channels, channels, embedding, before=nn.AvgPool2d(2)))
                skipped.append(channels)
            for _ in range(BLOCKS):
                self.encoder.append(UNetBlock(channels, wanted, embedding, attends=level in ATTENDING_LEVELS))
                channels = wanted
                skipped.append(channels)
        self.middle = nn.ModuleList(
            [UNetBlock(channels, channels, embedding, attends=True), UNetBlock(channels, channels, embedding)]
        )
        self.decoder = nn.ModuleList()
        for number in range(decoder_blocks):
            level = len(levels) - 1 - number // (BLOCKS + 1)
            last_of_level = number % (BLOCKS + 1) == BLOCKS
            self.decoder.append(
                UNetBlock(
                    channels + skipped.pop(),
                    levels[level],
                    embedding,
                    attends=level in ATTENDING_LEVELS,
                    rises=last_of_level and level > 0,
                )
            )
            channels = levels[level]

    def decode(self, images: Tensor, steps: Tensor) -> list[Tensor]:
        """Return the output (B, C, height, width) of each decoder block, starting at the lowest resolution.

        Args:
            images: (B, 3, H, W) in -1..1; H and W are multiples of 32.
            steps: Diffusion steps (B,).
        """
        embedding = F.silu(self.of_step(embed_steps(steps, self.width)))
        features = self.stem(images)
        skipped = [features]
        for block in self.encoder:
            features = block(features, embedding)
            skipped.append(features)
        for block in self.middle:
            features = block(features, embedding)
        outputs = []
        for block in self.decoder:
            features = block(torch.cat([features, skipped.pop()], dim=1), embedding)
            outputs.append(features)
        return outputs


class DiffusionUNet(DecoderFeatures):
    """The whole U-Net: 311,017,539 parameters at the official width of 192."""

    def __init__(self, width: int = 192) -> None:
        """Build the network with random weights.

        Args:
            width: See DecoderFeatures.
        """
        super().__init__(width)
        self.norm = normalisation(width)
        self.head = zero_module(nn.Conv2d(width, 3, kernel_size=3, padding=1))

    def forward(self, images: Tensor, steps: Tensor) -> Tensor:
        """Restore masked images (B, 3, H, W) in -1..1, given their steps (B,); the result is in the same range."""
        return self.head(F.silu(self.norm(self.decode(images, steps)[-1])))  # type: ignore[no-any-return]


class UNetBlock(nn.Module):
    """A residual block, optionally followed by attention and by an upsampling to twice the resolution."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        embedding: int,
        before: nn.Module | None = None,
        attends: bool = False,
        rises: bool = False,
    ) -> None:
        """Build the parts of the block.

        Args:
            channels_in: Channels of the input.
            channels_out: Channels of the output.
            embedding: Length of the step's embedding.
            before: Layer that changes the resolution inside the residual block, if any.
            attends: Whether the block attends to all positions.
            rises: Whether a second residual block doubles the resolution at the end.
        """
        super().__init__()
        self.residual = Residual(channels_in, channels_out, embedding, before)
        self.attention = SelfAttention(channels_out) if attends else nn.Identity()
        self.rise = Residual(channels_out, channels_out, embedding, nn.Upsample(scale_factor=2)) if rises else None

    def forward(self, features: Tensor, embedding: Tensor) -> Tensor:
        """Transform features (B, channels, H, W), given the step's embedding (B, length)."""
        features = self.attention(self.residual(features, embedding))
        return features if self.rise is None else self.rise(features, embedding)


class Residual(nn.Module):
    """Normalisation, SiLU and 3x3 convolution, twice; the step scales and shifts the second normalisation."""

    def __init__(
        self, channels_in: int, channels_out: int, embedding: int, resampling: nn.Module | None = None
    ) -> None:
        """Build the layers.

        Args:
            channels_in: See UNetBlock.
            channels_out: See UNetBlock.
            embedding: See UNetBlock.
            resampling: Layer that changes the resolution of the input, if any.
        """
        super().__init__()
        self.norm_in = normalisation(channels_in)
        self.resampling = resampling or nn.Identity()
        self.conv_in = nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1)
        self.scale_and_shift = nn.Linear(embedding, 2 * channels_out)
        self.norm_out = normalisation(channels_out)
        self.conv_out = zero_module(nn.Conv2d(channels_out, channels_out, kernel_size=3, padding=1))
        same = channels_in == channels_out
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, kernel_size=1)

    def forward(self, features: Tensor, embedding: Tensor) -> Tensor:
        """Transform features (B, channels, H, W), given the step's embedding (B, length)."""
        inner = self.conv_in(self.resampling(F.silu(self.norm_in(features))))
        scale, shift = self.scale_and_shift(embedding)[..., None, None].chunk(2, dim=1)
        inner = self.conv_out(F.silu(self.norm_out(inner) * (1 + scale) + shift))
        return self.shortcut(self.resampling(features)) + inner  # type: ignore[no-any-return]


class SelfAttention(nn.Module):
    """Self-attention over all positions, added to the input."""

    def __init__(self, channels: int) -> None:
        """Build the layers.

        Args:
            channels: Channels of the input, 64 for each head; with fewer, a single head has all of them.
        """
        super().__init__()
        self.heads = max(1, channels // HEAD_CHANNELS)
        self.norm = normalisation(channels)
        self.queries_keys_values = nn.Conv2d(channels, 3 * channels, kernel_size=1)
        self.out = zero_module(nn.Conv2d(channels, channels, kernel_size=1))

    def forward(self, features: Tensor) -> Tensor:
        """Transform features (B, channels, H, W); their shape stays the same."""
        projected = self.queries_keys_values(self.norm(features)).flatten(2)
        by_head = projected.unflatten(1, (3, self.heads, -1)).transpose(-1, -2)  # (B, 3, heads, H * W, channels)
        attended = F.scaled_dot_product_attention(*by_head.unbind(1))
        return features + self.out(attended.transpose(-1, -2).reshape(features.shape))  # type: ignore[no-any-return]


def embed_steps(steps: Tensor, width: int) -> Tensor:
    """Return cosines and sines (B, width) of the steps (B,), with periods from 2 pi to nearly 20,000 pi."""
    frequencies = torch.exp(
        torch.arange(width // 2, device=steps.device) * (-2 * math.log(LONGEST_PERIOD) / width)
    )
    angles = steps[:, None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def normalisation(channels: int) -> nn.GroupNorm:
    """Build a group normalisation with 32 groups, or as many as divide the channels of a narrow network."""
    return nn.GroupNorm(math.gcd(GROUPS, channels), channels)


def zero_module(convolution: nn.Conv2d) -> nn.Conv2d:
    """Fill a convolution with zeros, so that at first its output, or what it adds to a sum, is zero; return it."""
    for parameter in convolution.parameters():
        nn.init.zeros_(parameter)
    return convolution
