"""Train SAC on your own images, test its best epoch, and print the test's figures and the checkpoint's path.

    python examples/train_on_a_folder.py my_images --epochs 8

my_images holds images/ and, under the same file names, masks/ (anything but 0 is nucleus) or instances/ (0 is
background, every nucleus has a number). A tenth each is kept for validation and test.
"""

import argparse
from functools import partial

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.optim import Adam

from sac_lightning import View
from sac_lightning.data import Folder
from sac_lightning.model import Generator, Prompts, sac
from sac_lightning.training import SegmentationTask


def main() -> None:
    """Train on the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--output", default="outputs/my_images")
    arguments = parser.parse_args()

    L.seed_everything(0)
    prompts = Prompts(generator=Generator(init_features=8, lr_factor=3))  # Small, for a CPU.
    task = SegmentationTask(
        sac(backbone="vit_t", prompts=prompts),
        view=View(256, crop=256, stretch=True),
        optimizer=partial(Adam, lr=5e-4),
    )
    data = Folder(arguments.folder, batch_size=4, crops_per_image=4)
    best = ModelCheckpoint(monitor="val/dice", mode="max")
    trainer = L.Trainer(max_epochs=arguments.epochs, callbacks=[best], default_root_dir=arguments.output)
    trainer.fit(task, datamodule=data)
    (figures,) = trainer.test(task, datamodule=data, ckpt_path="best", verbose=False)
    for name in ("dice", "iou", "aji", "pq"):
        print(f"{name:10} {figures[f'test/{name}']:.3f}")
    print(f"checkpoint {best.best_model_path}")


if __name__ == "__main__":
    main()
