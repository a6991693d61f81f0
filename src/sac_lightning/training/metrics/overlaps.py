"""The table that every instance metric reads: which nuclei of two label maps share pixels, and how many.

An image costs one sort of its foreground pixels however many nuclei it holds.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

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
    def ious(self) -> NDArray[np.float64]:
        """(N,) the IoU of each pair."""
        return self.intersection / self.union

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
    predicted, true = read_label_map(prediction), read_label_map(target)
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


def read_label_map(labels: LabelMap) -> NDArray[np.int64]:
    """Return a label map (H, W) as int64; raise ValueError if it is none, see find_overlaps."""
    array = labels.cpu().numpy() if isinstance(labels, Tensor) else labels
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"A label map must be (H, W) of integers, not {array.shape} {array.dtype}.")
    if array.size and (array.min() < 0 or array.max() >= 2**31):
        raise ValueError(f"Labels must lie in 0 to 2**31 - 1, not {array.min()} to {array.max()}.")
    return array.astype(np.int64)
