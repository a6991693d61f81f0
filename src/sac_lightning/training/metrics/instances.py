"""Instance metrics of one image, each from its table of overlaps.

A match is a pair of a true and a predicted nucleus whose IoU is greater than a threshold of at least 0.5, so that
no nucleus is in two matches. An image empty in truth and prediction scores 1 in everything.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sac_lightning.training.metrics.overlaps import Overlaps

# Of the 2018 Data Science Bowl: 0.5, 0.55 ... 0.95.
AVERAGED_THRESHOLDS = tuple(percent / 100 for percent in range(50, 100, 5))


def jaccard_pixels(overlaps: Overlaps) -> tuple[int, int]:
    """Return the two pixel counts whose quotient is the aggregated Jaccard index (Kumar et al. 2017, Algorithm 1).

    Each true nucleus is paired with the prediction of highest IoU (of equal ones the lower label). The pixels
    that the pairs share are divided by the pixels of their unions, of the nuclei that nothing overlaps and of
    the predictions that no nucleus chose. Two nuclei may choose the same prediction, as in the script of the
    MoNuSeg challenge, so that the figures compare with published ones.
    """
    # By nucleus, then by falling IoU; the sort is stable, so ties fall to the lower predicted label.
    order = np.lexsort((-overlaps.ious, overlaps.truth))
    _, first = np.unique(overlaps.truth[order], return_index=True)
    return _pixels_of_pairs(overlaps, order[first])


def one_to_one_jaccard_pixels(overlaps: Overlaps) -> tuple[int, int]:
    """Return the pixel counts of AJI+ (Graham et al. 2019): as jaccard_pixels, but no prediction serves twice.

    The pairs are those of the greatest sum of IoU.
    """
    return _pixels_of_pairs(overlaps, _assign(overlaps))


def aggregated_jaccard_index(pixels: tuple[int, int]) -> float:
    """Return AJI or AJI+ of pixel counts, in [0, 1]."""
    shared, covered = pixels
    return shared / covered if covered else 1.0


def panoptic_factors(overlaps: Overlaps) -> tuple[float, float]:
    """Return dq = TP / (TP + FP/2 + FN/2) and sq = mean IoU of the matches (Kirillov et al. 2019, Eq. 1).

    Their product is the image's panoptic quality, as nuclei have one class also known as bPQ.
    """
    ious = overlaps.matched_ious
    if overlaps.instances == 0:
        return 1.0, 1.0
    # TP + FP/2 + FN/2 is half of all instances, as a match takes one of each side.
    return 2 * len(ious) / overlaps.instances, float(ious.mean()) if len(ious) else 0.0


def count_matches(overlaps: Overlaps, threshold: float) -> int:
    """Return how many pairs have an IoU greater than a threshold of at least 0.5."""
    return int((overlaps.ious > threshold).sum())


def f1_of_matches(matches: int, instances: int) -> float:
    """Return 2 TP / (2 TP + FP + FN); ``instances`` are true and predicted ones together."""
    return 2 * matches / instances if instances else 1.0


def precision_of_matches(matches: int, instances: int) -> float:
    """Return TP / (TP + FP + FN), which the 2018 Data Science Bowl calls the precision at a threshold."""
    return matches / (instances - matches) if instances else 1.0


def mean_average_precision(overlaps: Overlaps) -> float:
    """Return the mean of precision_of_matches over 0.5, 0.55 ... 0.95, the score of the 2018 Data Science Bowl."""
    found = [precision_of_matches(count_matches(overlaps, t), overlaps.instances) for t in AVERAGED_THRESHOLDS]
    return sum(found) / len(found)


def _pixels_of_pairs(overlaps: Overlaps, pairs: NDArray[np.intp]) -> tuple[int, int]:
    """Return the pixels that some pairs share, and those that they and all other nuclei cover."""
    missed = np.delete(overlaps.truth_areas, np.unique(overlaps.truth[pairs])).sum()
    spurious = np.delete(overlaps.prediction_areas, np.unique(overlaps.prediction[pairs])).sum()
    covered = overlaps.union[pairs].sum() + missed + spurious
    return int(overlaps.intersection[pairs].sum()), int(covered)


def _assign(overlaps: Overlaps) -> NDArray[np.intp]:
    """Return the pairs of a one-to-one assignment with the greatest sum of IoU."""
    trues, guesses = len(overlaps.truth_areas), len(overlaps.prediction_areas)
    ends = (overlaps.truth, trues + overlaps.prediction)
    graph = coo_array((np.ones(len(overlaps.truth)), ends), shape=(trues + guesses, trues + guesses))
    group = connected_components(graph, directed=False)[1][overlaps.truth]
    order = np.argsort(group, kind="stable")
    chosen = []
    # Nuclei that no chain of overlaps connects have no say in each other's pairs.
    for pairs in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        true, row = np.unique(overlaps.truth[pairs], return_inverse=True)
        guess, column = np.unique(overlaps.prediction[pairs], return_inverse=True)
        place = np.full((len(true), len(guess)), -1)
        place[row, column] = pairs
        gain = np.zeros(place.shape)
        gain[row, column] = overlaps.ious[pairs]
        taken = place[linear_sum_assignment(gain, maximize=True)]
        chosen.append(taken[taken >= 0])
    return np.concatenate(chosen) if chosen else np.zeros(0, np.intp)
