"""Squeeze and excitation (Hu et al. 2018): every channel of a map gets a gate that its own mean decides on."""

from torch import Tensor, nn


class SqueezeExcitation(nn.Module):
    """Two linear layers from the channels' means to a factor in 0..1 per channel."""

    def __init__(self, channels: int, hidden: int, bias: bool = True) -> None:
        """Args: channels: of the map; hidden: between the two layers; bias: whether the layers have one."""
        super().__init__()
        self.gates = nn.Sequential(
            nn.Linear(channels, hidden, bias=bias),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, channels, bias=bias),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, H, W) to the same, each channel scaled."""
        gates: Tensor = self.gates(features.mean((-2, -1)))
        return features * gates[..., None, None]
