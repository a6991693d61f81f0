"""SAM's image encoder: a ViT with windowed attention and decomposed relative positions, at any image size.

The parameters carry the names of segment-anything's ``ImageEncoderViT``, so that its state dicts load
unchanged, and at the native image size the outputs are the same. Two things differ: absolute and relative
positions are interpolated to any size that the patch divides, and attention never makes a matrix of
tokens x tokens (sac_lightning.model.attention).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from sac_lightning.core.errors import UserError
from sac_lightning.model.attention import AttentionFunction, attention, relative_positions
from sac_lightning.model.sam_modules import LayerNorm2d, MLPBlock

NECK_CHANNELS = 256
# Numbers in the largest tensor of a strip: 12 MB in float32.
STRIP_NUMBERS = 3 * 2**20


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
        self.function: AttentionFunction = attention
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * grid - 1, dim // heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * grid - 1, dim // heads))

    def forward(self, tokens: Tensor, window: int = 0) -> Tensor:
        """Tokens (B, H, W, dim) attend to those of their window, ``window`` tokens wide, or, with 0, to all."""
        _, height, width, dim = tokens.shape
        qkv = self.qkv(tokens)
        if window and (height % window or width % window):
            qkv = _pad_grid(qkv, self.qkv(tokens.new_zeros(dim)), -height % window, -width % window)
        qkv = qkv.unflatten(-1, (3, self.heads, -1))
        rel_h = relative_positions(self.rel_pos_h, window or height).to(qkv.dtype)
        rel_w = relative_positions(self.rel_pos_w, window or width).to(qkv.dtype)
        out = self.function(qkv, rel_h, rel_w)
        return self.proj(out[:, :height, :width])  # type: ignore[no-any-return]


def _pad_grid(qkv: Tensor, of_nothing: Tensor, rows: int, columns: int) -> Tensor:
    """Pad a grid (B, H, W, 3 dim) with rows and columns of what an empty token (3 dim) projects to.

    segment-anything pads the tokens and projects them then; so the last windows' padding need not be projected.
    """
    batch, height, width, _ = qkv.shape
    qkv = torch.cat([qkv, of_nothing.expand(batch, height, columns, -1)], dim=2)
    return torch.cat([qkv, of_nothing.expand(batch, rows, width + columns, -1)], dim=1)


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
        self.in_strips = True

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, H, W, dim) to tokens of the same shape."""
        return self.run_halves(self.add_attention, self.add_mlp, tokens)

    def run_halves(
        self, add_attention: Callable[[Tensor], Tensor], add_mlp: Callable[[Tensor], Tensor], tokens: Tensor
    ) -> Tensor:
        """Run this block's halves, or what stands for them, in strips as far as attention allows."""
        if not self.in_strips:
            return add_mlp(add_attention(tokens))
        if self.window:
            return run_in_strips(lambda strip: add_mlp(add_attention(strip)), tokens, self.window)
        return run_in_strips(add_mlp, add_attention(tokens))

    def add_attention(self, tokens: Tensor) -> Tensor:
        """Apply the first half of the block."""
        return tokens + self.attend(self.norm1(tokens))

    def add_mlp(self, tokens: Tensor) -> Tensor:
        """Apply the second half of the block."""
        return tokens + self.mlp(self.norm2(tokens))  # type: ignore[no-any-return]

    def attend(self, tokens: Tensor) -> Tensor:
        """Attention within windows, or over the whole grid where ``window`` is 0."""
        return self.attn(tokens, self.window)  # type: ignore[no-any-return]


