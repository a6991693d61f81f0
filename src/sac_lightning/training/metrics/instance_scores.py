"""The instance figures of a split: means over its images, and pooled over its nuclei."""

import torch
from torch import Tensor

from sac_lightning.training.metrics.instances import (
    aggregated_jaccard_index,
    count_matches,
    f1_of_matches,
    jaccard_pixels,
    mean_average_precision,
    one_to_one_jaccard_pixels,
    panoptic_factors,
    precision_of_matches,
)
from sac_lightning.training.metrics.overlaps import Overlaps
from sac_lightning.training.metrics.pixels import ImageMetric

# At which IoU detections are counted, in percent: found, well outlined, exact.
F1_PERCENTS = (50, 70, 90)
MEANS = (
    "aji",
    "aji_plus",
    "pq",
    "dq",
    "sq",
    "ap50",
    "map",
    *(f"f1_{percent}" for percent in F1_PERCENTS),
    "count_error",
)
COUNTS = (
    "shared_pixels",
    "covered_pixels",
    "true_nuclei",
    "found_nuclei",
    *(f"matches_{percent}" for percent in F1_PERCENTS),
)


class InstanceScores(ImageMetric):
    """Every instance figure of a split, of one table of overlaps per image."""

    instance_means: Tensor
    instance_counts: Tensor
    instance_iou_sum: Tensor

    def __init__(self) -> None:
        """Start with no images."""
        super().__init__()
        self.add_state("instance_means", torch.zeros(len(MEANS), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("instance_counts", torch.zeros(len(COUNTS), dtype=torch.int64), dist_reduce_fx="sum")
        self._add_sum("instance_iou_sum", torch.float64)

    def update(self, overlaps: Overlaps) -> None:
        """Add one image by the table of its true and predicted nuclei, see find_overlaps."""
        figures, counts = image_figures(overlaps), _image_counts(overlaps)
        self.instance_means += self.instance_means.new_tensor([figures[name] for name in MEANS])
        self.instance_counts += self.instance_counts.new_tensor([counts[name] for name in COUNTS])
        self.instance_iou_sum += float(overlaps.matched_ious.sum())
        self.images += 1

    def compute(self) -> dict[str, Tensor]:
        """Return the figures, scalars; raise UserError if no image was given.

        Returns:
            aji, aji_plus, pq, dq, sq, ap50, map, f1_50, f1_70, f1_90: Means over images, see metrics.instances;
                the mean of pq is not the product of the means of dq and sq.
            count_error: Mean over images of the difference between predicted and true nuclei, by true ones.
            pooled_aji, pooled_pq, pooled_f1_50, ...: The same of all images as if they were one, in which a
                crowded image weighs as much as its nuclei do.
            pooled_count_error: Predicted nuclei of all images by true ones, less 1: negative where nuclei merge,
                no number where there are no true ones.
        """
        images = self._require_images()
        means = dict(zip(MEANS, (self.instance_means / images).float(), strict=True))
        counts = dict(zip(COUNTS, self.instance_counts.double(), strict=True))
        instances = counts["true_nuclei"] + counts["found_nuclei"]
        pooled = {
            "aji": _share(counts["shared_pixels"], counts["covered_pixels"]),
            "pq": _share(2 * self.instance_iou_sum, instances),
            **{f"f1_{percent}": _share(2 * counts[f"matches_{percent}"], instances) for percent in F1_PERCENTS},
            "count_error": counts["found_nuclei"] / counts["true_nuclei"] - 1,
        }
        return {**means, **{f"pooled_{name}": value.float() for name, value in pooled.items()}}


def image_figures(overlaps: Overlaps) -> dict[str, float]:
    """Return the figures of one image, by the names in MEANS."""
    detection, segmentation = panoptic_factors(overlaps)
    true, found = len(overlaps.truth_areas), len(overlaps.prediction_areas)
    return {
        "aji": aggregated_jaccard_index(jaccard_pixels(overlaps)),
        "aji_plus": aggregated_jaccard_index(one_to_one_jaccard_pixels(overlaps)),
        "pq": detection * segmentation,
        "dq": detection,
        "sq": segmentation,
        "ap50": precision_of_matches(len(overlaps.matched_ious), overlaps.instances),
        "map": mean_average_precision(overlaps),
        **{
            f"f1_{percent}": f1_of_matches(count_matches(overlaps, percent / 100), overlaps.instances)
            for percent in F1_PERCENTS
        },
        "count_error": abs(found - true) / max(true, 1),
    }


def _image_counts(overlaps: Overlaps) -> dict[str, int]:
    shared, covered = jaccard_pixels(overlaps)
    return {
        "shared_pixels": shared,
        "covered_pixels": covered,
        "true_nuclei": len(overlaps.truth_areas),
        "found_nuclei": len(overlaps.prediction_areas),
        **{f"matches_{percent}": count_matches(overlaps, percent / 100) for percent in F1_PERCENTS},
    }


def _share(part: Tensor, whole: Tensor) -> Tensor:
    """Return the quotient of counts, 1 where there is nothing in truth and prediction."""
    return torch.where(whole == 0, 1.0, part / whole.clamp(min=1))
