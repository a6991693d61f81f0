"""A stand-in for a model that decodes nuclei: it answers a point with a disc, cut halfway to its neighbours.

Of an image, red is the interior and green the mask of nuclei.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sac_lightning.core.view import View
from sac_lightning.inference.predictor import Predictor
from sac_lightning.inference.thresholds import EveryNucleus
from sac_lightning.model.nucleus_decoder import NucleusMasks, find_corners
from sac_lightning.model.point_selection import BOTTOM_RIGHT, TOP_LEFT, PointSelection
from sac_lightning.model.promptable import Segmentation, segment_images
from sac_lightning.model.segment_any_cell import find_places

GRID, PATCH, FIELD, RADIUS = 8, 8, 3, 6.0
VIEW = View(GRID * PATCH, GRID * PATCH, overlap=0.25)


class Discs(nn.Module):
    """A Promptable on inputs of 64 pixels, with a score per point that grows towards the right."""

    dense = refine = False
    has_generator = has_trained_decoder = decodes_nuclei = True
    is_silent = False
    nucleus_field: int | None = FIELD

    def __init__(self, radius: float = RADIUS) -> None:
        super().__init__()
        self.radius = radius
        self.point_selection = PointSelection(1)
        self.batches: list[int] = []

    def forward(self, images: Tensor, *points: Tensor | None, seeds: Tensor | None = None) -> Segmentation:
        """Segment images."""
        return segment_images(self, images, seeds=seeds)

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Embed nothing."""
        return torch.zeros(len(images), 1, GRID, GRID), self.generate(images)

    def generate(self, images: Tensor) -> Tensor:
        """Take the maps out of the colours."""
        interior, mask = (images[:, [0]] - 128) / 16, (images[:, [1]] - 128) / 16
        return torch.cat([mask, interior, interior, mask], dim=1)

    def decode(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Decode no mask of all nuclei."""
        raise NotImplementedError

    def decode_nuclei(
        self, embeddings: Tensor, maps: Tensor, owners: Tensor, coords: Tensor, labels: Tensor
    ) -> NucleusMasks:
        """Answer with discs."""
        self.batches.append(len(coords))
        middles = find_places(coords, labels)
        corners = find_corners(middles, FIELD, GRID, PATCH)
        steps = torch.arange(FIELD * PATCH).float()
        x, y = corners[:, 0, None] * PATCH + steps, corners[:, 1, None] * PATCH + steps
        # A box is a point at its middle, and its width tells the radius.
        is_box = labels[:, 0] == TOP_LEFT
        radius = torch.where(is_box, (coords[:, 1, 0] - coords[:, 0, 0]) / 2, self.radius)[:, None, None]
        away = torch.cat([middles[:, None], coords[:, 1:]], dim=1)[:, :, None, None]
        distances = torch.hypot(x[:, None, None, :] - away[..., 0], y[:, None, :, None] - away[..., 1])
        distances = distances.masked_fill(((labels == -1) | (labels == BOTTOM_RIGHT))[..., None, None], 1e3)
        nearest = distances[:, 1:].min(dim=1).values if distances.shape[1] > 1 else torch.tensor(1e3)
        inside = torch.minimum(radius - distances[:, 0], nearest - distances[:, 0])
        return NucleusMasks(inside[:, None] * 2, inside[:, None], middles[:, 0] / 200 + 0.4, corners)


def predictor(radius: float = RADIUS, min_area: int = 0, crop: int = GRID * PATCH) -> Predictor:
    """A predictor by the stand-in."""
    view = View(GRID * PATCH, crop, overlap=0.25)
    return Predictor(Discs(radius), view, separation=EveryNucleus(0.0, 0.5, min_area, 0.3))


def draw(size: tuple[int, int], points: NDArray[np.float32], radius: float = RADIUS) -> NDArray[np.uint8]:
    """An image with a nucleus at each point (N, 2) xy."""
    y, x = np.mgrid[: size[0], : size[1]]
    away = np.full(size, 1e3)
    for px, py in points:
        away = np.minimum(away, np.hypot(x - px, y - py))
    image = np.zeros((*size, 3), np.uint8)
    image[away <= radius / 3, 0] = image[away <= radius, 1] = 255
    return image


def scatter(size: tuple[int, int], gap: float, seed: int = 0) -> NDArray[np.float32]:
    """Points of an image that keep a gap from each other."""
    generator = np.random.default_rng(seed)
    kept: list[NDArray[np.float32]] = []
    for point in (generator.random((4000, 2)) * (np.array(size[::-1]) - 1)).round().astype(np.float32):
        if all(np.hypot(*(point - other)) >= gap for other in kept):
            kept.append(point)
    return np.array(kept)
