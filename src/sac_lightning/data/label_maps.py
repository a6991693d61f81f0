"""Label maps: from the connected regions of a mask, and numbered 1 to n."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects


def connected_components(mask: NDArray[np.bool_], min_area: int = 0) -> NDArray[np.int32]:
    """Label the connected regions of a mask.

    Pixels that touch at a corner belong together (8-connectivity): our choice, the paper is silent and SAM's
    own clean-up of small regions does the same.

    Args:
        mask: (H, W) bool, True on nuclei.
        min_area: Regions of fewer pixels are dropped.

    Returns:
        (H, W) int32, 0 = background, the n regions that are kept numbered 1 to n without gaps.

    Raises:
        ValueError: The mask is not (H, W) boolean.
    """
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise ValueError(f"A mask must be (H, W) boolean, not {mask.shape} {mask.dtype}: threshold it.")
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    renumbered: NDArray[np.int32] = _new_numbers(statistics[:, cv2.CC_STAT_AREA], min_area)[labels]
    return renumbered


def renumber_labels(labels: NDArray[np.integer], min_area: int = 0) -> NDArray[np.int32]:
    """Number the regions of a label map 1 to n without gaps, in the order of their old numbers.

    Args:
        labels: (H, W), 0 = background, not negative.
        min_area: Regions of fewer pixels are dropped.

    Returns:
        (H, W) int32, 0 = background.
    """
    renumbered: NDArray[np.int32] = _new_numbers(np.bincount(labels.ravel()), min_area)[labels]
    return renumbered


def _new_numbers(areas: NDArray[Any], min_area: int) -> NDArray[np.int32]:
    """Return the new number of every old one, by its area in pixels; 0 for background and what is dropped."""
    kept = areas >= max(min_area, 1)
    kept[:1] = False
    return np.where(kept, np.cumsum(kept), 0).astype(np.int32)


def find_boxes(label_map: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
    """Find the box around each label of a label map (H, W).

    Returns:
        (n + 1, 4) left, top, right, bottom, by label, from the corner of the first pixel to that of the last; 0 of
        a label that is not there.
    """
    boxes = np.zeros((int(label_map.max(initial=0)) + 1, 4), np.float32)
    for label, found in enumerate(find_objects(label_map), start=1):
        if found is not None:
            rows, columns = found
            boxes[label] = columns.start, rows.start, columns.stop, rows.stop
    return boxes


def look_up(label_map: NDArray[np.int32], points: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return the labels (N,) of a label map (H, W) at points (N, 2) xy, beyond it those of its edge."""
    x, y = points.round().astype(int).T
    labels: NDArray[np.int32] = label_map[y.clip(0, label_map.shape[0] - 1), x.clip(0, label_map.shape[1] - 1)]
    return labels
