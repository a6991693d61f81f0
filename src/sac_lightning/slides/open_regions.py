"""Which regions of the rows that are known go on below them."""

import cv2
import numpy as np
from numpy.typing import NDArray


def clear_open_regions(mask: NDArray[np.bool_]) -> int:
    """Clear a mask's (H, W) connected regions that reach the last row; return the number of rows above them."""
    _, regions, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    open_regions = np.unique(regions[-1])
    open_regions = open_regions[open_regions > 0]
    if len(open_regions) == 0:
        return len(mask)
    is_open = np.zeros(len(statistics), dtype=bool)
    is_open[open_regions] = True
    mask &= ~is_open[regions]
    return int(statistics[open_regions, cv2.CC_STAT_TOP].min())