def run_in_strips(function: Callable[[Tensor], Tensor], tokens: Tensor, rows: int = 1) -> Tensor:
    """Run a function of tokens, row by row of the grid, on a few rows at a time where the grid is large.

    What a CPU computes in pieces stays in its cache; in one piece at 1024 px it goes through memory that the
    system has to clear first.

    Args:
        function: Tokens to tokens of the same shape; rows that are not in one strip do not meet.
        tokens: (B, H, W, dim).
        rows: That have to be in one strip: the side of a window.
    """
    batch, height, width, dim = tokens.shape
    fitting = STRIP_NUMBERS // (batch * width * 4 * dim)  # The MLP's inside is the largest there is.
    side = max(rows, fitting // rows * rows)
    if tokens.device.type != "cpu" or side >= height:
        return function(tokens)
    return torch.cat([function(strip) for strip in torch.split(tokens, side, dim=1)], dim=1)


def _cast_once(block: nn.Module, tokens: Tensor) -> Tensor:
    """A block, its frozen weights cast to autocast's precision once, and not again for each strip.

    Autocast remembers the casts of what trains only. Norms stay in float32, as autocast has them.
    """
    device = tokens.device.type
    if not torch.is_autocast_enabled(device):
        return block(tokens)  # type: ignore[no-any-return]
    dtype = torch.get_autocast_dtype(device)
    cast = {
        name: parameter.to(dtype)
        for name, parameter in block.named_parameters()
        if not parameter.requires_grad and name.endswith(("weight", "bias")) and "norm" not in name
    }
    return functional_call(block, cast, (tokens,))  # type: ignore[no-any-return]


class PatchEmbed(nn.Module):
    """The image cut into patches, each projected to a token."""

    def __init__(self, patch: int, dim: int) -> None:
        """Args: patch: side in pixels; dim: token channels."""
        super().__init__()
        self.proj = nn.Conv2d(3, dim, kernel_size=patch, stride=patch)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) to tokens (B, H / patch, W / patch, dim)."""
        return self.proj(images).permute(0, 2, 3, 1)  # type: ignore[no-any-return]


class TokenSource(Protocol):
    """Something that gives the tokens of a trunk without running it every time, such as TrunkFeatures."""

    def tokens(self, encoder: "ImageEncoder", images: Tensor) -> Tensor:
        """Return what ``encoder.trunk(images)`` gives for normalised images (B, 3, H, W)."""

    def summary(self) -> str:
        """Describe on one line what came from where."""


class ImageEncoder(nn.Module):
    """SAM's ViT: images to image embeddings (Kirillov et al. 2023; the paper's Figure 2, left).

    Attributes:
        checkpointing: Keep only the blocks' inputs for the backward pass and run each block again in it: a
            fraction of the memory for a third more time.
        features: Where the trunk's tokens come from, for a trunk that is fixed; None computes them.
    """

    checkpointing: bool = False
    features: TokenSource | None = None

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
        """Embed images.

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
        # Channels last, as the tokens lie. One layout, computed or read: in another the last bits are others.
        channels_last = tokens.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        return self.neck(channels_last)  # type: ignore[no-any-return]

    def set_attention(self, function: AttentionFunction) -> None:
        """Choose how every block computes attention, see model.attention."""
        for module in self.modules():
            if isinstance(module, Attention):
                module.function = function

    def set_strips(self, in_strips: bool) -> None:
        """Choose whether blocks work on a few rows of a large grid at a time (a CPU's cache) or on all at once."""
        for module in self.modules():
            if isinstance(module, Block):
                module.in_strips = in_strips

    def trunk(self, images: Tensor) -> Tensor:
        """Compute all but the neck: images (B, 3, H, W) to tokens (B, H / patch, W / patch, dim)."""
        tokens: Tensor = self.patch_embed(images)
        tokens = tokens + self._absolute_positions(tokens.shape[1], tokens.shape[2])
        for block in self.blocks:
            if self.checkpointing and torch.is_grad_enabled():
                tokens = checkpoint(_cast_once, block, tokens, use_reentrant=False)
            else:
                tokens = _cast_once(block, tokens)
        return tokens

    def _absolute_positions(self, h: int, w: int) -> Tensor:
        """The stored positions (1, H, W, dim), interpolated bicubically to a grid that is not native."""
        if self.pos_embed.shape[1:3] == (h, w):
            return self.pos_embed
        grid = self.pos_embed.permute(0, 3, 1, 2)
        return F.interpolate(grid, size=(h, w), mode="bicubic", align_corners=False).permute(0, 2, 3, 1)


def image_encoder_of(model: nn.Module) -> ImageEncoder | None:
    """Return SAM's image encoder of a model, or None if it has none."""
    encoder = getattr(model, "image_encoder", None)
    return encoder if isinstance(encoder, ImageEncoder) else None
