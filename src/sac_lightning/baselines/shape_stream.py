"""The shape stream of MSRF-Net (Srivastava et al. 2021), which finds boundaries for the decoder."""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

CANNY_THRESHOLDS = (10, 1000)


class ShapeStream(nn.Module):
    """A boundary detector: the second level's features, gated by the third's and then by the fourth's."""

    def __init__(self, width: int) -> None:
        """Build the layers.

        Args:
            width: Channels of the finest level; see MSRFNet.
        """
        super().__init__()
        self.entry = nn.Conv2d(2 * width, width, kernel_size=1)
        self.entry_residual = ResidualConvolution(width, width)
        self.third = nn.Conv2d(4 * width, 1, kernel_size=1)
        self.third_reduction = nn.Conv2d(width, width // 2, kernel_size=1)
        self.third_gate = boundary_gate(width // 2, width + 1)
        self.third_residual = ResidualConvolution(1, width // 2)
        self.fourth = nn.Conv2d(8 * width, 1, kernel_size=1)
        self.fourth_reduction = nn.Conv2d(width // 2, width // 4, kernel_size=1)
        self.fourth_gate = boundary_gate(width // 4, width // 2 + 1)
        self.fourth_residual = ResidualConvolution(1, width // 4)
        self.exit = nn.Sequential(
            nn.Conv2d(width // 4, width // 8, kernel_size=1), nn.Conv2d(width // 8, 1, kernel_size=1)
        )

    def forward(self, second: Tensor, third: Tensor, fourth: Tensor) -> Tensor:
        """Map features at 1/2, 1/4 and 1/8 of the resolution to boundary logits (B, 1, H, W)."""
        stream = self.entry_residual(enlarge(self.entry(second), 2))
        gating = enlarge(self.third(third), 4)
        stream = self.third_gate(torch.cat([self.third_reduction(stream), gating], dim=1))
        stream = self.third_residual(stream)
        gating = enlarge(self.fourth(fourth), 8)
        stream = self.fourth_gate(torch.cat([self.fourth_reduction(stream), gating], dim=1))
        return self.exit(self.fourth_residual(stream))  # type: ignore[no-any-return]


class BoundaryMap(nn.Module):
    """One channel for the decoder, computed from the shape stream's boundary and the image's Canny edges."""

    def __init__(self) -> None:
        """Build the layers."""
        super().__init__()
        self.mixture = nn.Conv2d(2, 1, kernel_size=1)
        self.scale = nn.Sequential(nn.Conv2d(1, 1, kernel_size=1), nn.BatchNorm2d(1, eps=1e-3), nn.ReLU())

    def forward(self, edges: Tensor, canny: Tensor) -> Tensor:
        """Map boundary logits (B, 1, H, W) and edges (B, 1, H, W) in {0, 1} to features (B, 1, H, W)."""
        mixture = self.mixture(torch.cat([edges.sigmoid(), canny], dim=1))
        return self.scale(mixture.sigmoid())  # type: ignore[no-any-return]


class ResidualConvolution(nn.Module):
    """A 3x3 convolution with BatchNorm, added to its input (one channel is added to all), then ReLU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        """Build the layers.

        Args:
            channels_in: Channels of the input: as many as channels_out, or 1.
            channels_out: Channels of the output.
        """
        super().__init__()
        self.convolution = nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1)
        self.norm = nn.BatchNorm2d(channels_out, eps=1e-3)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, C, H, W) to (B, C', H, W)."""
        return F.relu(features + self.norm(self.convolution(features)))


def boundary_gate(channels: int, hidden: int) -> nn.Sequential:
    """Build layers that map the shape stream's features and one gating channel to a map (B, 1, H, W) in 0..1.

    Like the official code, the shape stream passes on the map itself, not its features multiplied by the map as in
    the paper's gated convolution (Takikawa et al. 2019).
    """
    return nn.Sequential(
        nn.BatchNorm2d(channels + 1, eps=1e-3),
        nn.Conv2d(channels + 1, hidden, kernel_size=1),
        nn.ReLU(),
        nn.Conv2d(hidden, 1, kernel_size=1),
        nn.BatchNorm2d(1, eps=1e-3),
        nn.Sigmoid(),
    )


def enlarge(features: Tensor, factor: int) -> Tensor:
    """Enlarge features (B, C, H, W) bilinearly to (B, C, factor H, factor W)."""
    return F.interpolate(features, scale_factor=factor, mode="bilinear", align_corners=False)


@torch.no_grad()
def find_canny_edges(images: Tensor) -> Tensor:
    """Return Canny edges, which OpenCV finds on the CPU, with the thresholds of the official utils.py.

    (model.py has a different upper threshold, 100, in a line that cannot run: the edges reach it as an input.)

    Args:
        images: (B, 1 or 3, H, W) in 0..255 on any device; they are rounded to whole numbers.

    Returns:
        (B, 1, H, W) in {0, 1}, on the same device.
    """
    arrays = images.float().round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()
    edges = np.stack([cv2.Canny(array, *CANNY_THRESHOLDS) for array in arrays])
    return (torch.from_numpy(edges) > 0).float().unsqueeze(1).to(images.device)
