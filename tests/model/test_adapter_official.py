"""MSA's block gives the results of the official code (version of May 2023) with the same weights."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from sac_lightning.model.adapter import AdaptedBlock
from sac_lightning.model.image_encoder import Block

DIM, HEADS, GRID = 16, 2, 6
# Image, row, column and channel of the values below.
PLACES = (
    (0, 0, 0, 0),
    (0, 0, 5, 3),
    (0, 2, 2, 7),
    (0, 3, 3, 15),
    (0, 5, 0, 8),
    (0, 5, 5, 1),
    (1, 1, 4, 4),
    (1, 2, 3, 12),
    (1, 4, 1, 0),
    (1, 5, 5, 15),
)
WHOLE_GRID = (-0.248573, -2.76159, -1.40971, -1.48678, -2.07883, 2.68497, 0.905593, -6.49839, -2.44335, 0.406801)
IN_WINDOWS = (-1.68634, -2.55608, -1.54996, 0.126158, -1.78312, 5.02443, 0.845531, -5.03826, -3.86697, 0.217326)
IN_PADDED = (0.93611, -1.86903, -1.81933, 0.234318, 0.218251, 1.80185, 0.929214, -3.30929, -2.54942, 1.20452)


@pytest.mark.parametrize(
    ("window", "official"),
    [(0, WHOLE_GRID), (3, IN_WINDOWS), (4, IN_PADDED)],
    ids=["whole grid", "windows", "padded windows"],
)
def test_agrees_with_the_official_block(
    fill: Callable[..., nn.Module], window: int, official: tuple[float, ...]
) -> None:
    block = AdaptedBlock(Block(DIM, HEADS, window, GRID), DIM)
    fill(block)
    if GRID % max(window, 1):
        # MSA pads the windows before the norm, whose bias is then what the padding holds; SAM, whose weights
        # these are, pads after it, with zeros, and so do we. Without that bias the two are the same.
        nn.init.zeros_(block.base.norm1.bias)
    tokens = torch.randn(2, GRID, GRID, DIM, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        out = block(tokens)
    assert [out[place].item() for place in PLACES] == pytest.approx(official, rel=1e-4)
