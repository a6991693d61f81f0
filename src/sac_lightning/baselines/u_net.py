"""U-Net (Ronneberger et al. 2015) as a compared network: the same one that generates SAC's prompts."""

from torch import Tensor

from sac_lightning.baselines.network import Network
from sac_lightning.core.heads import Heads
from sac_lightning.model.prompt_generator import UNet


class UNetNetwork(Network):
    """A U-Net by itself; 7,763,041 parameters with 32 features and four levels."""

    def __init__(self, init_features: int = 32, depth: int = 4, heads: Heads | None = None) -> None:
        """Build the network with random weights.

        Args:
            init_features: See UNet.
            depth: See UNet.
            heads: See Network.
        """
        super().__init__(multiple=2**depth, heads=heads)
        self.network = UNet(init_features, depth, maps=self.maps)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits; see Network."""
        return self.network(self.prepare(images))  # type: ignore[no-any-return]
