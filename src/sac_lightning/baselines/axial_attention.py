"""Attention along one axis of a map, plain and with gated positions (Valanarasu et al. 2021).

A map (B, C, R, L) is processed row by row: each of its B * R rows of L places attends to itself. For columns, swap
the last two dimensions before and after. With C channels in G groups (heads), queries and keys have C / 2G
channels, values C / G. BatchNorm follows each product, as in Axial-DeepLab (Wang et al. 2020), which the paper
builds on.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# The paper's G_Q, G_K, G_V1 and G_V2 before training, taken from the official code.
FIRST_GATES = (0.1, 0.1, 1.0, 0.1)


class PatchBatchNorm(nn.BatchNorm2d):
    """BatchNorm for the patches of images, as if each place in the image had a batch of its own.

    The batch holds each image's patches one after the other.

    In training, every place in the image has its own statistics over the batch, and the running averages are
    updated once per place, in order. Otherwise, and always with one patch per image, it is BatchNorm2d.
    """

    def __init__(self, features: int, patches: int = 1) -> None:
        """Build the layer.

        Args:
            features: Channels of a map.
            patches: Patches per image.
        """
        super().__init__(features)
        self.patches = patches

    def forward(self, input: Tensor) -> Tensor:
        """Normalise maps (B * patches, features, H, W), in which an image's patches follow one another."""
        if self.patches == 1 or not self.training:
            return super().forward(input)
        maps = input.reshape(-1, self.patches * self.num_features, *input.shape[2:])
        means, variances = (torch.zeros_like(self.weight).repeat(self.patches) for _ in range(2))
        # With momentum 1, the running averages passed in become the statistics of this batch.
        normalised = F.batch_norm(
            maps,
            means,
            variances,
            self.weight.repeat(self.patches),
            self.bias.repeat(self.patches),
            training=True,
            momentum=1.0,
            eps=self.eps,
        )
        self.move_averages(means, variances)
        return normalised.reshape(input.shape)

    @torch.no_grad()
    def move_averages(self, means: Tensor, variances: Tensor) -> None:
        """Update the running averages with the statistics (patches * features,) of a batch."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        turns_after = torch.arange(self.patches - 1, -1, -1, device=means.device)
        shares = (self.momentum * (1 - self.momentum) ** turns_after)[:, None]
        for average, values in ((self.running_mean, means), (self.running_var, variances)):
            moved_by = (shares * values.view(self.patches, -1)).sum(dim=0)
            average.mul_((1 - self.momentum) ** self.patches).add_(moved_by)


def normalise_groups(norm: nn.Module, similarities: Tensor) -> Tensor:
    """Apply BatchNorm with statistics per group to similarities (B, G, R, L, L)."""
    return norm(similarities.flatten(2, 3)).reshape(similarities.shape)  # type: ignore[no-any-return]


class AxialAttention(nn.Module):
    """Attention along rows by content alone, as in the local branch of the official code."""

    def __init__(self, channels: int, groups: int, patches: int = 1) -> None:
        """Build the layer.

        Args:
            channels: Channels of the map, in and out; a multiple of 2 * groups.
            groups: Heads.
            patches: Patches per image; see PatchBatchNorm.
        """
        super().__init__()
        self.groups = groups
        self.projection = nn.Conv2d(channels, 2 * channels, kernel_size=1, bias=False)
        nn.init.normal_(self.projection.weight, std=channels**-0.5)
        self.projection_norm = PatchBatchNorm(2 * channels, patches)
        self.content_norm = PatchBatchNorm(groups, patches)
        self.value_norm = PatchBatchNorm(channels, patches)

    def forward(self, rows: Tensor) -> Tensor:
        """Let each row of a map (B, C, R, L) attend to itself; the shape stays the same."""
        queries, keys, values = self.project_heads(rows)
        content = torch.einsum("bgcri,bgcrj->bgrij", queries, keys)
        attention = normalise_groups(self.content_norm, content).softmax(dim=-1)
        attended = torch.einsum("bgrij,bgcrj->bgcri", attention, values)
        return self.value_norm(attended.flatten(1, 2))  # type: ignore[no-any-return]

    def project_heads(self, rows: Tensor) -> Sequence[Tensor]:
        """Project a map (B, C, R, L) to queries and keys (B, G, C / 2G, R, L) and values (B, G, C / G, R, L)."""
        projected = self.projection_norm(self.projection(rows)).unflatten(1, (self.groups, -1))
        quarter = projected.shape[2] // 4
        return projected.split([quarter, quarter, 2 * quarter], dim=2)  # type: ignore[no-any-return]


class GatedAxialAttention(AxialAttention):
    """Attention along rows by content and learned relative positions, with a gate for each term.

    As in the official code, the shift of each similarity's BatchNorm cannot change the output, because softmax
    cancels it; and in training, BatchNorm cancels the scale of a gate, up to its eps.

    Attributes:
        gates: (4,): G_Q for query and position, G_K for key and position, G_V1 for the value, G_V2 for its
            position.
        gates_open: Whether the gates train. If not, they still get a gradient, of zeros, because distributed
            training waits for one from every parameter.
    """

    def __init__(self, channels: int, groups: int, length: int) -> None:
        """Build the layer.

        Args:
            channels: Channels of the map, in and out; a multiple of 2 * groups.
            groups: Heads.
            length: Length of the rows, to which the positions are tied.
        """
        super().__init__(channels, groups)
        self.length = length
        self.query_norm = nn.BatchNorm2d(groups)
        self.key_norm = nn.BatchNorm2d(groups)
        self.position_norm = nn.BatchNorm2d(channels)
        # For queries, keys and values, shared by the groups: one column per distance from -(L - 1) to L - 1.
        self.distances = nn.Parameter(torch.empty(2 * channels // groups, 2 * length - 1))
        nn.init.normal_(self.distances, std=(channels // groups) ** -0.5)
        self.gates = nn.Parameter(torch.tensor(FIRST_GATES))
        self.gates_open = True

    def forward(self, rows: Tensor) -> Tensor:
        """Let each row of a map (B, C, R, L) attend to itself; the shape stays the same."""
        queries, keys, values = self.project_heads(rows)
        query_gate, key_gate, value_gate, position_gate = self.current_gates().unbind()
        query_positions, key_positions, value_positions = self.positions()
        content = torch.einsum("bgcri,bgcrj->bgrij", queries, keys)
        by_query = torch.einsum("bgcri,cij->bgrij", queries, query_gate * query_positions)
        by_key = torch.einsum("bgcrj,cji->bgrij", keys, key_gate * key_positions)
        similarities = normalise_groups(self.content_norm, content)
        similarities += normalise_groups(self.query_norm, by_query)
        similarities += normalise_groups(self.key_norm, by_key)
        attention = similarities.softmax(dim=-1)
        attended = torch.einsum("bgrij,bgcrj->bgcri", attention, value_gate * values)
        attended_positions = torch.einsum("bgrij,cij->bgcri", attention, position_gate * value_positions)
        return (  # type: ignore[no-any-return]
            self.value_norm(attended.flatten(1, 2)) + self.position_norm(attended_positions.flatten(1, 2))
        )

    def current_gates(self) -> Tensor:
        """Return the gates (4,); while they are closed, their gradients are zeros."""
        # A hook on the parameter itself would be lost when the network is copied or sent to another process.
        gates = self.gates.clone()
        if not self.gates_open and gates.requires_grad:
            gates.register_hook(torch.zeros_like)  # type: ignore[no-untyped-call]
        return gates

    def positions(self) -> Sequence[Tensor]:
        """Return the position embeddings; element [:, i, j] is that of the distance i - j.

        Those of queries and keys are (C / 2G, L, L), those of values (C / G, L, L).
        """
        by_place = self.distances.flip(1).unfold(1, self.length, 1).flip(1)
        quarter = by_place.shape[0] // 4
        return torch.split(by_place, [quarter, quarter, 2 * quarter])
