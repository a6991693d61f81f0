"""DuAT, a dual-aggregation transformer (Tang et al. 2022, PRCV 2023).

A pyramid vision transformer (PVTv2-B2) gives features at 1/4, 1/8, 1/16 and 1/32 of the image's resolution. The
paper's global-to-local spatial aggregation (GLSA) processes the three coarse ones; its selective boundary
aggregation (SBA) combines them with the fine one. Each of the two yields logits, and their sum is the prediction.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import timm
import torch
import torch.nn.functional as F
from timm.models.pvt_v2 import checkpoint_filter_fn
from torch import Tensor, nn

from sac_lightning.baselines.network import IMAGENET_MEAN, IMAGENET_STD, Network
from sac_lightning.baselines.pretrained_state import download_state
from sac_lightning.data.sample import TrainingBatch

# Of the coarsest features. With multiples of it, the attention's windows divide the finer features evenly.
STRIDE = 32


class NormedConvolution(nn.Sequential):
    """Convolution without bias that keeps the size, BatchNorm, then an activation."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel_size: int, groups: int = 1, smooth: bool = False
    ) -> None:
        """Build the layers.

        Args:
            channels_in: See nn.Conv2d.
            channels_out: See nn.Conv2d.
            kernel_size: See nn.Conv2d.
            groups: See nn.Conv2d.
            smooth: Whether to use SiLU instead of ReLU.
        """
        super().__init__(
            nn.Conv2d(channels_in, channels_out, kernel_size, padding=kernel_size // 2, groups=groups, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.SiLU() if smooth else nn.ReLU(),
        )


class LocalAggregation(nn.Module):
    """The local half of GLSA: depthwise convolutions find where to amplify the features."""

    def __init__(self, dim: int) -> None:
        """Build the layers.

        Args:
            dim: Channels.
        """
        super().__init__()
        # The official code uses ReLU everywhere except after the third mixing of the channels.
        self.mixers = nn.ModuleList(NormedConvolution(dim, dim, 1, smooth=third) for third in (False, False, True))
        self.neighbours = nn.ModuleList(NormedConvolution(dim, dim, 3, groups=dim) for _ in range(3))
        self.gate = nn.Conv2d(dim, dim, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Multiply features (B, dim, h, w) by a factor between 1.5 and 2 at each place."""
        evidence = features
        for mixer, neighbours in zip(self.mixers, self.neighbours, strict=True):
            mixed = mixer(evidence)
            evidence = mixed + neighbours(mixed)
        gate: Tensor = self.gate(evidence).relu().sigmoid()
        return features * (1 + gate)


class GlobalAggregation(nn.Module):
    """The global half of GLSA: attention gathers one vector for the whole image, which amplifies channels.

    The official scores have a bias. The softmax over the positions cancels it, so ours have none.
    """

    def __init__(self, dim: int, expansion: int = 2) -> None:
        """Build the layers.

        Args:
            dim: Channels.
            expansion: Width of the hidden layer, in multiples of dim.
        """
        super().__init__()
        self.score = nn.Conv2d(dim, 1, 1, bias=False)
        self.hidden = nn.Linear(dim, expansion * dim)
        self.norm = nn.LayerNorm(expansion * dim)
        self.gate = nn.Linear(expansion * dim, dim)
        nn.init.kaiming_normal_(self.score.weight)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Multiply each channel of features (B, dim, h, w) by a factor between 1 and 2."""
        attention = self.score(features).flatten(2).softmax(dim=2)  # (B, 1, h w)
        context = (features.flatten(2) * attention).sum(2)  # (B, dim)
        gate: Tensor = self.gate(self.norm(self.hidden(context)).relu()).sigmoid()
        return features * (1 + gate[:, :, None, None])


class GlobalLocalAggregation(nn.Module):
    """GLSA: half of the channels go through the local branch, half through the global one."""

    def __init__(self, channels: int, dim: int) -> None:
        """Build both branches.

        Args:
            channels: Channels of the backbone's features; even.
            dim: Channels of the result and of each branch.
        """
        super().__init__()
        self.local = nn.Sequential(nn.Conv2d(channels // 2, dim, 1), LocalAggregation(dim))
        self.context = nn.Sequential(nn.Conv2d(channels // 2, dim, 1), GlobalAggregation(dim))
        self.fusion = NormedConvolution(2 * dim, dim, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, channels, h, w) to (B, dim, h, w)."""
        local, context = features.chunk(2, dim=1)
        return self.fusion(torch.cat([self.local(local), self.context(context)], dim=1))  # type: ignore[no-any-return]


class BoundaryAggregation(nn.Module):
    """SBA: where fine or coarse features are unsure, each takes what it lacks from the other."""

    def __init__(self, dim: int) -> None:
        """Build the layers.

        Args:
            dim: Channels of both inputs; even.
        """
        super().__init__()
        half = dim // 2
        self.fine_reduction = nn.Conv2d(dim, half, 1, bias=False)
        self.coarse_reduction = nn.Conv2d(dim, half, 1, bias=False)
        self.fine_refinement = NormedConvolution(half, half, 1)
        self.coarse_refinement = NormedConvolution(half, half, 1)
        self.fusion = NormedConvolution(dim, dim, 3)
        self.head = nn.Conv2d(dim, 1, 1, bias=False)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Map fine features (B, dim, h, w) and coarse features (B, dim, h', w') to logits (B, 1, h, w)."""
        fine, coarse = self.fine_reduction(fine), self.coarse_reduction(coarse)
        fine_gate, coarse_gate = fine.sigmoid(), coarse.sigmoid()
        fine, coarse = self.fine_refinement(fine), self.coarse_refinement(coarse)
        fine = fine * (1 + fine_gate) + (1 - fine_gate) * _resize_like(coarse_gate * coarse, fine)
        # As in the official code, the fine features are already the updated ones here: the order matters.
        coarse = coarse * (1 + coarse_gate) + (1 - coarse_gate) * _resize_like(fine_gate * fine, coarse)
        return self.head(self.fusion(torch.cat([_resize_like(coarse, fine), fine], dim=1)))  # type: ignore[no-any-return]


class DuAT(Network):
    """DuAT; 24,950,880 parameters with PVTv2-B2 and 32 channels.

    The official code has 24,968,265. Of these, 17,382 never get a gradient because their layers are built but not
    called: in each of the three GLSA modules one more projection (2,112, 5,184 and 8,256), a channel attention
    (512) and a spatial attention (98). Three more are the biases in front of a softmax, whose gradient is 0. We
    leave out all 17,385.
    """

    def __init__(
        self, encoder: str = "pvt_v2_b2", dim: int = 32, scales: Sequence[float] = (0.75, 1.0, 1.25)
    ) -> None:
        """Build the network with random parameters.

        Args:
            encoder: timm's name of a pyramid vision transformer v2.
            dim: Channels of both aggregations; even.
            scales: Scales of the training images, relative to their size; see ``losses``.
        """
        super().__init__(multiple=STRIDE, mean=IMAGENET_MEAN, std=IMAGENET_STD)
        self.backbone = cast(Any, timm.create_model(encoder, num_classes=0, drop_path_rate=0.1))
        channels = [level["num_chs"] for level in self.backbone.feature_info]
        self.scales = tuple(scales)
        self.aggregations = nn.ModuleList(GlobalLocalAggregation(c, dim) for c in channels[1:])
        self.region_fusion = NormedConvolution(3 * dim, dim, 1)
        self.region_head = nn.Conv2d(dim, 1, 1, bias=False)
        self.fine = NormedConvolution(channels[0], dim, 3)
        self.coarse = NormedConvolution(2 * dim, dim, 1)
        self.boundary = BoundaryAggregation(dim)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits; see Network."""
        region, boundary = self.outputs(images)
        return region + boundary

    def outputs(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (B, 3, H, W) in 0..255 to the logits (B, 1, H, W) of GLSA and of SBA."""
        normalised = self.prepare(images)
        levels = self.backbone.forward_intermediates(normalised, intermediates_only=True)
        c2, c3, c4 = [aggregate(level) for aggregate, level in zip(self.aggregations, levels[1:], strict=True)]
        c4 = _resize_like(c4, c3)
        region = self.region_head(
            self.region_fusion(torch.cat([_resize_like(c4, c2), _resize_like(c3, c2), c2], dim=1))
        )
        coarse = _resize_like(self.coarse(torch.cat([c4, c3], dim=1)), c2)
        boundary = self.boundary(self.fine(levels[0]), coarse)
        return _resize_like(region, normalised), _resize_like(boundary, normalised)

    def losses(self, batch: TrainingBatch, mask_loss: nn.Module) -> Mapping[str, Tensor]:
        """Return the losses of both outputs, at one of the scales.

        The official code makes a step at each of the scales with every batch. Ours draws one scale per batch, from
        the batch's seeds. This is our choice: one batch is one step, as everywhere else in the framework, and an
        epoch costs as much as for the other networks. Outside training the images keep their size.

        Args:
            batch: See Network.
            mask_loss: See Network.
        """
        images, masks = batch["images"], batch["masks"]
        if self.training:
            images, masks = self._rescale(images, masks, int(batch["seeds"].sum()))
        region, boundary = self.outputs(images)
        return {"region": mask_loss(region.float(), masks), "boundary": mask_loss(boundary.float(), masks)}

    def _rescale(self, images: Tensor, masks: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Resize both to the scale that the seed selects, rounded to sides that the network accepts."""
        height, width = images.shape[-2:]
        self.refuse_size(height, width)
        scale = self.scales[seed % len(self.scales)]
        size = [max(1, round(side * scale / STRIDE)) * STRIDE for side in (height, width)]
        if size == [height, width]:
            return images, masks
        images, masks = (
            F.interpolate(tensor, size, mode="bilinear", align_corners=True) for tensor in (images, masks)
        )
        # The official code trains on the interpolated, grey masks. Ours stay in {0, 1}, on which every mask loss
        # may rely.
        return images, (masks >= 0.5).to(masks.dtype)

    def load_imagenet(self) -> str:
        """Download the backbone's ImageNet weights; see Network."""
        source = self.backbone.pretrained_cfg["hf_hub_id"]
        state = checkpoint_filter_fn(download_state(source), self.backbone)  # type: ignore[no-untyped-call]
        self.backbone.load_state_dict({name: state[name] for name in state if not name.startswith("head.")})
        return str(source)


def _resize_like(features: Tensor, like: Tensor) -> Tensor:
    """Resize features (B, C, h, w) to the resolution (h', w') of other features."""
    return F.interpolate(features, like.shape[-2:], mode="bilinear", align_corners=False)
