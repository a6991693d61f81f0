"""U-Net against its official code, mateuszbuda/brain-segmentation-pytorch."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from sac_lightning.baselines.u_net import UNetNetwork
from sac_lightning.core.errors import UserError

PLACES = ((0, 0), (3, 60), (5, 40), (17, 23), (31, 31), (32, 2), (40, 55), (48, 9), (60, 30), (63, 63))
OFFICIAL = (0.767709, 0.779137, 0.948279, 0.930558, 0.983932, 0.925451, 0.957528, 0.973234, 0.808727, 0.672207)


def test_output_equals_that_of_the_official_code(
    fill: Callable[..., nn.Module], fixed_images: Callable[[int], Tensor]
) -> None:
    with torch.no_grad():
        probability = fill(UNetNetwork())(fixed_images(64)).sigmoid()[0, 0]
    assert [probability[place].item() for place in PLACES] == pytest.approx(OFFICIAL, rel=1e-4)


def test_sides_are_multiples_of_what_the_depth_halves() -> None:
    assert UNetNetwork(4, depth=2).eval()(torch.zeros(1, 3, 12, 20)).shape == (1, 1, 12, 20)
    with pytest.raises(UserError, match="multiple of 16"):
        UNetNetwork(4)(torch.zeros(1, 3, 24, 32))
