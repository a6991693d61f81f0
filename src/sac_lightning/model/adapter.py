"""The adapters of Medical SAM Adapter (MSA; Wu et al. 2023), two per transformer block.

One follows attention and has a skip connection; the other runs beside the MLP, its output scaled by 0.5.
Each is dim -> dim / 4 -> dim with biases and GELU, which reproduces Table 6.

Windows are padded as in SAM, with zeros after the first norm. MSA's code pads before the norm, so its padding
holds the norm's bias (at 1024 px in the last row and column of windows), and even with adapters that add nothing
it is not quite SAM. We keep SAM's padding: the frozen weights were trained with it, and all methods here share one
encoder.
"""

from torch import Tensor, nn

from sac_lightning.model.image_encoder import Block, ImageEncoder

MLP_ADAPTER_SCALE = 0.5


class Adapter(nn.Module):
    """A bottleneck: dim -> dim / 4 -> dim."""

    def __init__(self, dim: int, skip: bool) -> None:
        """Build the adapter.

        Args:
            dim: Number of token channels.
            skip: Whether to add the input to the output.
        """
        super().__init__()
        self.down = nn.Linear(dim, dim // 4)
        self.up = nn.Linear(dim // 4, dim)
        self.activation = nn.GELU()
        self.skip = skip

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (..., dim) to tokens of the same shape."""
        out = self.up(self.activation(self.down(tokens)))
        return tokens + out if self.skip else out  # type: ignore[no-any-return]


class AdaptedBlock(nn.Module):
    """A transformer block of SAM with MSA's two adapters."""

    def __init__(self, block: Block, dim: int) -> None:
        """Wrap a block.

        Args:
            block: The block to adapt.
            dim: Its number of token channels.
        """
        super().__init__()
        self.base = block
        self.attention_adapter = Adapter(dim, skip=True)
        self.mlp_adapter = Adapter(dim, skip=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, H, W, dim) to tokens of the same shape."""
        return self.base.run_halves(self.add_attention, self.add_mlp, tokens)

    def add_attention(self, tokens: Tensor) -> Tensor:
        """Apply the first half of the block: attention, then its adapter, with the skip around both."""
        return tokens + self.attention_adapter(self.base.attend(self.base.norm1(tokens)))  # type: ignore[no-any-return]

    def add_mlp(self, tokens: Tensor) -> Tensor:
        """Apply the second half of the block: MLP and adapter side by side, with the skip around both."""
        normed = self.base.norm2(tokens)
        return tokens + self.base.mlp(normed) + MLP_ADAPTER_SCALE * self.mlp_adapter(normed)  # type: ignore[no-any-return]


def add_adapters(encoder: ImageEncoder) -> None:
    """Wrap every block of an image encoder with adapters, in place."""
    dim = encoder.pos_embed.shape[-1]
    for index, block in enumerate(encoder.blocks):
        assert isinstance(block, Block)
        encoder.blocks[index] = AdaptedBlock(block, dim)
