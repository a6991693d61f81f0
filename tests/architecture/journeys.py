"""The three journeys of docs/architecture.md, walked with a tiny model on one small image.

``python -m tests.architecture.journeys`` prints them: the files in the order in which they are entered first, and
every change of room.
"""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image
from tests.architecture.walk import Walk, follow
from tests.commands import saved, untrained
from tests.conftest import TINY

from sac_lightning.core.configuration import compose_config, resolve_config
from sac_lightning.data.build import make_data
from sac_lightning.inference.thresholds import Watershed
from sac_lightning.model.trust import packaged_targets
from sac_lightning.reporting.report import report
from sac_lightning.slides.run import predict
from sac_lightning.training.losses import FocalDice
from sac_lightning.training.tuning import store_thresholds

RECORDS = Path(__file__).parents[2] / "experiments" / "records"
EXPERIMENT = "table5_selection"
SETTINGS = [option for option in TINY if not option.startswith("data.")]


def image_to_loss(folder: Path) -> Walk:
    """Walk from image files on the disk to the losses of a batch, expert points included."""
    for number in range(3):
        pixels, labels = _scene(number)
        _save(folder / "images" / f"{number}.png", pixels)
        _save(folder / "instances" / f"{number}.png", labels)
    options = [*SETTINGS, "data=folder", f"data.root={folder}", "data.batch_size=1", "prompts.experts=1"]
    config = resolve_config(compose_config("train", [*options, "output_dir=x"]))
    task = untrained(*options)
    task.mask_loss = FocalDice()
    with follow() as walk:
        data = make_data(config)
        task.losses(next(iter(data.train_dataloader())))
    return walk


def slide_to_geojson(folder: Path) -> Walk:
    """Walk from a TIFF to its nuclei in a GeoJSON, by the watershed."""
    slide, checkpoint, output = folder / "slide.tif", folder / "sac.ckpt", folder / "output"
    tifffile.imwrite(slide, _scene(0)[0])
    saved(untrained(*SETTINGS), checkpoint)
    store_thresholds(checkpoint, Watershed(mask=0.01, marker=0.01, min_area=0))
    options = [f"images={slide}", f"checkpoint={checkpoint}", f"output={output}", "device=cpu"]
    cfg = compose_config("predict", options)
    packaged_targets.cache_clear()  # The way is as long as in a new process, whatever was walked before.
    with follow("predict.py") as walk:
        predict(cfg)
    assert '"Polygon"' in (output / "geojson" / "slide.geojson").read_text()
    return walk


def experiment_to_table(folder: Path) -> Walk:
    """Walk from an experiment's name and its records to its table beside the paper's."""
    kept = folder / "pages" / "records"
    kept.mkdir(parents=True)
    for record in RECORDS.iterdir():
        if EXPERIMENT in record.read_text():
            shutil.copy(record, kept)
    cfg = compose_config(
        "report", [f"table={EXPERIMENT}", f"runs={folder / 'none'}", f"output={folder / 'pages'}"]
    )
    with follow("report.py") as walk:
        report(cfg)
    table = (folder / "pages" / EXPERIMENT / "table_cpu.csv").read_text().splitlines()
    assert any(row.split(",")[3] != "0" for row in table[1:]), "no row found a record"
    return walk


JOURNEYS = {
    "image to loss": image_to_loss,
    "slide to GeoJSON": slide_to_geojson,
    "experiment to table": experiment_to_table,
}


def _scene(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Return an image (64, 64, 3) of three dark squares on noise, and its label map."""
    pixels = np.random.default_rng(seed).integers(120, 255, (64, 64, 3), dtype=np.uint8)
    labels = np.zeros((64, 64), dtype=np.uint16)
    for label, (row, column) in enumerate([(8, 8), (30, 40), (45, 12)], start=1):
        labels[row : row + 10, column : column + 10] = label
    pixels[labels > 0] = 20
    return pixels, labels


def _save(file: Path, pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)


def main(names: Sequence[str]) -> None:
    """Print the journeys of these names; of none, all."""
    torch.set_num_threads(1)
    for name in names or JOURNEYS:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(None):
            walk = JOURNEYS[name](Path(folder))
        print(f"{name}: {len(walk.files)} files, {len(walk.changes)} changes, {len(walk.passages)} passages\n")
        print(*(f"  {file}" for file in walk.files), "", sep="\n")
        print(*(f"  {start} -> {end}" for start, end in walk.changes), "", sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
