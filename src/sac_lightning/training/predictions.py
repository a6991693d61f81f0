"""The predictions of a test on disk: a mask and the points that prompted it, per image."""

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
    """Writes ``<name>.png`` (0 or 255, the image's size) and ``<name>.json`` (points) of every test image."""

    def __init__(self, folder: Path) -> None:
        """Args: folder: where to; made if it is not there."""
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
        """Writes the prediction that the test step has returned."""
        assert isinstance(batch, WholeImage)
        assert isinstance(outputs, Prediction)
        write_prediction(self.folder, batch.name, outputs)


def write_prediction(folder: Path, name: str, prediction: Prediction) -> None:
    """Writes a mask and its points ``[x, y, label]`` in image pixels, label 1 nucleus, 0 background."""
    folder.mkdir(parents=True, exist_ok=True)
    mask = (prediction.probability > THRESHOLD).cpu().numpy()
    with whole_file(folder / f"{name}.png") as partial:
        Image.fromarray(mask.astype(np.uint8) * 255).convert("1").save(partial, format="png")
    coords = prediction.point_coords.cpu().numpy().round(1).tolist()
    labels = prediction.point_labels.tolist()
    points = [[x, y, label] for (x, y), label in zip(coords, labels, strict=True)]
    with whole_file(folder / f"{name}.json") as partial:
        partial.write_text(json.dumps({"points": points}), encoding="utf-8")
