"""The pictures of a pre-training show their data."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sac_lightning.pretraining.evaluation import ClickedImage
from sac_lightning.pretraining.pictures import write_clicks, write_curves


def test_curves_have_a_line_per_loss_and_figure(tmp_path: Path) -> None:
    rows = [{"epoch": i, "train/union": 1.0 / (i + 1), "val/one_click_iou": 0.1 * i} for i in range(5)]
    write_curves(tmp_path / "curves.png", rows)
    flat = [row | {"train/union": 0.0, "val/one_click_iou": 0.0} for row in rows]
    write_curves(tmp_path / "flat.png", flat)
    falling, level = (np.asarray(Image.open(tmp_path / name)) for name in ("curves.png", "flat.png"))
    assert falling.shape == level.shape
    assert (falling != level).any()


def test_a_clicked_image_shows_its_answer_and_its_clicks(tmp_path: Path) -> None:
    mask = np.zeros((40, 60), bool)
    mask[10:30, 10:50] = True
    image = ClickedImage(
        name="grey",
        image=np.full((40, 60, 3), 90, np.uint8),
        truth=mask,
        answer=mask,
        clicks=np.array([[30.0, 20.0]], np.float32),
        best=torch.ones(1, 3),
        single=torch.ones(1, 3),
    )
    write_clicks(tmp_path / "clicks.png", [image])
    colours = np.asarray(Image.open(tmp_path / "clicks.png").convert("RGB")).reshape(-1, 3)
    for colour in ((255, 210, 0), (31, 119, 255)):  # The outline and the click.
        assert (np.abs(colours.astype(int) - colour).sum(1) < 12).any()
