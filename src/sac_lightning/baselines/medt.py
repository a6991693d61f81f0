"""MedT, the Medical Transformer (Valanarasu et al. 2021): gated axial attention on the image and on its patches.

A shallow global branch sees the whole image, a deep local branch sees its 16 patches ("Local-Global Training").
The features of both, at full resolution, are summed and give the logits. Where the paper leaves something open, we
follow the official code.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sac_lightning.baselines.axial_attention import AxialAttention, GatedAxialAttention, PatchBatchNorm
from sac_lightning.baselines.network import Network
from sac_lightning.core.errors import UserError
from sac_lightning.core.heads import Heads


def convolution(
    channels_in: int, channels_out: int, kernel_size: int = 1, stride: int = 1, patches: int = 1
) -> nn.Sequential:
    """Build a convolution without bias, followed by BatchNorm."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel_size, stride, padding=kernel_size // 2, bias=False),
        PatchBatchNorm(channels_out, patches),
    )


def double_size(features: Tensor) -> Tensor:
    """Upsample features (B, C, H, W) to (B, C, 2H, 2W), then apply ReLU."""
    return F.relu(F.interpolate(features, scale_factor=2, mode="bilinear"))


class AxialBlock(nn.Module):
    """Residual bottleneck whose middle is attention along the columns, then along the rows (Fig. 2b)."""

    def __init__(
        self, channels_in: int, channels: int, groups: int, stride: int, side: int | None, patches: int
    ) -> None:
        """Build the block.

        Args:
            channels_in: Channels of the input; the output has 2 * channels.
            channels: Channels of the attention.
            groups: Heads of the attention.
            stride: 1, or 2 to halve the map after the attention.
            side: Side of the input, for gated attention with positions. None: attention without positions.
            patches: Patches per image; see PatchBatchNorm.
        """
        super().__init__()

        def attention() -> AxialAttention:
            if side is None:
                return AxialAttention(channels, groups, patches)
            return GatedAxialAttention(channels, groups, side)

        self.reduction = convolution(channels_in, channels, patches=patches)
        self.column_attention = attention()
        self.row_attention = attention()
        self.pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.expansion = convolution(channels, 2 * channels, patches=patches)
        self.shortcut = (
            nn.Identity()
            if stride == 1 and channels_in == 2 * channels
            else convolution(channels_in, 2 * channels, stride=stride, patches=patches)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, C_in, H, W) to (B, 2 C, H / stride, W / stride)."""
        inner = F.relu(self.reduction(features))
        inner = self.column_attention(inner.transpose(2, 3)).transpose(2, 3)
        inner = F.relu(self.pool(self.row_attention(inner)))
        return F.relu(self.expansion(inner) + self.shortcut(features))


class Branch(nn.Module):
    """A U-shaped network of axial attention: a stem, stages that halve the map (except the first), a decoder."""

    def __init__(
        self,
        width: int,
        stem_width: int,
        blocks: Sequence[int],
        groups: int,
        side: int | None = None,
        patches: int = 1,
        bottom: bool = False,
    ) -> None:
        """Build the branch.

        Args:
            width: Width of the network; see MedT. The output has 2 * width channels.
            stem_width: Channels of the stem's first and last convolution.
            blocks: Number of blocks in each stage.
            groups: Heads of the attention.
            side: Side of the input, for gated attention with positions. None: attention without positions.
            patches: Patches per image; see PatchBatchNorm.
            bottom: Whether to add a convolution at half the resolution below the stages.
        """
        super().__init__()
        self.stem = nn.Sequential(
            convolution(3, stem_width, kernel_size=7, stride=2, patches=patches),
            nn.ReLU(inplace=True),
            convolution(stem_width, 16 * width, kernel_size=3, patches=patches),
            nn.ReLU(inplace=True),
            convolution(16 * width, stem_width, kernel_size=3, patches=patches),
            nn.ReLU(inplace=True),
        )
        side = None if side is None else side // 2
        self.stages = nn.ModuleList()
        channels_in = stem_width
        for level, count in enumerate(blocks):
            stage = nn.Sequential()
            for index in range(count):
                stride = 2 if level > 0 and index == 0 else 1
                channels = 2 * width * 2**level
                stage.append(AxialBlock(channels_in, channels, groups, stride, side, patches))
                channels_in = 2 * channels
                side = None if side is None else side // stride
            self.stages.append(stage)
        self.bottom = nn.Conv2d(channels_in, channels_in, 3, stride=2, padding=1) if bottom else None
        outputs = [4 * width * 2**level for level in range(len(blocks))]
        self.decoders = nn.ModuleList(nn.Conv2d(c, c // 2, kernel_size=3, padding=1) for c in reversed(outputs))

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (B, 3, H, W) to features (B, 2 width, H, W)."""
        features: Tensor = self.stem(images)
        skips = []
        for stage in self.stages:
            features = stage(features)
            skips.append(features)
        if self.bottom is None:
            skips.pop()
        else:
            features = double_size(self.bottom(features)) + skips.pop()
        for decoder in self.decoders:
            features = double_size(decoder(features))
            if skips:
                features = features + skips.pop()
        return features


