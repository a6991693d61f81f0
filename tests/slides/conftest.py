"""What the tests of slides share: a model that sees dark nuclei at once, and pictures of them."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sac_lightning.core.view import View
from sac_lightning.inference.predictor import Predictor


class Dark(nn.Module):
    """Calls dark pixels nuclei, by the mean over a few of them: what is far away does not matter to it."""

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in 0..255 to logits (B, 1, H, W)."""
        grey = nn.functional.avg_pool2d(images.mean(1, keepdim=True), 3, 1, 1, count_include_pad=False)
        return (110 - grey) / 10


@pytest.fixture(scope="session")
def dark() -> Callable[..., Predictor]:
    """Makes a predictor of dark nuclei from the settings of its view."""

    def make(crop: int | None = 64, stretch: bool = False, overlap: float = 0.25) -> Predictor:
        return Predictor(Dark(), View(image_size=None, crop=crop, stretch=stretch, overlap=overlap))

    return make


@pytest.fixture(scope="session")
def scene() -> Callable[..., NDArray[np.uint8]]:
    """Makes an RGB image (H, W, 3) of dark ellipses on a bright ground."""

    def make(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
        rng = np.random.default_rng(seed)
        image = rng.integers(170, 240, (height, width, 3), dtype=np.uint8)
        y, x = np.mgrid[:height, :width]
        for _ in range(height * width // 700):
            (cy, cx), (ry, rx) = rng.uniform(0, (height, width)), rng.uniform(3, 12, 2)
            inside = ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 <= 1
            image[inside] = rng.integers(20, 70, 3, dtype=np.uint8)
        return image

    assert torch.get_num_threads() == 1
    return make
