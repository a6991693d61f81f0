"""What the maps of a separating prompt generator learn: mask, interior, distance and edge of every nucleus.

Trials on MoNuSeg chose it, each scored by the watershed on validation images: of the maps from which markers can
be taken (peaks of the distance or of a centre heat map, the mask's own high values, the interior less the edge)
regions of the interior gave the best AJI, and one point per nucleus.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from sac_lightning.model.prompt_generator import DISTANCE, EDGE, INTERIOR, MASK

# Where the distance is above this part of a nucleus's largest it is interior: a third of a disc's area. What is
# large may be branched, as glands are, and that would leave a piece in each of its branches: so many pixels from
# the outline part neighbours well enough.
INTERIOR_DISTANCE = 0.45
INTERIOR_DEPTH = 6.0
# Pixels from a nucleus's outline that are edge.
EDGE_WIDTH = 2.0


def separation_targets(labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the four maps (4, H, W) in [0, 1] of a label map (H, W)."""
    distance, relative = measure_distances(labels)
    nucleus = labels > 0
    maps = np.zeros((4, *labels.shape), dtype=np.float32)
    maps[MASK] = nucleus
    maps[INTERIOR] = (relative > INTERIOR_DISTANCE) | (distance > INTERIOR_DEPTH)
    maps[DISTANCE] = relative
    maps[EDGE] = nucleus & (distance < EDGE_WIDTH)
    return maps


def measure_distances(labels: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return how far each pixel of a nucleus is from what is not its nucleus.

    Args:
        labels: (H, W), 0 = background. A nucleus that the image's border cuts has no outline there.

    Returns:
        (H, W) in pixels, half a pixel at the outline, 0 on background; and the same by the nucleus's largest.
    """
    # The pixels of two nuclei that touch have no background between them: the outlines are taken out first.
    inside = (labels > 0) & ~_outlines(labels)
    # Without any pixel to measure from, the transform would be of no meaning.
    from_outline = np.full(labels.shape, np.inf, dtype=np.float32)
    if not inside.all():
        cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE, from_outline)
    distance = np.where(labels > 0, np.minimum(from_outline, np.hypot(*labels.shape)) + 0.5, 0).astype(np.float32)
    largest = np.zeros(labels.max() + 1, dtype=np.float32)
    np.maximum.at(largest, labels.ravel(), distance.ravel())
    return distance, (distance / np.maximum(largest, 0.5)[labels]).astype(np.float32)


def _outlines(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return the pixels one of whose four neighbours has another label."""
    outlines = np.zeros(labels.shape, dtype=bool)
    across, down = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
    outlines[:, 1:] |= across
    outlines[:, :-1] |= across
    outlines[1:] |= down
    outlines[:-1] |= down
    return outlines
