"""Images made by rule, so that official code elsewhere can be given the same ones."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor


@pytest.fixture(scope="session")
def fixed_images() -> Callable[[int], Tensor]:
    """Make one RGB image (1, 3, side, side) in 0..255 from a fixed seed."""

    def images(side: int) -> Tensor:
        return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)) * 255

    return images