class MedT(Network):
    """MedT; 1,524,570 parameters at 128 px (1,528,666 at 256, 1,536,858 at 512): positions are tied to the size.

    The official code has 35,570 more that never get a gradient: a 1x1 convolution with bias in each block of the
    local branch, and a second head. Other differences from the official code:

    - The patches have a quarter of the image's side at any size, as the paper says. The official code cuts patches
      of 32 px, which is the same at 128 px; for larger images it refines only the top-left corner.
    - All patches go through the local branch together. The official code processes them one after the other, so
      that in training BatchNorm has separate statistics for each; PatchBatchNorm reproduces that at little cost.
    - The gates get gradients of zero until they open (see start_epoch), and never any weight decay (see
      parameter_groups); the official code decays them once they are open. Adam counts the steps with zero
      gradients, so the first steps after the opening can be some six times as long as those of the official code.
    - The two outputs become the difference of nucleus and background; its binary cross-entropy equals the official
      code's cross-entropy of the two.
    - Images are RGB; the official code reads BGR.
    """

    def __init__(
        self,
        image_size: int = 128,
        width: int = 8,
        groups: int = 8,
        blocks: Sequence[int] = (1, 2, 4, 1),
        grid: int = 4,
        gates_open: int = 10,
        heads: Heads | None = None,
    ) -> None:
        """Build the network.

        Args:
            image_size: Side of the images in pixels; a multiple of 32 * grid with four stages.
            width: A sixteenth of the stem's widest layer; the attention of the stages has 2, 4, 8 and 16 times as
                many channels (8 corresponds to the paper's s = 0.125).
            groups: Heads of the attention; a divisor of width.
            blocks: Number of blocks in each stage of the local branch; the global branch has the first two stages.
            grid: The local branch sees grid x grid patches.
            gates_open: First epoch, counted from 0, in which the gates train. (11 in the official code as it
                stands, which opens them after its epoch 10.)
            heads: See Network.

        Raises:
            UserError: groups does not divide width, or the patches cannot be halved as often as the stages
                require.
        """
        # A patch is halved by the stem, by every stage except the first, and once more below the last.
        super().__init__(multiple=grid * 2 ** (len(blocks) + 1), image_size=image_size, heads=heads)
        if width % groups:
            raise UserError(
                f"MedT of width {width} cannot have {groups} groups: set model.groups to a divisor of model.width"
            )
        self.grid = grid
        self.gates_open = gates_open
        self.global_branch = Branch(width, width, blocks[:2], groups, side=image_size)
        # As in the official code, its stem is as wide as the global branch's last stage.
        self.local_branch = Branch(width, 8 * width, blocks, groups, patches=grid**2, bottom=True)
        self.fusion = nn.Conv2d(2 * width, 2 * width, kernel_size=3, padding=1)
        self.head = nn.Conv2d(2 * width, 1 + self.maps, kernel_size=1)
        self.start_epoch(0)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits; see Network."""
        images = self.prepare(images)
        local = self.join_patches(self.local_branch(self.cut_patches(images)))
        features = F.relu(self.fusion(self.global_branch(images) + local))
        background, nucleus, *others = self.head(features).split(1, dim=1)
        return torch.cat([nucleus - background, *others], dim=1)

    def cut_patches(self, images: Tensor) -> Tensor:
        """Cut images (B, C, H, W) into patches (B * grid^2, C, H / grid, W / grid), each image's row by row."""
        batch, channels, height, width = images.shape
        places = images.reshape(batch, channels, self.grid, height // self.grid, self.grid, width // self.grid)
        return places.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)

    def join_patches(self, patches: Tensor) -> Tensor:
        """Join the patches of each image again, the inverse of cut_patches."""
        places = patches.view(-1, self.grid, self.grid, *patches.shape[1:])
        return places.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)

    def start_epoch(self, epoch: int) -> None:
        """Open the gates from epoch ``gates_open`` on, and keep them closed before; see Network."""
        for module in self.modules():
            if isinstance(module, GatedAxialAttention):
                module.gates_open = epoch >= self.gates_open

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the parameter groups; the gates have no weight decay, which would move them while closed."""
        gates = [module.gates for module in self.modules() if isinstance(module, GatedAxialAttention)]
        known = {id(gate) for gate in gates}
        others = [parameter for parameter in self.parameters() if id(parameter) not in known]
        return [{"params": others}, {"params": gates, "weight_decay": 0.0}]
