"""Prompt quality: do points lie where their labels say, and does every nucleus have one of its own?

The paper judges prompts by eye (Figures 1 and 3); these figures are our choice.
"""

import torch
from torch import Tensor

from sac_lightning.training.metrics.pixels import ImageMetric


class PromptQuality(ImageMetric):
    """Four figures of the point prompts, pooled over the points and nuclei of a split.

    Every point in the image counts, expert and automatic ones alike, once for each of the overlapping windows that
    it was given in. Padding and points in a window's mirrored margin do not count.
    """

    higher_is_better = None  # Not of points_per_nucleus.

    prompt_positives: Tensor
    prompt_positives_on_nucleus: Tensor
    prompt_negatives: Tensor
    prompt_negatives_off_nucleus: Tensor
    prompt_nuclei: Tensor
    prompt_nuclei_hit: Tensor

    def __init__(self) -> None:
        """Start with no images."""
        super().__init__()
        for name in (
            "prompt_positives",
            "prompt_positives_on_nucleus",
            "prompt_negatives",
            "prompt_negatives_off_nucleus",
            "prompt_nuclei",
            "prompt_nuclei_hit",
        ):
            self._add_sum(name, torch.int64)

    def update(self, point_coords: Tensor, point_labels: Tensor, instances: Tensor) -> None:
        """Add one image; a point stands for the pixel nearest to it.

        Args:
            point_coords: (N, 2) xy in image pixels.
            point_labels: (N,), 1 nucleus, 0 background, -1 padding.
            instances: (H, W) integer label map of the true nuclei, 0 = background.

        Raises:
            ValueError: They have other shapes.
        """
        if point_coords.shape != (*point_labels.shape, 2) or point_labels.ndim != 1 or instances.ndim != 2:
            points = f"points {tuple(point_coords.shape)} with labels {tuple(point_labels.shape)}"
            raise ValueError(f"{points} on {tuple(instances.shape)} must be (N, 2) with (N,) on (H, W).")
        columns, rows = torch.floor(point_coords.float() + 0.5).long().unbind(-1)
        height, width = instances.shape
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        under, labels = instances[rows[inside], columns[inside]], point_labels[inside]
        on_nucleus = under > 0
        positive, negative = labels == 1, labels == 0
        self.prompt_positives += positive.sum()
        self.prompt_positives_on_nucleus += (positive & on_nucleus).sum()
        self.prompt_negatives += negative.sum()
        self.prompt_negatives_off_nucleus += (negative & ~on_nucleus).sum()
        self.prompt_nuclei += len(torch.unique(instances[instances > 0]))
        self.prompt_nuclei_hit += len(torch.unique(under[positive & on_nucleus]))
        self.images += 1

    def compute(self) -> dict[str, Tensor]:
        """Return the four figures, scalars, NaN where there is nothing to divide by.

        Returns:
            positives_on_nucleus: Share of the positive points that lie on a nucleus, in [0, 1].
            negatives_off_nucleus: Share of the negative points that lie on background, in [0, 1].
            nuclei_hit: Share of the nuclei that at least one positive point lies on, in [0, 1].
            points_per_nucleus: Positive points, wherever they lie, by true nuclei; may exceed 1.

        Raises:
            UserError: No image was given.
        """
        self._require_images()
        return {
            "positives_on_nucleus": _share(self.prompt_positives_on_nucleus, self.prompt_positives),
            "negatives_off_nucleus": _share(self.prompt_negatives_off_nucleus, self.prompt_negatives),
            "nuclei_hit": _share(self.prompt_nuclei_hit, self.prompt_nuclei),
            "points_per_nucleus": _share(self.prompt_positives, self.prompt_nuclei),
        }


class NucleusPoints(ImageMetric):
    """The points of a whole image as detections of its nuclei, pooled over the points and nuclei of a split.

    Unlike PromptQuality it knows no windows, whose overlaps count a point several times, and no limit of points:
    one point on each nucleus scores 1 in everything.
    """

    higher_is_better = None  # Not of regions_per_nucleus.

    nucleus_points: Tensor
    nucleus_points_nuclei: Tensor
    nucleus_points_hit: Tensor
    nucleus_points_once: Tensor

    def __init__(self) -> None:
        """Start with no images."""
        super().__init__()
        for name in ("nucleus_points", "nucleus_points_nuclei", "nucleus_points_hit", "nucleus_points_once"):
            self._add_sum(name, torch.int64)

    def update(self, points: Tensor, instances: Tensor) -> None:
        """Add one image; a point stands for the pixel nearest to it.

        Args:
            points: (N, 2) xy in image pixels, all inside the image.
            instances: (H, W) integer label map of the true nuclei, 0 = background.
        """
        columns, rows = torch.floor(points.float() + 0.5).long().unbind(-1)
        under = instances[rows, columns]
        _, hits = torch.unique(under[under > 0], return_counts=True)
        self.nucleus_points += len(points)
        self.nucleus_points_nuclei += len(torch.unique(instances[instances > 0]))
        self.nucleus_points_hit += len(hits)
        self.nucleus_points_once += (hits == 1).sum()
        self.images += 1

    def compute(self) -> dict[str, Tensor]:
        """Return the figures, scalars, NaN where there is nothing to divide by.

        Of the points on one nucleus the first is right, and all others are as wrong as those on background.

        Returns:
            precision: Nuclei that have a point, by points.
            recall: Nuclei that have a point, by nuclei.
            exactly_once: Nuclei that have exactly one, by nuclei.
            f1: Harmonic mean of precision and recall.
            regions_per_nucleus: Points by nuclei; may exceed 1.

        Raises:
            UserError: No image was given.
        """
        self._require_images()
        return {
            "precision": _share(self.nucleus_points_hit, self.nucleus_points),
            "recall": _share(self.nucleus_points_hit, self.nucleus_points_nuclei),
            "exactly_once": _share(self.nucleus_points_once, self.nucleus_points_nuclei),
            "f1": _share(2 * self.nucleus_points_hit, self.nucleus_points + self.nucleus_points_nuclei),
            "regions_per_nucleus": _share(self.nucleus_points, self.nucleus_points_nuclei),
        }


def _share(part: Tensor, whole: Tensor) -> Tensor:
    """Return the quotient of counts in float32, NaN where the whole is 0."""
    return torch.where(whole == 0, torch.nan, part.float() / whole.float())
