"""SAM's image encoder: a ViT with windowed attention and decomposed relative positions, at any image size.

The parameters carry the names of segment-anything's ``ImageEncoderViT``, so that its state dicts load
unchanged, and at the native image size the outputs are the same. Two things differ: absolute and relative
positions are interpolated to any size that the patch divides, and attention takes the relative positions
inside its product of queries and keys, so that no bias matrix of tokens x tokens is ever made.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from segment_anything.modeling.common import LayerNorm2d, MLPBlock
from torch import Tensor, nn

from sac_lightning.errors import UserError
from sac_lightning.model.trunk_features import TrunkFeatures

NECK_CHANNELS = 256


@dataclass(frozen=True)
class Backbone:
    """The sizes of an image encoder: what tells vit_t, vit_b, vit_l and vit_h apart.

    Attributes:
        name: ``vit_t``, ``vit_b``, ``vit_l`` or ``vit_h``.
        dim: Channels of a token.
        depth: Number of transformer blocks.
        heads: Attention heads per block.
        global_blocks: Indices of the blocks that attend to the whole image; the others attend in windows.
        patch: Side of a patch, in input pixels.
        window: Side of an attention window, in tokens.
        native_size: Side of the image that the positions are stored for, in pixels.
        weights: Name or path of the pre-trained weights, or None where there are none: then the encoder
            is trained in full, since a frozen encoder of random weights would carry no information.
    """

    name: str
    dim: int
    depth: int
    heads: int
    global_blocks: tuple[int, ...]
    patch: int = 16
    window: int = 14
    native_size: int = 1024
    weights: str | None = None


class Attention(nn.Module):
    """Multi-head self-attention with decomposed relative positions (MViTv2, as in SAM)."""

    def __init__(self, dim: int, heads: int, grid: int) -> None:
        """Args: dim: token channels; heads: number of heads; grid: side that positions are stored for."""
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * grid - 1, dim // heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * grid - 1, dim // heads))

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, H, W, dim) attend to each other; the shape stays."""
        b, h, w, dim = tokens.shape
        qkv = self.qkv(tokens).view(b, h * w, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B, heads, H*W, head_dim) each
        q, k = _with_relative_positions(q, k, self.rel_pos_h, self.rel_pos_w, h, w)
        # Values as wide as the queries: else torch leaves its fused attention, at 512 px for twice the time.
        v = F.pad(v, (0, q.shape[-1] - v.shape[-1]))
        out = F.scaled_dot_product_attention(q, k, v, scale=1.0)[..., : dim // self.heads]
        return self.proj(out.transpose(1, 2).reshape(b, h, w, dim))  # type: ignore[no-any-return]


def _with_relative_positions(
    q: Tensor, k: Tensor, rel_pos_h: Tensor, rel_pos_w: Tensor, h: int, w: int
) -> tuple[Tensor, Tensor]:
    """Appends the relative positions to queries and keys, so that q'.k' = scale * q.k + bias_h + bias_w.

    The bias of query (y, x) towards key (y', x') is ``q.Rh[y, y'] + q.Rw[x, x']``. The query therefore
    carries its h + w possible biases, and the key two one-hot vectors that pick those of its row and column.
    """
    b, heads, n, head_dim = q.shape
    grid_q = q.view(b, heads, h, w, head_dim)
    bias_h = torch.einsum("bnhwc,hkc->bnhwk", grid_q, relative_positions(rel_pos_h, h))
    bias_w = torch.einsum("bnhwc,wkc->bnhwk", grid_q, relative_positions(rel_pos_w, w))
    rows = torch.eye(h, dtype=k.dtype, device=k.device).repeat_interleave(w, dim=0)
    columns = torch.eye(w, dtype=k.dtype, device=k.device).repeat(h, 1)
    one_hot = torch.cat([rows, columns], dim=1).expand(b, heads, n, h + w)
    bias = torch.cat([bias_h, bias_w], dim=-1).view(b, heads, n, h + w)
    return torch.cat([q * head_dim**-0.5, bias], dim=-1), torch.cat([k, one_hot], dim=-1)


def relative_positions(table: Tensor, size: int) -> Tensor:
    """The embedding of each offset between two of ``size`` positions.

    Args:
        table: (2 * stored_size - 1, C), one row per offset; interpolated linearly where the sizes differ.
        size: Number of positions along the axis.

    Returns:
        (size, size, C): entry (i, j) is the embedding of query i against key j.
    """
    offsets = 2 * size - 1
    if table.shape[0] != offsets:
        table = F.interpolate(table.T[None], size=offsets, mode="linear")[0].T
    position = torch.arange(size, device=table.device)
    return table[position[:, None] - position[None, :] + size - 1]


class Block(nn.Module):
    """Transformer block: attention, in windows or over the whole grid, then the MLP."""

    def __init__(self, dim: int, heads: int, window: int, grid: int) -> None:
        """Args: dim, heads: as in Backbone; window: 0 attends globally; grid: native side in tokens."""
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads, grid=window or grid)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = MLPBlock(embedding_dim=dim, mlp_dim=4 * dim)
        self.window = window

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, H, W, dim) to tokens of the same shape."""
        tokens = tokens + self.attend(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))  # type: ignore[no-any-return]

    def attend(self, tokens: Tensor) -> Tensor:
        """Attention within windows, or over the whole grid where ``window`` is 0."""
        if self.window == 0:
            return self.attn(tokens)  # type: ignore[no-any-return]
        b, h, w, dim = tokens.shape
        side = self.window
        pad_h, pad_w = -h % side, -w % side
        tokens = F.pad(tokens, (0, 0, 0, pad_w, 0, pad_h))
        rows, columns = (h + pad_h) // side, (w + pad_w) // side
        windows = tokens.view(b, rows, side, columns, side, dim).transpose(2, 3).reshape(-1, side, side, dim)
        windows = self.attn(windows)
        tokens = windows.view(b, rows, columns, side, side, dim).transpose(2, 3)
        return tokens.reshape(b, h + pad_h, w + pad_w, dim)[:, :h, :w]


class PatchEmbed(nn.Module):
    """The image cut into patches, each projected to a token."""

    def __init__(self, patch: int, dim: int) -> None:
        """Args: patch: side in pixels; dim: token channels."""
        super().__init__()
        self.proj = nn.Conv2d(3, dim, kernel_size=patch, stride=patch)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) to tokens (B, H / patch, W / patch, dim)."""
        return self.proj(images).permute(0, 2, 3, 1)  # type: ignore[no-any-return]


