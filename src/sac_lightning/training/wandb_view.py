"""The view of a run in Weights & Biases: curves by epoch, overlays and record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger, WandbLogger
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sac_lightning.data.sample import WholeImage
from sac_lightning.inference.drawing import draw_points
from sac_lightning.inference.thresholds import THRESHOLD
from sac_lightning.inference.windows import Prediction
from sac_lightning.training.task import SegmentationTask

if TYPE_CHECKING:
    import wandb

# Pictures are uploaded after every epoch, so larger images are shrunk to this many pixels on their longer side.
SIDE = 512
NUCLEUS = {1: "nucleus"}
# W&B has the curves and the configuration in places of their own; the images' figures are too many for a row.
NOT_SUMMARISED = ("history", "images", "config", "metrics")


class WandbView(Callback):
    """Show curves by epoch and overlays in W&B; do nothing without a WandbLogger."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Make the epoch the x axis of every curve.

        Lightning has just made its global step the x axis of "*", and of two patterns that fit a name W&B takes
        the first: only the same pattern replaces it.
        """
        for run in _runs(trainer.loggers):
            run.define_metric("epoch")
            run.define_metric("*", step_metric="epoch")

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the first validation images."""
        if not trainer.sanity_checking:
            _show("val/overlays", trainer, pl_module)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the first test images."""
        _show("test/overlays", trainer, pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Mark the run as failed and close it, so that the next run of this process does not write into it."""
        for run in _runs(trainer.loggers):
            run.finish(exit_code=1)


def summarise(loggers: Iterable[Logger], record: Mapping[str, Any]) -> None:
    """Write the record of a run into its W&B summary, and close the run.

    Args:
        loggers: The trainer's loggers; only those of W&B are used.
        record: As in ``results.json``. Its metrics become test/dice and so on, its other figures parameters/total
            and the like.
    """
    summary = {key: value for key, value in record.items() if key not in NOT_SUMMARISED}
    for run in _runs(loggers):
        run.summary.update(_flatten({"test": record["metrics"], **summary}))
        run.finish()


def _runs(loggers: Iterable[Logger]) -> list[wandb.Run]:
    """Return the W&B runs; in all processes but the first, these are Lightning's dummies, which do nothing."""
    return [logger.experiment for logger in loggers if isinstance(logger, WandbLogger)]


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flatten(value, f"{prefix}{key}/") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _show(key: str, trainer: Trainer, task: LightningModule) -> None:
    assert isinstance(task, SegmentationTask)
    runs = _runs(trainer.loggers)
    if runs and trainer.is_global_zero and task.pictures:
        pictures = overlays(task.pictures)
        for run in runs:
            run.log({key: pictures, "epoch": trainer.current_epoch})


def overlays(examples: Sequence[tuple[WholeImage, Prediction]]) -> list[wandb.Image]:
    """Return images with their points, and with their predicted and true masks to switch on and off.

    All get the size of the largest, black below and to the right: W&B asks for one size.

    Args:
        examples: At least one image with its prediction.
    """
    import wandb  # Slow to import, and not every run needs it.

    parts = [_parts(image, prediction) for image, prediction in examples]
    height, width = np.max([picture.shape[:2] for picture, _, _ in parts], axis=0)
    return [
        wandb.Image(
            Image.fromarray(_pad(picture, height, width)),
            caption=image.name,
            masks={
                name: {"mask_data": _pad(mask, height, width), "class_labels": NUCLEUS}
                for name, mask in (("prediction", predicted), ("truth", truth))
            },
        )
        for (image, _), (picture, predicted, truth) in zip(examples, parts, strict=True)
    ]


def _parts(
    image: WholeImage, prediction: Prediction
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the picture (H, W, 3) with points, and the predicted and the true mask (H, W) in {0, 1}."""
    size = image.instances.shape
    scale = min(1.0, SIDE / max(size))
    shape = [max(1, round(scale * side)) for side in size]
    pixels = F.interpolate(image.image[None].cpu(), shape, mode="bilinear", antialias=True)[0]
    picture = pixels.round().clamp(0, 255).byte().permute(1, 2, 0).numpy().copy()
    points = (prediction.point_coords.cpu() + 0.5) * scale - 0.5
    draw_points(picture, points.tolist(), prediction.point_labels.tolist())
    predicted = _shrink(prediction.probability > THRESHOLD, shape)
    return picture, predicted, _shrink(image.instances > 0, shape)


def _shrink(mask: Tensor, shape: list[int]) -> NDArray[np.uint8]:
    shrunk = F.interpolate(mask.cpu()[None, None].to(torch.uint8), shape, mode="nearest-exact")
    return np.asarray(shrunk[0, 0].numpy(), dtype=np.uint8)


def _pad(array: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    below, right = height - array.shape[0], width - array.shape[1]
    return np.pad(array, ((0, below), (0, right)) + ((0, 0),) * (array.ndim - 2))
