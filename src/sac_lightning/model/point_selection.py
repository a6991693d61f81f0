"""Select point prompts from the generator's probabilities: centroids (O) or random pixels (R), Eq. 4-5.

P_pos = sigmoid(M) and P_neg = 1 - P_pos. ``points = n`` means n positive and n negative points (the appendix
calls them pairs): the first n of a set are positive (label 1), the next n negative (label 0). A missing point is
(0, 0) with label -1, which SAM's prompt encoder takes as padding.

A generator that separates touching nuclei has a map of their interiors, which takes P_pos's place: its regions are
one per nucleus, where those of P_pos are clumps whose centroids fall between nuclei.
"""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sac_lightning.core.prompts import Selection, refuse_selection
from sac_lightning.model.prompt_generator import INTERIOR, MASK

PADDING = -1
# SAM's labels of a box's corners.
TOP_LEFT, BOTTOM_RIGHT = 2, 3


class PointSelection:
    """S of Eq. 5: maps a probability map to n positive and n negative points."""

    def __init__(
        self,
        points: int,
        selection: Selection = "O",
        threshold: float = 0.5,
        fill_with_random: bool = False,
        keep_raw_centroid: bool = False,
        min_area: int = 0,
        margin: int = 0,
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
            min_area: With O: regions of fewer pixels of the map are specks, and give no point.
            margin: Negative points keep more than so many pixels of the map from nuclei and from the window's
                edge, beyond which one may lie; where nothing is so far away, there are none. With O, each region's
                is its deepest pixel, and the deepest of all comes first: a centroid may lie just beside a nucleus.

        Raises:
            UserError: A value is out of range.
        """
        refuse_selection(points, selection, threshold, min_area, margin)
        self.points = points
        self.selection = selection
        self.threshold = threshold
        self.fill_with_random = fill_with_random
        self.keep_raw_centroid = keep_raw_centroid
        self.min_area = min_area
        self.margin = margin

    def __call__(self, logits: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
        """Choose the points of a batch.

        Args:
            logits: (B, 1, H, W), the generator's output M; or (B, 4, H, W), of one that separates.
            seeds: (B,), per image a seed for the random numbers of R.

        Returns:
            point_coords (B, 2n, 2), xy in pixels of the map, and point_labels (B, 2n) in {1, 0, -1}.
        """
        maps = torch.sigmoid(logits.detach().float()).cpu().numpy()
        coords = np.zeros((len(maps), 2, self.points, 2), dtype=np.float32)
        labels = np.full((len(maps), 2, self.points), PADDING, dtype=np.int64)
        for i, (image, seed) in enumerate(zip(maps, seeds.tolist(), strict=True)):
            generator = np.random.default_rng(seed)
            nucleus, background = positive_map(image) > self.threshold, 1 - image[MASK] > self.threshold
            for label, chosen in (
                (1, self._choose(nucleus, generator)),
                (0, self._choose_far(background, generator)),
            ):
                coords[i, 1 - label, : len(chosen)] = chosen
                labels[i, 1 - label, : len(chosen)] = label
        shape = (len(maps), 2 * self.points)
        return (
            torch.from_numpy(coords.reshape(*shape, 2)).to(logits.device),
            torch.from_numpy(labels.reshape(*shape)).to(logits.device),
        )

    def choose_all(self, maps: NDArray[np.float32], scale: float = 1.0) -> NDArray[np.float32]:
        """Choose O's positive points of a whole image: one per region, however many there are.

        Args:
            maps: P_pos of an image whose windows were blended, (1, H, W); or all maps of a generator that
                separates, (C, H, W).
            scale: Pixels of them, along a side, to one of the maps of a window.

        Returns:
            (N, 2) xy in pixels, those of the largest regions first.
        """
        nucleus = positive_map(maps) > self.threshold
        return region_centroids(nucleus, nucleus.size, self.keep_raw_centroid, round(self.min_area * scale**2))

    def _choose_far(self, background: NDArray[np.bool_], generator: np.random.Generator) -> NDArray[np.float32]:
        """Choose at most n points (k, 2) xy of background (H, W), away from nuclei if there is a margin."""
        if self.margin == 0:
            return self._choose(background, generator)
        depths = measure_depths(background)
        far = depths > self.margin
        if self.selection == "R":
            return random_pixels(far, self.points, generator)
        chosen = deepest_pixels(depths, far, self.points, self.min_area)
        missing = self.points - len(chosen)
        if missing and self.fill_with_random:
            chosen = np.concatenate([chosen, random_pixels(far, missing, generator)])
        return chosen

    def _choose(self, mask: NDArray[np.bool_], generator: np.random.Generator) -> NDArray[np.float32]:
        """Choose at most n points (k, 2) xy of a mask (H, W)."""
        if self.selection == "R":
            return random_pixels(mask, self.points, generator)
        chosen = region_centroids(mask, self.points, self.keep_raw_centroid, self.min_area)
        missing = self.points - len(chosen)
        if missing and self.fill_with_random:
            chosen = np.concatenate([chosen, random_pixels(mask, missing, generator)])
        return chosen


def positive_map(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return of a generator's maps (C, H, W) that whose regions are nuclei (H, W): interiors, if it has them."""
    regions: NDArray[np.float32] = maps[INTERIOR if len(maps) > 1 else MASK]
    return regions


def measure_depths(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return how far the pixels of a mask are from its outside, (H, W) in pixels; beyond the map is outside."""
    padded = np.pad(mask.astype(np.uint8), 1)
    return cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1].astype(np.float32)


def deepest_pixels(
    depths: NDArray[np.float32], mask: NDArray[np.bool_], count: int, min_area: int = 0
) -> NDArray[np.float32]:
    """Return the deepest pixel of each 8-connected region of a mask, the deepest of all first.

    Args:
        depths: (H, W), see measure_depths.
        mask: (H, W).
        count: Largest number of pixels; among equally deep ones the topmost, then the leftmost come first.
        min_area: Regions of fewer pixels are left out.

    Returns:
        (k, 2) xy in pixels, k <= count.
    """
    regions, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    found = []
    for label in range(1, regions):
        left, top, width, height, area = stats[label]
        if area < min_area:
            continue
        box = (slice(top, top + height), slice(left, left + width))
        inside = np.where(labels[box] == label, depths[box], 0)
        row, column = np.unravel_index(inside.argmax(), inside.shape)
        found.append((-inside[row, column], top + row, left + column))
    deepest = [(x, y) for _, y, x in sorted(found)[:count]]
    return np.array(deepest, dtype=np.float32).reshape(-1, 2)


def region_centroids(
    mask: NDArray[np.bool_], count: int, keep_raw: bool = False, min_area: int = 0
) -> NDArray[np.float32]:
    """Return the centroids of the largest 8-connected regions, O(C(P)).

    Args:
        mask: (H, W).
        count: Largest number of regions, largest first; among equal ones the topmost, then the leftmost.
        keep_raw: Keep a centroid outside its region; otherwise the region's nearest pixel replaces it.
        min_area: Regions of fewer pixels are left out.

    Returns:
        (k, 2) xy in pixels, k <= count.
    """
    pixels = mask.astype(np.uint8)
    regions, labels, stats, centroids = cv2.connectedComponentsWithStats(pixels, connectivity=8)
    left, top, _, _, area = stats[1:regions].T
    order = 1 + np.lexsort((left, top, -area))[: min(count, int((area >= min_area).sum()))]
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
