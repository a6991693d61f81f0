"""Train your own network as SAC is trained, and print its test figures beside those of a small SAC.

    python examples/own_network.py --epochs 3

Both see the same procedural images through the same view, train with the same loss and optimiser, and are scored
by the same metrics: Dice of the mask, AJI and PQ of the nuclei.
"""

import argparse
from functools import partial

import lightning as L
from torch import Tensor, nn
from torch.optim import Adam

from sac_lightning import View
from sac_lightning.data import Synthetic
from sac_lightning.model import Generator, Prompts, sac
from sac_lightning.training import SegmentationTask


class OwnNetwork(nn.Module):
    """Three convolutions. All that is asked of a network: images in 0..255 in, logits of nucleus out."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        first, second = nn.Conv2d(3, 16, 5, padding=2), nn.Conv2d(16, 16, 5, padding=2)
        self.layers = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Conv2d(16, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) RGB in 0..255 to logits (B, 1, H, W) of nucleus."""
        return self.layers(images / 127.5 - 1)


def main() -> None:
    """Train and test both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--side", type=int, default=256)
    arguments = parser.parse_args()

    prompts = Prompts(map_size=arguments.side, generator=Generator(init_features=8, lr_factor=3))
    models = {"own": OwnNetwork, "sac": partial(sac, "vit_t", prompts, arguments.side)}
    print(f"{'':10} {'dice':>6} {'aji':>6} {'pq':>6}")
    for name, make in models.items():
        L.seed_everything(0)
        view = View(arguments.side, stretch=True)
        task = SegmentationTask(make(), view, optimizer=partial(Adam, lr=5e-4))
        data = Synthetic(arguments.side, train=arguments.images, val=4, test=8)
        trainer = L.Trainer(max_epochs=arguments.epochs, logger=False, enable_checkpointing=False)
        trainer.fit(task, datamodule=data)
        (figures,) = trainer.test(task, datamodule=data, verbose=False)
        print(f"{name:10}", *(f"{figures[f'test/{metric}']:6.3f}" for metric in ("dice", "aji", "pq")))


if __name__ == "__main__":
    main()
