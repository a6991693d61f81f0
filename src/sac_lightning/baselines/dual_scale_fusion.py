"""The dual-scale dense fusion of MSRF-Net, and the sub-network of seven of them (Srivastava et al. 2021)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RESIDUAL_SCALE = 0.4
# Which entry of the one stream's list of features the other hears before its second to fifth convolution. The
# official code passes over the third entry, where the paper's Fig. 2 takes the newest one each time.
HEARD = (0, 1, 3, 4)


class HalvingConvolution(nn.Conv2d):
    """3x3 convolution to half the side; it pads below and on the right, as TensorFlow's "same" does."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        """Args: channels_in: of the input; channels_out: of the output."""
        super().__init__(channels_in, channels_out, kernel_size=3, stride=2)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, 2H, 2W) to (B, C', H, W)."""
        return super().forward(F.pad(features, (0, 1, 0, 1)))


class DoublingConvolution(nn.ConvTranspose2d):
    """Transposed 3x3 convolution to twice the side; it cuts off below and on the right, as TensorFlow does."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        """Args: channels_in: of the input; channels_out: of the output."""
        super().__init__(channels_in, channels_out, kernel_size=3, stride=2)

    def forward(self, features: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(B, C, H, W) to (B, C', 2H, 2W)."""
        return super().forward(features, output_size)[..., :-1, :-1]


class DualScaleDenseFusion(nn.Module):
    """Two dense blocks, one at twice the other's resolution, that hear each other before each convolution.

    Each block has convolutions of ``growth`` channels, the last with as many as its input, whose output times 0.4
    is added to the input. Two things are as the official code wires them, not as the paper draws them: the
    coarse block has no first convolution (its leaky ReLU takes the input instead), and see HEARD.
    """

    def __init__(self, fine_channels: int, coarse_channels: int, growth: int) -> None:
        """Args: fine_channels, coarse_channels: of the two inputs; growth: of each inner convolution."""
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
        """Features (B, F, 2H, 2W) and (B, C, H, W) to two of the same sizes."""
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
    """The MSRF sub-network: four levels exchange features, two neighbours at a time.

    The paper's Fig. 2 chains ten fusions, as the official msrf.py does (24,597,575 parameters). The official
    model.py, which train.py trains, starts the last two from what the fifth left, so that nothing reads the sixth
    to eighth: its seven are here.
    """

    def __init__(self, width: int) -> None:
        """Args: width: Channels of the finest level; they double at each, as the growth does."""
        super().__init__()
        self.upper = nn.ModuleList(DualScaleDenseFusion(width, 2 * width, width // 2) for _ in range(3))
        self.middle = DualScaleDenseFusion(2 * width, 4 * width, width)
        self.lower = nn.ModuleList(DualScaleDenseFusion(4 * width, 8 * width, 2 * width) for _ in range(3))

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        """Four maps of features, finest first, to four of the same sizes."""
        first, second, third, fourth = levels
        for upper, lower in zip(self.upper[:2], self.lower[:2], strict=True):
            first, second = upper(first, second)
            third, fourth = lower(third, fourth)
        second, third = self.middle(second, third)
        first, second = self.upper[2](first, second)
        third, fourth = self.lower[2](third, fourth)
        fused = (first, second, third, fourth)
        return [level + RESIDUAL_SCALE * new for level, new in zip(levels, fused, strict=True)]