class ImageEncoder(nn.Module):
    """SAM's ViT: images to image embeddings (Kirillov et al. 2023; the paper's Figure 2, left).

    Attributes:
        features: Where the trunk's tokens are kept, for a trunk that is fixed; None computes them.
    """

    features: TrunkFeatures | None = None

    def __init__(self, backbone: Backbone) -> None:
        """Args: backbone: the sizes."""
        super().__init__()
        grid = backbone.native_size // backbone.patch
        self.patch = backbone.patch
        self.patch_embed = PatchEmbed(backbone.patch, backbone.dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, grid, grid, backbone.dim))
        self.blocks = nn.ModuleList(
            Block(backbone.dim, backbone.heads, 0 if i in backbone.global_blocks else backbone.window, grid)
            for i in range(backbone.depth)
        )
        self.neck = nn.Sequential(
            nn.Conv2d(backbone.dim, NECK_CHANNELS, kernel_size=1, bias=False),
            LayerNorm2d(NECK_CHANNELS),
            nn.Conv2d(NECK_CHANNELS, NECK_CHANNELS, kernel_size=3, padding=1, bias=False),
            LayerNorm2d(NECK_CHANNELS),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Embeds images.

        Args:
            images: (B, 3, H, W), normalised with SAM's pixel mean and standard deviation.

        Returns:
            image_embeddings (B, 256, H / patch, W / patch).

        Raises:
            UserError: H or W is no multiple of the patch.
        """
        height, width = images.shape[-2:]
        if height % self.patch or width % self.patch:
            raise UserError(
                f"the image encoder cannot take {height}x{width} pixels: choose view.image_size as a "
                f"multiple of its patch, {self.patch}"
            )
        tokens = self.trunk(images) if self.features is None else self.features.tokens(self, images)
        # One layout, computed or read: the neck's convolutions have other last bits in another.
        return self.neck(tokens.permute(0, 3, 1, 2).contiguous())  # type: ignore[no-any-return]

    def trunk(self, images: Tensor) -> Tensor:
        """All but the neck: images (B, 3, H, W) to tokens (B, H / patch, W / patch, dim)."""
        tokens: Tensor = self.patch_embed(images)
        tokens = tokens + self._absolute_positions(tokens.shape[1], tokens.shape[2])
        for block in self.blocks:
            tokens = block(tokens)
        return tokens

    def _absolute_positions(self, h: int, w: int) -> Tensor:
        """The stored positions (1, H, W, dim), interpolated bicubically to a grid that is not native."""
        if self.pos_embed.shape[1:3] == (h, w):
            return self.pos_embed
        grid = self.pos_embed.permute(0, 3, 1, 2)
        return F.interpolate(grid, size=(h, w), mode="bicubic", align_corners=False).permute(0, 2, 3, 1)
