"""Predictions of a test on disk: the mask as it was thresholded, the points as the decoder got them."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sac_lightning.inference.windows import Prediction
from sac_lightning.training.predictions import write_prediction


def test_a_mask_and_its_points_can_be_read_back(tmp_path: Path) -> None:
    probability = torch.zeros(5, 7)
    probability[1:3, 2:6] = 0.9
    probability[4, 0] = 0.5  # Not above the threshold.
    prediction = Prediction(
        probability, None, torch.tensor([[2.25, 1.0], [0.0, 4.04]]), torch.tensor([1, 0], dtype=torch.long)
    )
    write_prediction(tmp_path / "test", "slide 1.v2", prediction)
    with Image.open(tmp_path / "test" / "slide 1.v2.png") as image:
        mask = np.array(image)
    expected = np.zeros((5, 7), dtype=bool)
    expected[1:3, 2:6] = True
    np.testing.assert_array_equal(mask > 0, expected)
    points = json.loads((tmp_path / "test" / "slide 1.v2.json").read_text())["points"]
    np.testing.assert_allclose(points, [[2.25, 1.0, 1], [0.0, 4.04, 0]], atol=0.051)


def test_a_network_without_prompts_has_no_points(tmp_path: Path) -> None:
    none = Prediction(torch.ones(2, 2), None, torch.zeros(0, 2), torch.zeros(0, dtype=torch.long))
    write_prediction(tmp_path, "a", none)
    assert json.loads((tmp_path / "a.json").read_text()) == {"points": []}
