"""DuAT, a dual-aggregation transformer (Tang et al. 2022, PRCV 2023).

A pyramid vision transformer (PVTv2-B2) gives features at 1/4, 1/8, 1/16 and 1/32 of the image's resolution. The
paper's global-to-local spatial aggregation (GLSA) treats the three coarse ones, its selective boundary aggregation
(SBA) brings them together with the fine one. Each of the two yields logits, whose sum is the prediction.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import timm
import torch
import torch.nn.functional as F
from timm.models.pvt_v2 import checkpoint_filter_fn
from torch import Tensor, nn

from sac_lightning.baselines.network import IMAGENET_MEAN, IMAGENET_STD, Network
from sac_lightning.baselines.pretrained_state import hub_state
from sac_lightning.data.sample import TrainingBatch

STRIDE = 32  # of the coarsest features; the attention's windows divide the finer ones without a rest, then


class NormedConvolution(nn.Sequential):
    """Convolution that keeps the size, without bias; BatchNorm; an activation."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel_size: int, groups: int = 1, smooth: bool = False
    ) -> None:
        """Args: channels_in, channels_out, kernel_size, groups: see nn.Conv2d; smooth: SiLU in place of ReLU."""
        super().__init__(
            nn.Conv2d(channels_in, channels_out, kernel_size, padding=kernel_size // 2, groups=groups, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.SiLU() if smooth else nn.ReLU(),
        )


class LocalAggregation(nn.Module):
    """The local half of GLSA: depthwise convolutions find where the features are to be raised."""

    def __init__(self, dim: int) -> None:
        """Args: dim: channels."""
        super().__init__()
        # The official code has ReLU everywhere but after the third mixing of the channels.
        self.mixers = nn.ModuleList(NormedConvolution(dim, dim, 1, smooth=third) for third in (False, False, True))
        self.neighbours = nn.ModuleList(NormedConvolution(dim, dim, 3, groups=dim) for _ in range(3))
        self.gate = nn.Conv2d(dim, dim, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, dim, h, w) to the same shape, each raised by between a half and the whole of itself."""
        evidence = features
        for mixer, neighbours in zip(self.mixers, self.neighbours, strict=True):
            mixed = mixer(evidence)
            evidence = mixed + neighbours(mixed)
        gate: Tensor = self.gate(evidence).relu().sigmoid()
        return features * (1 + gate)


class GlobalAggregation(nn.Module):
    """The global half of GLSA: attention gathers one vector of the whole image, which raises channels.

    The official scores have a bias. The softmax over the positions does not see it, so ours have none.
    """

    def __init__(self, dim: int, expansion: int = 2) -> None:
        """Args: dim: channels; expansion: of the hidden layer."""
        super().__init__()
        self.score = nn.Conv2d(dim, 1, 1, bias=False)
        self.hidden = nn.Linear(dim, expansion * dim)
        self.norm = nn.LayerNorm(expansion * dim)
        self.gate = nn.Linear(expansion * dim, dim)
        nn.init.kaiming_normal_(self.score.weight)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, dim, h, w) to the same shape, each channel raised by up to the whole of itself."""
        attention = self.score(features).flatten(2).softmax(dim=2)  # (B, 1, h w)
        context = (features.flatten(2) * attention).sum(2)  # (B, dim)
        gate: Tensor = self.gate(self.norm(self.hidden(context)).relu()).sigmoid()
        return features * (1 + gate[:, :, None, None])


class GlobalLocalAggregation(nn.Module):
    """GLSA: half of the channels through the local branch, half through the global one."""

    def __init__(self, channels: int, dim: int) -> None:
        """Args: channels: of the backbone's features, even; dim: channels of the result and of each branch."""
        super().__init__()
        self.local = nn.Sequential(nn.Conv2d(channels // 2, dim, 1), LocalAggregation(dim))
        self.context = nn.Sequential(nn.Conv2d(channels // 2, dim, 1), GlobalAggregation(dim))
        self.fusion = NormedConvolution(2 * dim, dim, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, channels, h, w) to (B, dim, h, w)."""
        local, context = features.chunk(2, dim=1)
        return self.fusion(torch.cat([self.local(local), self.context(context)], dim=1))  # type: ignore[no-any-return]


class BoundaryAggregation(nn.Module):
    """SBA: fine and coarse features each take from the other what they lack, where they are unsure."""

    def __init__(self, dim: int) -> None:
        """Args: dim: channels of both inputs, even."""
        super().__init__()
        half = dim // 2
        self.fine_reduction = nn.Conv2d(dim, half, 1, bias=False)
        self.coarse_reduction = nn.Conv2d(dim, half, 1, bias=False)
        self.fine_refinement = NormedConvolution(half, half, 1)
        self.coarse_refinement = NormedConvolution(half, half, 1)
        self.fusion = NormedConvolution(dim, dim, 3)
        self.head = nn.Conv2d(dim, 1, 1, bias=False)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Features (B, dim, h, w) and (B, dim, h', w') to logits (B, 1, h, w)."""
        fine, coarse = self.fine_reduction(fine), self.coarse_reduction(coarse)
        fine_gate, coarse_gate = fine.sigmoid(), coarse.sigmoid()
        fine, coarse = self.fine_refinement(fine), self.coarse_refinement(coarse)
        fine = fine * (1 + fine_gate) + (1 - fine_gate) * _resize_like(coarse_gate * coarse, fine)
        # The fine features are already the new ones here, as in the official code: the order matters.
        coarse = coarse * (1 + coarse_gate) + (1 - coarse_gate) * _resize_like(fine_gate * fine, coarse)
        return self.head(self.fusion(torch.cat([_resize_like(coarse, fine), fine], dim=1)))  # type: ignore[no-any-return]


class DuAT(Network):
    """DuAT; 24,950,880 parameters with PVTv2-B2 and 32 channels.

    The official code has 24,968,265. Of these, 17,382 never get a gradient, being built and not called: in each of
    the three GLSA one more projection (2,112, 5,184 and 8,256), a channel attention (512) and a spatial attention
    (98). Three more are the biases in front of a softmax, whose gradient is 0. All 17,385 are left out.
    """

    def __init__(
        self, encoder: str = "pvt_v2_b2", dim: int = 32, scales: Sequence[float] = (0.75, 1.0, 1.25)
    ) -> None:
        """Builds the network with random parameters.

        Args:
            encoder: timm's name of a pyramid vision transformer v2.
            dim: Channels of both aggregations; even.
            scales: Of the images in training, relative to their size; see ``losses``.
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
        """See Network."""
        region, boundary = self.outputs(images)
        return region + boundary

    def outputs(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W) in 0..255 to the logits (B, 1, H, W) of GLSA and of SBA."""
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
        """The loss of both outputs, at one of the scales.

        The official code makes a step at each of the scales with every batch. Ours draws one per batch from the
        batch's seeds, our choice: a batch is one step, as everywhere else in the framework, and an epoch costs
        what it costs the others. Out of training the images keep their size.

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
        """Resize both to the scale that the seed draws, rounded to sides that the network takes."""
        height, width = images.shape[-2:]
        self.refuse_size(height, width)
        scale = self.scales[seed % len(self.scales)]
        size = [max(1, round(side * scale / STRIDE)) * STRIDE for side in (height, width)]
        if size == [height, width]:
            return images, masks
        images, masks = (
            F.interpolate(tensor, size, mode="bilinear", align_corners=True) for tensor in (images, masks)
        )
        # Grey masks are what the official code trains on. Ours stay in {0, 1}, which every mask loss may rely on.
        return images, (masks >= 0.5).to(masks.dtype)

    def load_imagenet(self) -> str:
        """See Network."""
        source = self.backbone.pretrained_cfg["hf_hub_id"]
        state = checkpoint_filter_fn(hub_state(source), self.backbone)  # type: ignore[no-untyped-call]
        self.backbone.load_state_dict({name: state[name] for name in state if not name.startswith("head.")})
        return str(source)


def _resize_like(features: Tensor, like: Tensor) -> Tensor:
    """Resize features (B, C, h, w) to the resolution of others (B, _, h', w')."""
    return F.interpolate(features, like.shape[-2:], mode="bilinear", align_corners=False)
