"""Select point prompts from the generator's probabilities: centroids (O) or random pixels (R), Eq. 4-5.

P_pos = sigmoid(M) and P_neg = 1 - P_pos. ``points = n`` means n positive and n negative points (the appendix
calls them pairs): the first n of a set are positive (label 1), the next n negative (label 0). A missing point is
(0, 0) with label -1, which SAM's prompt encoder takes as padding.
"""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sac_lightning.core.prompts import Selection, refuse_selection

PADDING = -1


class PointSelection:
    """S of Eq. 5: maps a probability map to n positive and n negative points."""

    def __init__(
        self,
        points: int,
        selection: Selection = "O",
        threshold: float = 0.5,
        fill_with_random: bool = False,
        keep_raw_centroid: bool = False,
    ) -> None:
        """Create a point selection.

        Args:
            points: n >= 0.
            selection: ``O``: one point per connected region above the threshold, largest regions first;
                ``R``: pixels above the threshold, drawn without replacement.
            threshold: tau in [0, 1), for both P_pos and P_neg.
            fill_with_random: With O and fewer regions than points: draw the missing points as R does,
                instead of padding.
            keep_raw_centroid: With O: keep a centroid that lies outside its region (the background is one
                region full of holes). By default the nearest pixel of the region replaces it. Our choice: the
                paper is silent, and a negative point on a nucleus would be a wrong prompt.

        Raises:
            UserError: A value is out of range.
        """
        refuse_selection(points, selection, threshold)
        self.points = points
        self.selection = selection
        self.threshold = threshold
        self.fill_with_random = fill_with_random
        self.keep_raw_centroid = keep_raw_centroid

    def __call__(self, logits: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
        """Choose the points of a batch.

        Args:
            logits: (B, 1, H, W), the generator's output M.
            seeds: (B,), per image a seed for the random numbers of R.

        Returns:
            point_coords (B, 2n, 2), xy in pixels of the map, and point_labels (B, 2n) in {1, 0, -1}.
        """
        maps = torch.sigmoid(logits.detach().float())[:, 0].cpu().numpy()
        coords = np.zeros((len(maps), 2, self.points, 2), dtype=np.float32)
        labels = np.full((len(maps), 2, self.points), PADDING, dtype=np.int64)
        for i, (probability, seed) in enumerate(zip(maps, seeds.tolist(), strict=True)):
            generator = np.random.default_rng(seed)
            for side, label in ((probability, 1), (1 - probability, 0)):
                chosen = self._choose(side > self.threshold, generator)
                coords[i, 1 - label, : len(chosen)] = chosen
                labels[i, 1 - label, : len(chosen)] = label
        shape = (len(maps), 2 * self.points)
        return (
            torch.from_numpy(coords.reshape(*shape, 2)).to(logits.device),
            torch.from_numpy(labels.reshape(*shape)).to(logits.device),
        )

    def _choose(self, mask: NDArray[np.bool_], generator: np.random.Generator) -> NDArray[np.float32]:
        """Choose at most n points (k, 2) xy of a mask (H, W)."""
        if self.selection == "R":
            return random_pixels(mask, self.points, generator)
        chosen = region_centroids(mask, self.points, self.keep_raw_centroid)
        missing = self.points - len(chosen)
        if missing and self.fill_with_random:
            chosen = np.concatenate([chosen, random_pixels(mask, missing, generator)])
        return chosen


def region_centroids(mask: NDArray[np.bool_], count: int, keep_raw: bool = False) -> NDArray[np.float32]:
    """Return the centroids of the largest 8-connected regions, O(C(P)).

    Args:
        mask: (H, W).
        count: Largest number of regions, largest first; among equal ones the topmost, then the leftmost.
        keep_raw: Keep a centroid outside its region; otherwise the region's nearest pixel replaces it.

    Returns:
        (k, 2) xy in pixels, k <= count.
    """
    pixels = mask.astype(np.uint8)
    regions, labels, stats, centroids = cv2.connectedComponentsWithStats(pixels, connectivity=8)
    left, top, _, _, area = stats[1:regions].T
    order = 1 + np.lexsort((left, top, -area))[:count]
    chosen = centroids[order].astype(np.float32)
    if keep_raw:
        return chosen
    for i, label in enumerate(order):
        x, y = chosen[i]
        if labels[round(float(y)), round(float(x))] != label:
            left, top, width, height = stats[label, :4]
            box = labels[top : top + height, left : left + width] == label
            chosen[i] = np.array([left, top]) + _nearest_pixel(box, x - left, y - top)
    return chosen


def _nearest_pixel(region: NDArray[np.bool_], x: float, y: float) -> NDArray[np.float32]:
    """Return the pixel (2,) xy of a region (H, W) that is nearest to a point."""
    rows, columns = np.nonzero(region)
    nearest = np.argmin((rows - y) ** 2 + (columns - x) ** 2)
    return np.array([columns[nearest], rows[nearest]], dtype=np.float32)


def random_pixels(mask: NDArray[np.bool_], count: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Draw pixels of a mask without replacement, R(tau, P).

    Args:
        mask: (H, W).
        count: Largest number of pixels.
        generator: Source of randomness.

    Returns:
        (k, 2) xy in pixels, k = min(count, pixels in the mask).
    """
    pixels = np.flatnonzero(mask)
    drawn = generator.choice(pixels, size=min(count, len(pixels)), replace=False)
    rows, columns = np.divmod(drawn, mask.shape[1])
    return np.stack([columns, rows], axis=1).astype(np.float32)


def scale_points(point_coords: Tensor, factor: float) -> Tensor:
    """Scale points xy to a grid ``factor`` times as fine; a pixel's centre has whole coordinates in both."""
    return (point_coords + 0.5) * factor - 0.5
