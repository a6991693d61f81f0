"""Train your own network as SAC is trained, and print its test figures beside those of a small SAC.

    python examples/own_network.py --epochs 3

Both see the same procedural images through the same view, train with the same loss and optimiser, and are scored
by the same metrics: Dice of the mask, AJI and PQ of the nuclei.
"""

import argparse

import lightning as L
from torch import nn, optim

from sac_lightning import View
from sac_lightning.data import Synthetic
from sac_lightning.model import Generator, Prompts, sac
from sac_lightning.training import SegmentationTask


def own_network() -> nn.Module:
    """Make a network: any module from images (B, 3, H, W) in 0..255 to logits (B, 1, H, W) of nucleus."""
    first, second = nn.Conv2d(3, 16, 5, padding=2), nn.Conv2d(16, 16, 5, padding=2)
    return nn.Sequential(nn.BatchNorm2d(3), first, nn.ReLU(), second, nn.ReLU(), nn.Conv2d(16, 1, 1))


def main() -> None:
    """Train and test both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--side", type=int, default=256)
    arguments = parser.parse_args()

    L.seed_everything(0)
    prompts = Prompts(map_size=arguments.side, generator=Generator(init_features=8, lr_factor=3))
    print(f"{'':10} {'dice':>6} {'aji':>6} {'pq':>6}")
    for name, model in {"own": own_network(), "sac": sac("vit_t", prompts, arguments.side)}.items():
        view = View(arguments.side, stretch=True)
        task = SegmentationTask(model, view, optimizer=lambda weights: optim.Adam(weights, lr=1e-3))
        data = Synthetic(arguments.side, train=arguments.images, val=4, test=8, batch_size=4)
        trainer = L.Trainer(max_epochs=arguments.epochs, logger=False, enable_checkpointing=False)
        trainer.fit(task, datamodule=data)
        (figures,) = trainer.test(task, datamodule=data, verbose=False)
        print(f"{name:10}", *(f"{figures[f'test/{metric}']:6.3f}" for metric in ("dice", "aji", "pq")))


if __name__ == "__main__":
    main()
