"""Squeeze and excitation (Hu et al. 2018): scale each channel by a gate computed from the channel means."""

from torch import Tensor, nn


class SqueezeExcitation(nn.Module):
    """Two linear layers that turn the channel means into one factor in 0..1 per channel."""

    def __init__(self, channels: int, hidden: int, bias: bool = True) -> None:
        """Build the layers.

        Args:
            channels: Channels of the map.
            hidden: Units between the two layers.
            bias: Whether the layers have a bias.
        """
        super().__init__()
        self.gates = nn.Sequential(
            nn.Linear(channels, hidden, bias=bias),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, channels, bias=bias),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Scale each channel of features (B, C, H, W)."""
        gates: Tensor = self.gates(features.mean((-2, -1)))
        return features * gates[..., None, None]
