"""A window of an image: its pixels, mirrored beyond the edge, and the points in it."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sac_lightning.core.view import Window


@dataclass
class WindowPoints:
    """Expert points of one image, a set per window.

    Attributes:
        coords: (T, E, 2) xy in pixels of the window.
        labels: (T, E), 1 nucleus, 0 background, -1 padding.
    """

    coords: Tensor
    labels: Tensor


def cut_window(image: Tensor, window: Window) -> Tensor:
    """Cut a window out of an image (C, H, W), mirrored where it reaches beyond the image."""
    rows = _mirror_indices(window.top, window.height, image.shape[-2])
    columns = _mirror_indices(window.left, window.width, image.shape[-1])
    return image[:, rows][:, :, columns]


def _mirror_indices(start: int, length: int, size: int) -> Tensor:
    """Fold indices ``start .. start + length`` back into ``0 .. size - 1``, edge pixels not repeated."""
    period = max(2 * (size - 1), 1)
    index = np.abs(np.arange(start, start + length)) % period
    return torch.from_numpy(np.minimum(index, period - index) % size)
