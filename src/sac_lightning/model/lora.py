"""Low-rank adaptation (LoRA) of attention's projections (Eq. 1): by default of queries and values.

        x ------> W_qkv ---------------> q | k | v
        |                                +       +
        +--> A_q (dim -> r) --> B_q (r -> dim)   |
        +--> A_v (dim -> r) --> B_v (r -> dim) --+

SAM fuses the three projections into one layer ``qkv``. Its slices for q and v become
h = W x + (alpha / r) B A x; k stays as it is. B starts at zero, so that training starts from SAM itself (Hu et
al. 2022). Adapting k, and o (the attention's output ``proj``), is our addition for comparison: the paper adapts
q and v.
"""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from sac_lightning.core.errors import UserError
from sac_lightning.core.limits import refuse_rank
from sac_lightning.model.image_encoder import Block, ImageEncoder

QKV = ("q", "k", "v")
LAYERS = {"qkv": QKV, "proj": ("o",)}
PROJECTIONS = tuple(name for slices in LAYERS.values() for name in slices)
PARAMETERS = tuple(f"{name}_{factor}" for name in PROJECTIONS for factor in "ab")


class LoRA(nn.Module):
    """A linear layer whose output consists of equal slices, some with a trainable low-rank update.

    The update of slice q is B A with A = ``q_a`` (rank, dim) and B = ``q_b`` (slice, rank); likewise for others.
    """

    def __init__(
        self,
        base: nn.Linear,
        rank: int,
        alpha: float | None = None,
        dropout: float = 0.0,
        slices: Sequence[str] = QKV,
        adapted: Sequence[str] = ("q", "v"),
    ) -> None:
        """Wrap a layer.

        Args:
            base: The layer to adapt; it maps dim channels to the slices, side by side.
            rank: r, the inner dimension of B A.
            alpha: The update is scaled by alpha / rank.
                Default: alpha = rank (our choice, Table 6 leaves it open).
            dropout: Probability of dropping an input of A in training.
            slices: Names of the slices, in the order of the output.
            adapted: Names of the slices that get an update.

        Raises:
            UserError: The rank is out of range.
        """
        super().__init__()
        refuse_rank(rank)
        self.base = base
        self.slices = tuple(slices)
        self.adapted = tuple(adapted)
        self.width = base.out_features // len(self.slices)
        self.scale = (rank if alpha is None else alpha) / rank
        self.dropout = nn.Dropout(dropout)
        for name in self.adapted:
            a = nn.Parameter(torch.empty(rank, base.in_features))
            nn.init.kaiming_uniform_(a, a=math.sqrt(5))
            self.register_parameter(f"{name}_a", a)
        for name in self.adapted:
            self.register_parameter(f"{name}_b", nn.Parameter(torch.zeros(self.width, rank)))
        self.merged = False

    def forward(self, x: Tensor) -> Tensor:
        """Map x (..., dim) to the slices side by side, such as q, k and v (..., 3 dim)."""
        base = self.base(x)
        if self.merged:
            return base  # type: ignore[no-any-return]
        x = self.dropout(x).to(base.dtype)  # Under autocast: cast once, not once per factor.
        outputs = list(base.split(self.width, dim=-1))
        for name in self.adapted:
            index = self.slices.index(name)
            a, b = self._factors(name)
            outputs[index] = outputs[index] + (x @ a.T * self.scale) @ b.T
        return torch.cat(outputs, dim=-1)

    @torch.no_grad()
    def merge(self) -> None:
        """Add the update to the base weight: the same function at the cost of the plain layer."""
        if not self.merged:
            self._add_to_base(self.scale)
            self.merged = True

    @torch.no_grad()
    def unmerge(self) -> None:
        """Subtract the update from the base weight again."""
        if self.merged:
            self._add_to_base(-self.scale)
            self.merged = False

    def _add_to_base(self, scale: float) -> None:
        for name in self.adapted:
            start = self.slices.index(name) * self.width
            a, b = self._factors(name)
            self.base.weight[start : start + self.width] += scale * b @ a

    def _factors(self, name: str) -> tuple[Tensor, Tensor]:
        """Return A (rank, dim) and B (slice, rank) of a slice."""
        return getattr(self, f"{name}_a"), getattr(self, f"{name}_b")


def add_lora(
    encoder: ImageEncoder,
    rank: int,
    alpha: float | None = None,
    dropout: float = 0.0,
    blocks: Sequence[int] | None = None,
    projections: Sequence[str] = ("q", "v"),
) -> None:
    """Wrap layers of an image encoder's attention in place: ``qkv``, ``proj`` or both.

    Args:
        encoder: The encoder to adapt.
        rank: Rank of every update.
        alpha: See LoRA.
        dropout: See LoRA.
        blocks: Indices of the blocks to adapt. Default: all, which Table 6's count requires.
        projections: Projections to adapt: any of q, k, v and o, in any order. Default: q and v (Eq. 1).

    Raises:
        UserError: A block or a projection is unknown, no projection is given, or the rank is out of range.
    """
    _refuse_unknown(projections)
    depth = len(encoder.blocks)
    for index in range(depth) if blocks is None else sorted(set(blocks)):
        if not 0 <= index < depth:
            raise UserError(f"model.blocks names block {index}: this backbone has blocks 0 to {depth - 1}")
        block = encoder.blocks[index]
        assert isinstance(block, Block)
        for layer, slices in LAYERS.items():
            adapted = [name for name in slices if name in projections]
            if adapted:
                base = getattr(block.attn, layer)
                setattr(block.attn, layer, LoRA(base, rank, alpha, dropout, slices, adapted))


def _refuse_unknown(projections: Sequence[str]) -> None:
    if not projections:
        raise UserError("model.projections names no projection: choose one or more of q, k, v and o")
    for name in projections:
        if name not in PROJECTIONS:
            raise UserError(f"model.projections names {name!r}: choose one or more of q, k, v and o")


def merge_lora(module: nn.Module) -> None:
    """Merge every update inside a module into its layer, see LoRA.merge."""
    for layer in lora_layers(module):
        layer.merge()


def lora_layers(module: nn.Module) -> Iterator[LoRA]:
    """Return all LoRA layers inside a module."""
    return (layer for layer in module.modules() if isinstance(layer, LoRA))
