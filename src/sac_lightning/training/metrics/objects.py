"""The figures of the GlaS challenge (Sirinukunwattana et al. 2017, section 5): F1, object Dice, object Hausdorff.

The object of an object is the one of the other map that shares the most pixels with it, of equal ones the lower
label. Sums over objects are weighted by their areas, and the two directions count half each.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from sac_lightning.training.metrics.overlaps import LabelMap, Overlaps, find_overlaps, read_label_map
from sac_lightning.training.metrics.pixels import ImageMetric

Box = tuple[slice, slice]


class ObjectScores(ImageMetric):
    """Means over images of the challenge's figures; an image empty in truth and prediction scores 1, 1 and 0.

    In the challenge an image of several hundred thousand pixels without any object on one side is infinitely far
    away. Here it is as far as its diagonal is long, so that the mean stays a number: our choice.
    """

    higher_is_better = None  # Not of the distance.

    object_f1_sum: Tensor
    object_dice_sum: Tensor
    object_hausdorff_sum: Tensor

    def __init__(self) -> None:
        """Start with no images."""
        super().__init__()
        for name in ("object_f1_sum", "object_dice_sum", "object_hausdorff_sum"):
            self._add_sum(name)

    def update(self, prediction: LabelMap, target: LabelMap) -> None:
        """Add one image: two (H, W) label maps as `find_overlaps` takes them."""
        overlaps = find_overlaps(prediction, target)
        self.object_f1_sum += object_f1(overlaps)
        self.object_dice_sum += object_dice(overlaps)
        self.object_hausdorff_sum += object_hausdorff(prediction, target, overlaps)
        self.images += 1

    def compute(self) -> dict[str, Tensor]:
        """Return the means, object_hausdorff in pixels; raise UserError if no image was given."""
        images = self._require_images()
        return {
            "object_f1": self.object_f1_sum / images,
            "object_dice": self.object_dice_sum / images,
            "object_hausdorff": self.object_hausdorff_sum / images,
        }


def object_f1(overlaps: Overlaps) -> float:
    """Return the detection F1 of the challenge: a prediction finds the object of which it covers at least half."""
    if overlaps.instances == 0:
        return 1.0
    pairs = _largest_overlap(overlaps.prediction, overlaps)
    covered = 2 * overlaps.intersection[pairs] >= overlaps.truth_areas[overlaps.truth[pairs]]
    found = len(np.unique(overlaps.truth[pairs][covered]))
    return 2 * found / overlaps.instances


def object_dice(overlaps: Overlaps) -> float:
    """Return the object-level Dice of the challenge."""
    if overlaps.instances == 0:
        return 1.0
    dice = 2 * overlaps.intersection / (overlaps.intersection + overlaps.union)
    sides = (
        (overlaps.truth, overlaps.truth_areas),
        (overlaps.prediction, overlaps.prediction_areas),
    )
    total = 0.0
    for side, areas in sides:
        pairs = _largest_overlap(side, overlaps)
        total += float((areas[side[pairs]] * dice[pairs]).sum() / max(areas.sum(), 1)) / 2
    return total


def object_hausdorff(prediction: LabelMap, target: LabelMap, overlaps: Overlaps) -> float:
    """Return the object-level Hausdorff distance of the challenge, in pixels.

    An object that nothing overlaps is compared with the one of the other map that is nearest by this distance.

    Args:
        prediction: (H, W) label map.
        target: (H, W) label map.
        overlaps: Of the two.
    """
    if overlaps.instances == 0:
        return 0.0
    maps = [_number(read_label_map(target)), _number(read_label_map(prediction))]
    if not all(labels.any() for labels in maps):
        return math.hypot(*maps[0].shape)
    boxes = [ndimage.find_objects(labels) for labels in maps]
    known: dict[tuple[int, int], float] = {}

    def distance(true: int, found: int) -> float:
        if (true, found) not in known:
            box = _join(boxes[0][true], boxes[1][found])
            known[true, found] = hausdorff(maps[0][box] == true + 1, maps[1][box] == found + 1)
        return known[true, found]

    total = 0.0
    sides = ((overlaps.truth, overlaps.truth_areas), (overlaps.prediction, overlaps.prediction_areas))
    for turn, (side, areas) in enumerate(sides):
        others = overlaps.prediction if turn == 0 else overlaps.truth
        partner = {int(side[pair]): int(others[pair]) for pair in _largest_overlap(side, overlaps)}
        for one, area in enumerate(areas):
            candidates = [partner[one]] if one in partner else range(len(boxes[1 - turn]))
            distances = (distance(one, other) if turn == 0 else distance(other, one) for other in candidates)
            total += float(area / areas.sum()) * min(distances) / 2
    return total


def hausdorff(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Return the greatest distance in pixels from a pixel of one mask (H, W) to the nearest of the other."""
    return max(
        float(ndimage.distance_transform_edt(~second)[first].max()),
        float(ndimage.distance_transform_edt(~first)[second].max()),
    )


def _largest_overlap(side: NDArray[np.intp], overlaps: Overlaps) -> NDArray[np.intp]:
    """Return for each object of a side that overlaps any the pair with the most pixels."""
    order = np.lexsort((-overlaps.intersection, side))
    _, first = np.unique(side[order], return_index=True)
    return order[first]


def _number(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a label map with the labels 1 to n, in the order of an overlap table's areas."""
    numbers, inverse = np.unique(labels, return_inverse=True)
    numbered: NDArray[np.int64] = inverse.reshape(labels.shape) + (0 if numbers[0] == 0 else 1)
    return numbered


def _join(first: Box, second: Box) -> Box:
    """Return the smallest box around two."""
    rows, columns = (
        slice(min(one.start, other.start), max(one.stop, other.stop))
        for one, other in zip(first, second, strict=True)
    )
    return rows, columns
