"""The predictions of a test as files: for each image a mask and the points that prompted it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from lightning import Callback, LightningModule, Trainer
from PIL import Image

from sac_lightning.core.files import whole_file
from sac_lightning.data.sample import WholeImage
from sac_lightning.inference.thresholds import THRESHOLD
from sac_lightning.inference.windows import Prediction


class TestPredictions(Callback):
    """Write ``<name>.png`` (0 or 255, of the image's size) and ``<name>.json`` (points) for every test image."""

    def __init__(self, folder: Path) -> None:
        """Write into ``folder``, which is made if it does not exist."""
        self.folder = folder

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write the prediction that the test step returned."""
        assert isinstance(batch, WholeImage)
        assert isinstance(outputs, Prediction)
        write_prediction(self.folder, batch.name, outputs)


def write_prediction(folder: Path, name: str, prediction: Prediction) -> None:
    """Write the mask and the points of a prediction.

    Args:
        folder: Where to write; made if it does not exist.
        name: Name of the image, without its ending.
        prediction: The points are written as ``[x, y, label]`` in image pixels; label 1 is nucleus, 0 background.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mask = (prediction.probability > THRESHOLD).cpu().numpy()
    with whole_file(folder / f"{name}.png") as partial:
        Image.fromarray(mask.astype(np.uint8) * 255).convert("1").save(partial, format="png")
    coords = prediction.point_coords.cpu().numpy().round(1).tolist()
    labels = prediction.point_labels.tolist()
    points = [[x, y, label] for (x, y), label in zip(coords, labels, strict=True)]
    with whole_file(folder / f"{name}.json") as partial:
        partial.write_text(json.dumps({"points": points}), encoding="utf-8")
