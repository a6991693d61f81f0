"""The nuclei of a test drawn over its images: outlines of the truth and of what was found, a picture per image."""

from pathlib import Path
from typing import Any

import numpy as np
from lightning import Callback, LightningModule, Trainer
from numpy.typing import NDArray
from PIL import Image

from sac_lightning.core.files import whole_file
from sac_lightning.data.sample import WholeImage
from sac_lightning.inference.drawing import draw_outlines
from sac_lightning.inference.windows import Prediction

# Smaller images are enlarged by a whole factor to about this side, so that an outline is thinner than a nucleus.
SIDE = 1024


class TestPictures(Callback):
    """Write ``<name>.png`` for the test images, as many as are asked for; see draw_outlines for the colours."""

    def __init__(self, folder: Path, count: int | None) -> None:
        """Args: folder: is made if it does not exist; count: of images, spread over the test set; None: all."""
        self.folder = folder
        self.count = count

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw the nuclei that the test step returned, if this image is one of those that are asked for."""
        assert isinstance(batch, WholeImage)
        assert isinstance(outputs, Prediction)
        # Lightning gives an image to the process of its turn.
        number = batch_idx * trainer.world_size + trainer.global_rank
        images = sum(int(batches) for batches in trainer.num_test_batches) * trainer.world_size
        if self.count is None or number in spread_evenly(self.count, images):
            assert outputs.instances is not None, "the test step tells nuclei apart"
            write_outlines(self.folder / f"{batch.name}.png", batch, outputs.instances)


def spread_evenly(count: int, images: int) -> set[int]:
    """Return the numbers of at most ``count`` images, as far apart as there is room among all."""
    return {round(place * images / count) for place in range(count)} if count < images else set(range(images))


def write_outlines(path: Path, image: WholeImage, instances: NDArray[np.int32]) -> None:
    """Write an image, as the model saw it, with its true nuclei and those that were found (H, W) outlined."""
    pixels = image.image.permute(1, 2, 0).byte().cpu().numpy()
    factor = max(1, SIDE // max(instances.shape))
    shown = [
        np.repeat(np.repeat(array, factor, axis=0), factor, axis=1)
        for array in (pixels, image.instances.cpu().numpy(), instances)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        Image.fromarray(draw_outlines(*shown)).save(partial, format="png")
