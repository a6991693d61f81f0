"""MSRF-Net's dual-scale dense fusion, and the sub-network of seven of them (Srivastava et al. 2021)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RESIDUAL_SCALE = 0.4
# Which entry of one stream's list of features the other stream receives before its second to fifth convolution.
# The official code skips the third entry; the paper's Fig. 2 takes the newest one each time.
HEARD = (0, 1, 3, 4)


class HalvingConvolution(nn.Conv2d):
    """3x3 convolution that halves the sides; it pads below and on the right, like TensorFlow's "same"."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        """Build the convolution from ``channels_in`` to ``channels_out`` channels."""
        super().__init__(channels_in, channels_out, kernel_size=3, stride=2)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, C, 2H, 2W) to (B, C', H, W)."""
        return super().forward(F.pad(features, (0, 1, 0, 1)))


class DoublingConvolution(nn.ConvTranspose2d):
    """Transposed 3x3 convolution that doubles the sides; it crops below and on the right, like TensorFlow."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        """Build the convolution from ``channels_in`` to ``channels_out`` channels."""
        super().__init__(channels_in, channels_out, kernel_size=3, stride=2)

    def forward(self, features: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Map features (B, C, H, W) to (B, C', 2H, 2W)."""
        return super().forward(features, output_size)[..., :-1, :-1]


class DualScaleDenseFusion(nn.Module):
    """Two dense blocks, one at twice the other's resolution, that exchange features before each convolution.

    Each block has convolutions of ``growth`` channels, except that the last has as many channels as the input; 0.4
    times its output is added to the input. Two things follow the official code rather than the paper's drawing:
    the coarse block has no first convolution (its leaky ReLU takes the input instead), and HEARD (see there).
    """

    def __init__(self, fine_channels: int, coarse_channels: int, growth: int) -> None:
        """Build both blocks.

        Args:
            fine_channels: Channels of the fine input.
            coarse_channels: Channels of the coarse input.
            growth: Channels of each inner convolution.
        """
        super().__init__()
        self.first = nn.Conv2d(fine_channels, growth, kernel_size=3, padding=1)
        self.fine = nn.ModuleList()
        self.coarse = nn.ModuleList()
        self.downwards = nn.ModuleList()
        self.upwards = nn.ModuleList()
        fine_widths = [fine_channels, growth]
        coarse_widths = [coarse_channels, coarse_channels]
        for heard in HEARD:
            last = heard == HEARD[-1]
            self.downwards.append(HalvingConvolution(fine_widths[heard], growth))
            self.upwards.append(DoublingConvolution(coarse_widths[heard], growth))
            for convolutions, widths in ((self.fine, fine_widths), (self.coarse, coarse_widths)):
                channels = widths[0] if last else growth
                convolutions.append(nn.Conv2d(sum(widths) + growth, channels, kernel_size=3, padding=1))
                widths.append(channels)
        self.activation = nn.LeakyReLU(0.25)

    def forward(self, fine: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse features (B, F, 2H, 2W) and (B, C, H, W); the two results have the same shapes."""
        fines = [fine, self.activation(self.first(fine))]
        coarses = [coarse, self.activation(coarse)]
        for heard, down, up, fine_convolution, coarse_convolution in zip(
            HEARD, self.downwards, self.upwards, self.fine, self.coarse, strict=True
        ):
            from_fine = self.activation(down(fines[heard]))
            from_coarse = self.activation(up(coarses[heard]))
            fines.append(self.activation(fine_convolution(torch.cat([*fines, from_coarse], dim=1))))
            coarses.append(self.activation(coarse_convolution(torch.cat([*coarses, from_fine], dim=1))))
        return fine + RESIDUAL_SCALE * fines[-1], coarse + RESIDUAL_SCALE * coarses[-1]


class FusionSubNetwork(nn.Module):
    """The MSRF sub-network: four levels exchange features, two neighbouring levels at a time.

    The paper's Fig. 2 chains ten fusions, as does the official msrf.py (24,597,575 parameters). In the official
    model.py, which train.py trains, the last two start from the output of the fifth, so that nothing reads the
    sixth to eighth. We build only the seven that remain.
    """

    def __init__(self, width: int) -> None:
        """Build the seven fusions.

        Args:
            width: Channels of the finest level; channels and growth double at each level.
        """
        super().__init__()
        self.upper = nn.ModuleList(DualScaleDenseFusion(width, 2 * width, width // 2) for _ in range(3))
        self.middle = DualScaleDenseFusion(2 * width, 4 * width, width)
        self.lower = nn.ModuleList(DualScaleDenseFusion(4 * width, 8 * width, 2 * width) for _ in range(3))

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        """Fuse four feature maps, finest first; the results have the same shapes."""
        first, second, third, fourth = levels
        for upper, lower in zip(self.upper[:2], self.lower[:2], strict=True):
            first, second = upper(first, second)
            third, fourth = lower(third, fourth)
        second, third = self.middle(second, third)
        first, second = self.upper[2](first, second)
        third, fourth = self.lower[2](third, fourth)
        fused = (first, second, third, fourth)
        return [level + RESIDUAL_SCALE * new for level, new in zip(levels, fused, strict=True)]
