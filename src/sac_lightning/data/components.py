"""Instances from a mask: connected regions become the labels of an instance map."""

import cv2
import numpy as np
from numpy.typing import NDArray


def connected_components(mask: NDArray[np.bool_], min_area: int = 0) -> NDArray[np.int32]:
    """Labels the connected regions of a mask.

    Pixels that touch at a corner belong together (8-connectivity): our choice, the paper is silent and SAM's
    own clean-up of small regions does the same.

    Args:
        mask: (H, W) bool, True on nuclei.
        min_area: Regions of fewer pixels are dropped.

    Returns:
        (H, W) int32, 0 = background, the n regions that are kept numbered 1 to n without gaps.

    Raises:
        ValueError: Where the mask is not (H, W) boolean.
    """
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise ValueError(f"A mask must be (H, W) boolean, not {mask.shape} {mask.dtype}: threshold it.")
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    kept = statistics[:, cv2.CC_STAT_AREA] >= min_area
    kept[0] = False
    numbers = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    renumbered: NDArray[np.int32] = numbers[labels]
    return renumbered
