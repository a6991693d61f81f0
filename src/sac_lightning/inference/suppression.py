"""Masks that overlap to a label map: non-maximum suppression, then the better mask on top."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sac_lightning.data.label_maps import renumber_labels


@dataclass(frozen=True)
class Candidate:
    """A mask that may be a nucleus.

    Attributes:
        left: Column of the image that is the mask's first.
        top: Row of the image that is the mask's first.
        mask: (h, w) bool, True somewhere, cut tightly.
        score: How good it is, higher is better.
    """

    left: int
    top: int
    mask: NDArray[np.bool_]
    score: float

    @property
    def box(self) -> tuple[slice, slice]:
        """Return its rows and columns in the image."""
        height, width = self.mask.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def suppress_overlaps(candidates: Sequence[Candidate], overlap: float) -> list[Candidate]:
    """Suppress overlaps greedily by the IoU of masks.

    Which candidates above a score are kept does not depend on those below it.

    Args:
        candidates: In any order.
        overlap: A candidate whose IoU with a better one that is kept is greater is dropped, in [0, 1).

    Returns:
        Those that are kept, the best first; of equal ones the earlier.
    """
    ordered = sorted(candidates, key=lambda candidate: -candidate.score)
    areas = [int(candidate.mask.sum()) for candidate in ordered]
    # left, top, right, bottom
    boxes = np.array([(c.left, c.top, c.box[1].stop, c.box[0].stop) for c in ordered]).reshape(-1, 4)
    kept: list[int] = []
    for i, candidate in enumerate(ordered):
        better = boxes[kept]
        meet = (better[:, :2] < boxes[i, 2:]).all(axis=1) & (boxes[i, :2] < better[:, 2:]).all(axis=1)
        for j in np.array(kept, dtype=int)[meet]:
            shared = _shared_pixels(candidate, ordered[j])
            if shared > overlap * (areas[i] + areas[j] - shared):
                break
        else:
            kept.append(i)
    return [ordered[i] for i in kept]


def _shared_pixels(one: Candidate, other: Candidate) -> int:
    """Count the pixels that two candidates share, whose boxes meet."""
    left, top = max(one.left, other.left), max(one.top, other.top)
    rows, columns = (
        min(a.stop, b.stop) - first for a, b, first in zip(one.box, other.box, (top, left), strict=True)
    )
    cuts = [
        candidate.mask[top - candidate.top :, left - candidate.left :][:rows, :columns]
        for candidate in (one, other)
    ]
    return int((cuts[0] & cuts[1]).sum())


def paint_label_map(
    kept: Iterable[Candidate], size: tuple[int, int], score: float = 0.0, min_area: int = 0
) -> NDArray[np.int32]:
    """Paint the label map of what suppression has kept.

    Args:
        kept: The best first; a pixel belongs to the first that has it.
        size: Height and width of the image.
        score: Candidates with at most this score are left out.
        min_area: Nuclei of which fewer pixels are to be seen are dropped.

    Returns:
        (H, W) int32, 0 = background, the nuclei numbered 1 to n without gaps.
    """
    labels = np.zeros(size, dtype=np.int32)
    for number, candidate in enumerate(kept, start=1):
        if candidate.score > score:
            part = labels[candidate.box]
            part[candidate.mask & (part == 0)] = number
    return renumber_labels(labels, min_area)
