"""Weights and images by rule, so that official code elsewhere can be given the same ones."""

import zlib
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn


def _fill(model: nn.Module, gain: float = 1.0) -> nn.Module:
    """Fills a model, parameters and buffers, each by a generator that its name seeds; gives it back in eval mode.

    Vectors are scales (0.5..1.5), where their name ends in ``weight`` or ``running_var``, or else small shifts;
    everything else is normal with the standard deviation gain * sqrt(2 / fan-in). Integers stay as they are.
    """
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if not tensor.is_floating_point():
                continue
            generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
            if tensor.ndim <= 1 and name.endswith(("weight", "running_var")):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
            elif tensor.ndim <= 1:
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.1)
            else:
                fan_in = tensor[0].numel()
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * gain * (2 / fan_in) ** 0.5)
    return model.eval()


@pytest.fixture(scope="session")
def fill() -> Callable[..., nn.Module]:
    """See _fill."""
    return _fill


@pytest.fixture(scope="session")
def fixed_images() -> Callable[[int], Tensor]:
    """One RGB image (1, 3, side, side) in 0..255 from a fixed seed."""

    def images(side: int) -> Tensor:
        return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)) * 255

    return images
