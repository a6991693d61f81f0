"""UCTransNet (Wang et al. 2022): a U-Net whose skip connections go through a transformer over channels.

The four levels of the encoder are cut into the same number of tokens each, and the channels of a level attend to
the channels of all levels ("CCT"). On the way up, a gate per channel, computed from the skip and the decoder's
features, decides how much of the skip passes ("CCA"). Where the paper and the official code differ, we follow the
code; what is left open is noted where it comes up.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sac_lightning.baselines.network import Network
from sac_lightning.core.errors import UserError
from sac_lightning.core.heads import Heads

LEVELS = 4
EPS = 1e-6  # For the LayerNorms.


class Convolutions(nn.Sequential):
    """A number of blocks of 3x3 convolution with bias, BatchNorm and ReLU."""

    def __init__(self, channels_in: int, channels_out: int, number: int = 2) -> None:
        """Build the blocks.

        Args:
            channels_in: Channels of the input.
            channels_out: Channels of the output.
            number: Number of convolutions.
        """
        layers: list[nn.Module] = []
        for channels in [channels_in] + [channels_out] * (number - 1):
            layers += [
                nn.Conv2d(channels, channels_out, kernel_size=3, padding=1),
                nn.BatchNorm2d(channels_out),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)


class Tokens(nn.Module):
    """A level's features cut into tokens, one per patch, with their positions added."""

    def __init__(self, channels: int, patch: int, grid: int, dropout: float) -> None:
        """Build the layers.

        Args:
            channels: Channels of features and tokens.
            patch: Side of a patch, in pixels of the features.
            grid: Patches along a side.
            dropout: Dropout rate of the tokens.
        """
        super().__init__()
        self.patches = nn.Conv2d(channels, channels, kernel_size=patch, stride=patch)
        self.positions = nn.Parameter(torch.zeros(1, grid * grid, channels))
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, C, H, W) to tokens (B, N, C)."""
        tokens = self.patches(features).flatten(2).transpose(1, 2)
        return self.dropout(tokens + self.positions)  # type: ignore[no-any-return]


class ChannelAttention(nn.Module):
    """Attention of one level's channels to the channels of all levels, over the tokens."""

    def __init__(self, channels: int, heads: int, dropout: float) -> None:
        """Build the layers.

        Args:
            channels: Channels of the level.
            heads: Number of heads, each as wide as the level.
            dropout: Dropout rate of attention and output.
        """
        super().__init__()
        self.heads = heads
        self.queries = nn.Linear(channels, heads * channels, bias=False)
        self.output = nn.Linear(channels, channels, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attend to the channels of all levels.

        Args:
            tokens: (B, N, C) of the level.
            keys: (B, N, heads, K) of all levels, with K channels in total.
            values: (B, N, heads, K), likewise.

        Returns:
            (B, N, C), the mean of the heads, projected.
        """
        queries = self.queries(tokens).unflatten(-1, (self.heads, -1))
        scores = torch.einsum("bnhc,bnhk->bhck", queries, keys) / keys.shape[-1] ** 0.5
        # Each head's score matrix is standardised as if it were an image, both in training and in prediction.
        attention = self.dropout(F.instance_norm(scores.float()).softmax(-1))
        context = torch.einsum("bhck,bnhk->bnc", attention.to(values.dtype), values) / self.heads
        return self.dropout(self.output(context))  # type: ignore[no-any-return]


class LevelBlock(nn.Module):
    """One level's part of a transformer block: channel attention, then an MLP, each with a skip connection."""

    def __init__(self, channels: int, heads: int, expansion: int, dropout: float) -> None:
        """Build the layers.

        Args:
            channels: Channels of the level.
            heads: See ChannelAttention.
            expansion: Width of the MLP's hidden layer, in multiples of channels.
            dropout: See ChannelAttention.
        """
        super().__init__()
        self.attention_norm = nn.LayerNorm(channels, eps=EPS)
        self.attention = ChannelAttention(channels, heads, dropout)
        self.mlp_norm = nn.LayerNorm(channels, eps=EPS)
        self.mlp = nn.Sequential(
            nn.Linear(channels, expansion * channels), nn.GELU(), nn.Linear(expansion * channels, channels)
        )
        for layer in self.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.normal_(layer.bias, std=1e-6)

    def forward(self, tokens: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Return the updated tokens (B, N, C); see ChannelAttention."""
        tokens = tokens + self.attention(self.attention_norm(tokens), keys, values)
        return tokens + self.mlp(self.mlp_norm(tokens))  # type: ignore[no-any-return]


class ChannelBlock(nn.Module):
    """A transformer block over the channels of all levels; the levels share keys and values."""

    def __init__(self, channels: Sequence[int], heads: int, expansion: int, dropout: float) -> None:
        """Build the layers.

        Args:
            channels: Channels of each level.
            heads: See LevelBlock.
            expansion: See LevelBlock.
            dropout: See LevelBlock.
        """
        super().__init__()
        self.heads = heads
        together = sum(channels)
        self.norm = nn.LayerNorm(together, eps=EPS)
        self.keys_and_values = nn.Linear(together, 2 * heads * together, bias=False)
        self.levels = nn.ModuleList(LevelBlock(c, heads, expansion, dropout) for c in channels)

    def forward(self, tokens: Sequence[Tensor]) -> list[Tensor]:
        """Update the tokens (B, N, C) of each level; their shapes stay the same."""
        everything = self.norm(torch.cat(list(tokens), dim=-1))
        keys, values = self.keys_and_values(everything).unflatten(-1, (2, self.heads, -1)).unbind(2)
        return [level(own, keys, values) for level, own in zip(self.levels, tokens, strict=True)]


class Features(nn.Module):
    """Tokens put back onto the pixels of their level."""

    def __init__(self, channels: int, patch: int) -> None:
        """Build the layers.

        Args:
            channels: Channels of tokens and features.
            patch: Side of a patch, in pixels of the features.
        """
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=EPS)
        self.upsampling = nn.Upsample(scale_factor=patch, mode="nearest")
        self.mixing = nn.Sequential(
            nn.Conv2d(channels, channels, kernel_size=1), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, N, C) of a square grid to features (B, C, H, W)."""
        side = int(tokens.shape[1] ** 0.5)
        grid = self.norm(tokens).transpose(1, 2).unflatten(2, (side, side))
        return self.mixing(self.upsampling(grid))  # type: ignore[no-any-return]


class ChannelTransformer(nn.Module):
    """CCT: the encoder's features plus what their channels learn from those of the other levels."""

    def __init__(
        self,
        channels: Sequence[int],
        image_size: int,
        patch: int,
        layers: int,
        heads: int,
        expansion: int,
        dropout: float,
    ) -> None:
        """Build the layers.

        Args:
            channels: Channels of each level; the sides halve from one level to the next.
            image_size: See UCTransNet.
            patch: See UCTransNet.
            layers: See UCTransNet.
            heads: See UCTransNet.
            expansion: See UCTransNet.
            dropout: See UCTransNet.
        """
        super().__init__()
        sides = [patch // 2**level for level in range(len(channels))]  # So that all levels have the same grid.
        grid = image_size // patch
        self.tokens = nn.ModuleList(
            Tokens(c, side, grid, dropout) for c, side in zip(channels, sides, strict=True)
        )
        self.blocks = nn.ModuleList(ChannelBlock(channels, heads, expansion, dropout) for _ in range(layers))
        self.features = nn.ModuleList(Features(c, side) for c, side in zip(channels, sides, strict=True))

    def forward(self, skips: Sequence[Tensor]) -> list[Tensor]:
        """Update the features (B, C, H, W) of each level; their shapes stay the same."""
        tokens = [cut(skip) for cut, skip in zip(self.tokens, skips, strict=True)]
        for block in self.blocks:
            tokens = block(tokens)
        return [skip + back(own) for skip, back, own in zip(skips, self.features, tokens, strict=True)]


class GatedUp(nn.Module):
    """CCA and a decoder level: upsampling, concatenation with the gated skip, two convolutions."""

    def __init__(self, channels: int, channels_out: int) -> None:
        """Build the layers.

        Args:
            channels: Channels of the features from below, and of the skip.
            channels_out: Channels of the output.
        """
        super().__init__()
        self.gate_of_skip = nn.Linear(channels, channels)
        self.gate_of_features = nn.Linear(channels, channels)
        self.upsampling = nn.Upsample(scale_factor=2, mode="nearest")
        self.convolutions = Convolutions(2 * channels, channels_out)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """Map features (B, C, H / 2, W / 2) and a skip (B, C, H, W) to features (B, channels_out, H, W)."""
        # The paper adds the two; the official code takes their mean, and applies a ReLU after the gate.
        gate = (self.gate_of_skip(skip.mean((2, 3))) + self.gate_of_features(features.mean((2, 3)))) / 2
        gated = (skip * gate.sigmoid()[:, :, None, None]).relu()
        return self.convolutions(torch.cat([gated, self.upsampling(features)], dim=1))  # type: ignore[no-any-return]


class UCTransNet(Network):
    """UCTransNet; 66,430,657 parameters at 224 px (66,488,257 at 256, 67,225,537 at 512).

    Images are only scaled to 0..1. The official code reads them as BGR; ours are RGB, which makes no difference to
    a network that starts from random weights.
    """

    def __init__(
        self,
        width: int = 64,
        image_size: int = 224,
        patch: int = 16,
        layers: int = 4,
        attention_heads: int = 4,
        expansion: int = 4,
        dropout: float = 0.1,
        heads: Heads | None = None,
    ) -> None:
        """Build the network.

        Args:
            width: Channels at full resolution; they double at each of the next three levels.
            image_size: Side of the images in pixels, to which the positions of the tokens are tied.
            patch: Side of a token in pixels of the image; the patches of the four levels are 1, 1/2, 1/4 and 1/8
                of it.
            layers: Number of transformer blocks.
            attention_heads: Heads of the channel attention, each as wide as all levels together.
            expansion: Width of the MLPs' hidden layers in the transformer, in multiples of their channels.
            dropout: Dropout rate of tokens, attention and its output; the MLPs have none.
            heads: See Network.

        Raises:
            UserError: patch is not a multiple of 8, or image_size is not a multiple of both patch and 16.
        """
        if patch % 2 ** (LEVELS - 1):
            raise UserError(f"model.patch of UCTransNet is {patch}: set it to a multiple of {2 ** (LEVELS - 1)}")
        super().__init__(multiple=math.lcm(patch, 2**LEVELS), image_size=image_size, heads=heads)
        channels = [width * 2**level for level in range(LEVELS)]
        self.stem = Convolutions(3, width, number=1)
        self.pool = nn.MaxPool2d(2)
        self.downs = nn.ModuleList(
            Convolutions(above, below)
            for above, below in zip(channels, [*channels[1:], channels[-1]], strict=True)
        )
        self.transformer = ChannelTransformer(
            channels, image_size, patch, layers, attention_heads, expansion, dropout
        )
        self.ups = nn.ModuleList(
            GatedUp(below, above)
            for below, above in zip(reversed(channels), [*reversed(channels[:-1]), width], strict=True)
        )
        self.head = nn.Conv2d(width, self.maps, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits; see Network."""
        # Channels last is a fifth faster on a CPU, and the layout that a GPU's bfloat16 convolutions prefer.
        features = self.stem(self.prepare(images).contiguous(memory_format=torch.channels_last))
        skips = []
        for down in self.downs:
            skips.append(features)
            features = down(self.pool(features))
        for up, skip in zip(self.ups, reversed(self.transformer(skips)), strict=True):
            features = up(features, skip)
        return self.head(features)  # type: ignore[no-any-return]
