"""A prompt set for each point that is decoded by itself: the point, and its neighbours as background."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from sac_lightning.core.view import Window
from sac_lightning.model.point_selection import BOTTOM_RIGHT, PADDING, TOP_LEFT

# Around a disc there is room for six of its size: further ones do not touch it.
NEIGHBOURS = 6

Centres: TypeAlias = NDArray[np.float32]


def prompt_sets(
    centres: Centres,
    owners: NDArray[np.int64],
    windows: Sequence[Window],
    negatives: Centres | None = None,
    reach: float = np.inf,
) -> tuple[Centres, NDArray[np.int64]]:
    """Make a prompt set for each centroid: itself, and its nearest neighbours as background.

    Args:
        centres: (N, 2) xy in image pixels, no two of them equal.
        owners: (N,) the window of each.
        windows: Of the image.
        negatives: (M, 2) xy in image pixels, further points of the background. Default: none.
        reach: How far a neighbour may be, in image pixels.

    Returns:
        coords (N, 1 + NEIGHBOURS, 2) xy in pixels of the window, and labels (N, 1 + NEIGHBOURS): 1, then 0;
        neighbours outside the window or out of reach are padding (-1).
    """
    count = len(centres)
    coords = np.zeros((count, 1 + NEIGHBOURS, 2), dtype=np.float32)
    labels = np.full((count, 1 + NEIGHBOURS), PADDING, dtype=np.int64)
    if count == 0:
        return coords, labels
    around = centres if negatives is None else np.concatenate([centres, negatives])
    places = np.arange(1, min(len(around), 1 + NEIGHBOURS) + 1)
    # The first is the centroid itself; where there are too few in reach, the number of all stands for none.
    nearest = KDTree(around).query(centres, k=places, distance_upper_bound=reach)[1]
    is_there = nearest < len(around)
    nearest = np.where(is_there, nearest, 0)
    corners = np.array([(window.left, window.top) for window in windows])[owners, None]
    sizes = np.array([(window.width, window.height) for window in windows])[owners, None]
    local = around[nearest] - corners
    inside = is_there & ((local >= -0.5) & (local < sizes - 0.5)).all(axis=2)
    coords[:, : len(places)][inside] = local[inside]
    labels[:, : len(places)][inside] = 0
    labels[:, 0] = 1
    return coords, labels


def show_boxes(coords: Centres, labels: NDArray[np.int64], boxes: Centres) -> tuple[Centres, NDArray[np.int64]]:
    """Show boxes in place of the points of prompt sets; the furthest neighbour makes room.

    So a set with a box has no more tokens than one with a point, which hence answers alike with boxes beside it.

    Args:
        coords: (N, 1 + NEIGHBOURS, 2), see prompt_sets.
        labels: (N, 1 + NEIGHBOURS).
        boxes: (N, 4) left, top, right, bottom, in the pixels of ``coords``.
    """
    corners = boxes.reshape(-1, 2, 2).astype(np.float32)
    signs = np.tile(np.array([TOP_LEFT, BOTTOM_RIGHT]), (len(boxes), 1))
    return np.concatenate([corners, coords[:, 1:-1]], axis=1), np.concatenate([signs, labels[:, 1:-1]], axis=1)
