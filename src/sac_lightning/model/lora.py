"""Low-rank adaptation of the queries and values (Eq. 1).

        x ------> W_qkv ---------------> q | k | v
        |                                +       +
        +--> A_q (dim -> r) --> B_q (r -> dim)   |
        +--> A_v (dim -> r) --> B_v (r -> dim) --+

SAM fuses the three projections in one layer ``qkv``; h = W x + (alpha / r) B A x is added to its slices of q
and v, k stays as it is. B starts at zero, so that training starts from SAM itself (Hu et al. 2022).
"""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from sac_lightning.errors import UserError
from sac_lightning.model.image_encoder import Block, ImageEncoder


class LoRA(nn.Module):
    """A fused qkv layer, frozen, with a trainable low-rank update of its q and v."""

    def __init__(self, qkv: nn.Linear, rank: int, alpha: float | None = None, dropout: float = 0.0) -> None:
        """Wraps a layer.

        Args:
            qkv: The layer to adapt: dim -> 3 dim.
            rank: r, the inner dimension of B A.
            alpha: The update is scaled by alpha / rank. Default: alpha = rank, as Table 6 leaves it open.
            dropout: Probability that an input of A is dropped in training.
        """
        super().__init__()
        if rank < 1:
            raise UserError(f"model.rank is {rank}: choose a LoRA rank of at least 1")
        dim = qkv.in_features
        self.base = qkv
        self.scale = (rank if alpha is None else alpha) / rank
        self.dropout = nn.Dropout(dropout)
        self.q_a, self.v_a = (nn.Parameter(torch.empty(rank, dim)) for _ in range(2))
        self.q_b, self.v_b = (nn.Parameter(torch.zeros(dim, rank)) for _ in range(2))
        for a in (self.q_a, self.v_a):
            nn.init.kaiming_uniform_(a, a=math.sqrt(5))
        self.merged = False

    def forward(self, x: Tensor) -> Tensor:
        """Input x (..., dim) to q, k and v side by side (..., 3 dim)."""
        qkv = self.base(x)
        if self.merged:
            return qkv  # type: ignore[no-any-return]
        dim = x.shape[-1]
        x = self.dropout(x) * self.scale
        q, k, v = qkv.split(dim, dim=-1)
        return torch.cat([q + x @ self.q_a.T @ self.q_b.T, k, v + x @ self.v_a.T @ self.v_b.T], dim=-1)

    @torch.no_grad()
    def merge(self) -> None:
        """Adds the update to the base weight: the same function at the cost of the plain layer."""
        if not self.merged:
            self._add_to_base(self.scale)
            self.merged = True

    @torch.no_grad()
    def unmerge(self) -> None:
        """Takes the update out of the base weight again."""
        if self.merged:
            self._add_to_base(-self.scale)
            self.merged = False

    def _add_to_base(self, scale: float) -> None:
        dim = self.base.in_features
        self.base.weight[:dim] += scale * self.q_b @ self.q_a
        self.base.weight[2 * dim :] += scale * self.v_b @ self.v_a


def add_lora(
    encoder: ImageEncoder,
    rank: int,
    alpha: float | None = None,
    dropout: float = 0.0,
    blocks: Sequence[int] | None = None,
) -> None:
    """Wraps the qkv layers of an image encoder in place.

    Args:
        encoder: The encoder to adapt.
        rank: Rank of every update.
        alpha: See LoRA.
        dropout: See LoRA.
        blocks: Indices of the blocks to adapt. Default: all, which Table 6's count requires.

    Raises:
        UserError: A block that the encoder does not have.
    """
    depth = len(encoder.blocks)
    for index in range(depth) if blocks is None else sorted(set(blocks)):
        if not 0 <= index < depth:
            raise UserError(f"model.blocks names block {index}: this backbone has blocks 0 to {depth - 1}")
        block = encoder.blocks[index]
        assert isinstance(block, Block)
        qkv = LoRA(block.attn.qkv, rank, alpha, dropout)
        block.attn.qkv = qkv  # type: ignore[assignment]


def lora_layers(module: nn.Module) -> Iterator[LoRA]:
    """All LoRA layers inside a module."""
    return (layer for layer in module.modules() if isinstance(layer, LoRA))
