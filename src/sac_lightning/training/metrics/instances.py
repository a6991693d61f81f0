"""Instance metrics of label maps: AJI, panoptic quality and AP50, each a mean over images.

All three read one sparse table of overlaps, so an image costs one sort of its foreground pixels however many
nuclei it holds.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sac_lightning.training.metrics.pixels import ImageMetric

LabelMap: TypeAlias = Tensor | NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Overlaps:
    """Which instances of two label maps share pixels, and how many.

    Attributes:
        truth_areas: (T,) int64, pixels of each true instance.
        prediction_areas: (P,) int64, pixels of each predicted instance.
        truth: (N,) index into truth_areas, one entry for each pair that shares a pixel.
        prediction: (N,) index into prediction_areas.
        intersection: (N,) int64, pixels that the pair shares.
        union: (N,) int64, pixels that at least one of the pair covers.
    """

    truth_areas: NDArray[np.int64]
    prediction_areas: NDArray[np.int64]
    truth: NDArray[np.intp]
    prediction: NDArray[np.intp]
    intersection: NDArray[np.int64]
    union: NDArray[np.int64]

    @property
    def instances(self) -> int:
        """True and predicted instances together."""
        return len(self.truth_areas) + len(self.prediction_areas)

    def drop_small(self, min_area: int) -> "Overlaps":
        """Return the table of the same maps without predicted instances of fewer pixels."""
        kept = self.prediction_areas >= min_area
        pairs = kept[self.prediction]
        return Overlaps(
            self.truth_areas,
            self.prediction_areas[kept],
            self.truth[pairs],
            (np.cumsum(kept) - 1)[self.prediction[pairs]],
            self.intersection[pairs],
            self.union[pairs],
        )

    @property
    def matched_ious(self) -> NDArray[np.float64]:
        """(M,) the IoU of each pair above 0.5; an instance can be in only one such pair."""
        matched = 2 * self.intersection > self.union
        return self.intersection[matched] / self.union[matched]


def find_overlaps(prediction: LabelMap, target: LabelMap) -> Overlaps:
    """Count the pixels that each pair of instances shares.

    Args:
        prediction: (H, W) integer label map, 0 = background, labels up to 2**31 - 1 with any gaps.
        target: (H, W) integer label map of the true instances, likewise.

    Returns:
        The table of overlapping pairs, in the order of true, then predicted labels.

    Raises:
        ValueError: The maps are not of integers, not of one shape (H, W), or a label is out of range.
    """
    predicted, true = _read_label_map(prediction), _read_label_map(target)
    if predicted.shape != true.shape:
        raise ValueError(f"prediction {predicted.shape} and target {true.shape} must have one shape (H, W).")
    foreground = (predicted > 0) | (true > 0)
    keys, pixels = np.unique(true[foreground] << 32 | predicted[foreground], return_counts=True)
    # An entry of no pixels for the background makes it index 0 on both sides, whatever the maps hold.
    keys, pixels = np.append(0, keys), np.append(0, pixels)
    true_labels, truth = np.unique(keys >> 32, return_inverse=True)
    predicted_labels, guess = np.unique(keys & 0xFFFFFFFF, return_inverse=True)
    truth_areas = np.zeros(len(true_labels), np.int64)
    prediction_areas = np.zeros(len(predicted_labels), np.int64)
    np.add.at(truth_areas, truth, pixels)
    np.add.at(prediction_areas, guess, pixels)
    pairs = (truth > 0) & (guess > 0)
    truth, guess, intersection = truth[pairs], guess[pairs], pixels[pairs]
    return Overlaps(
        truth_areas=truth_areas[1:],
        prediction_areas=prediction_areas[1:],
        truth=truth - 1,
        prediction=guess - 1,
        intersection=intersection,
        union=truth_areas[truth] + prediction_areas[guess] - intersection,
    )


def _read_label_map(labels: LabelMap) -> NDArray[np.int64]:
    array = labels.cpu().numpy() if isinstance(labels, Tensor) else labels
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"A label map must be (H, W) of integers, not {array.shape} {array.dtype}.")
    if array.size and (array.min() < 0 or array.max() >= 2**31):
        raise ValueError(f"Labels must lie in 0 to 2**31 - 1, not {array.min()} to {array.max()}.")
    return array.astype(np.int64)


class AJI(ImageMetric):
    """Mean over images of the aggregated Jaccard index (Kumar et al. 2017, Algorithm 1).

    Each true nucleus is paired with the prediction of highest IoU (of equal ones the lower label). The pixels
    that the pairs share are divided by the pixels of their unions, of the nuclei that nothing overlaps and of
    the predictions that no nucleus chose. Two nuclei may choose the same prediction, as in the script of the
    MoNuSeg challenge, so that the figures compare with published ones; the variant that forbids it is known as
    AJI+. An image empty in truth and prediction scores 1.
    """

    aji_sum: Tensor

    def __init__(self) -> None:
        """Start with no images."""
        super().__init__()
        self._add_sum("aji_sum")

    def update(self, prediction: LabelMap, target: LabelMap) -> None:
        """Add one image: two (H, W) label maps as `find_overlaps` takes them."""
        self.aji_sum += _aggregated_jaccard_index(find_overlaps(prediction, target))
        self.images += 1

    def compute(self) -> Tensor:
        """Return the mean AJI, a scalar in [0, 1]; raise UserError if no image was given."""
        return self.aji_sum / self._require_images()


def _aggregated_jaccard_index(overlaps: Overlaps) -> float:
    if overlaps.instances == 0:
        return 1.0
    # By nucleus, then by falling IoU; the sort is stable, so ties fall to the lower predicted label.
    order = np.lexsort((-overlaps.intersection / overlaps.union, overlaps.truth))
    chosen_truths, first = np.unique(overlaps.truth[order], return_index=True)
    best = order[first]
    missed = np.delete(overlaps.truth_areas, chosen_truths).sum()
    spurious = np.delete(overlaps.prediction_areas, np.unique(overlaps.prediction[best])).sum()
    union = overlaps.union[best].sum() + missed + spurious
    return float(overlaps.intersection[best].sum() / union)


class PanopticQuality(ImageMetric):
    """Mean over images of panoptic quality and its two factors (Kirillov et al. 2019, Eq. 1), at IoU > 0.5.

    Per image dq = TP / (TP + FP/2 + FN/2), sq = mean IoU of the true positives (0 where there is none) and
    pq = dq·sq, so the mean of pq is not the product of the other two. An image empty in truth and prediction
    scores 1 in each.
    """

    pq_sum: Tensor
    dq_sum: Tensor
    sq_sum: Tensor

    def __init__(self) -> None:
        """Start with no images."""
        super().__init__()
        for name in ("pq_sum", "dq_sum", "sq_sum"):
            self._add_sum(name)

    def update(self, prediction: LabelMap, target: LabelMap) -> None:
        """Add one image: two (H, W) label maps as `find_overlaps` takes them."""
        detection, segmentation = panoptic_factors(find_overlaps(prediction, target))
        self.pq_sum += detection * segmentation
        self.dq_sum += detection
        self.sq_sum += segmentation
        self.images += 1

    def compute(self) -> dict[str, Tensor]:
        """Return the means of pq, dq and sq, each a scalar in [0, 1]; raise UserError if no image was given."""
        images = self._require_images()
        return {"pq": self.pq_sum / images, "dq": self.dq_sum / images, "sq": self.sq_sum / images}


def panoptic_factors(overlaps: Overlaps) -> tuple[float, float]:
    """Return dq and sq of one image, each in [0, 1]; their product is its pq."""
    ious = overlaps.matched_ious
    if overlaps.instances == 0:
        return 1.0, 1.0
    # TP + FP/2 + FN/2 is half of all instances, as a match takes one of each side.
    return 2 * len(ious) / overlaps.instances, float(ious.mean()) if len(ious) else 0.0


class AP50(ImageMetric):
    """Mean over images of TP / (TP + FP + FN) at IoU > 0.5, the score of the 2018 Data Science Bowl at 0.5.

    An image empty in truth and prediction scores 1.
    """

    ap50_sum: Tensor

    def __init__(self) -> None:
        """Start with no images."""
        super().__init__()
        self._add_sum("ap50_sum")

    def update(self, prediction: LabelMap, target: LabelMap) -> None:
        """Add one image: two (H, W) label maps as `find_overlaps` takes them."""
        overlaps = find_overlaps(prediction, target)
        matches = len(overlaps.matched_ious)
        self.ap50_sum += matches / (overlaps.instances - matches) if overlaps.instances else 1.0
        self.images += 1

    def compute(self) -> Tensor:
        """Return the mean AP50, a scalar in [0, 1]; raise UserError if no image was given."""
        return self.ap50_sum / self._require_images()
