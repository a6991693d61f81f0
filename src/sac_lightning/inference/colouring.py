"""Colours of nuclei in pictures: nuclei that touch never have the same one."""

import heapq
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

# Bright ones that differ in hue from both stains, from the black of fluorescence, and from the points; those that
# are told apart best come first. Nuclei that hang together need six on a plane, and with corners, which may touch
# crosswise, eight (graphs with one crossing an edge have a node with at most seven neighbours).
PALETTE = (
    (255, 210, 0),
    (0, 190, 230),
    (255, 120, 40),
    (0, 200, 120),
    (200, 130, 255),
    (190, 230, 60),
    (255, 150, 130),
    (240, 240, 240),
)
ROWS_AT_ONCE = 512


def colour_nuclei(labels: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Return the colour of each number of a label map.

    Nuclei that touch nothing have the palette's first colour. The others take turns, those with the fewest
    neighbours last, and each gets the first colour that none of its neighbours has.

    Args:
        labels: (H, W), 0 = background.

    Returns:
        (n + 1, 3) RGB, the row of a nucleus being its number.
    """
    chosen = np.zeros(int(labels.max(initial=0)) + 1, dtype=np.int64)
    neighbours: dict[int, set[int]] = defaultdict(set)
    for one, other in _touching(labels).tolist():
        neighbours[one].add(other)
        neighbours[other].add(one)
    coloured: set[int] = set()
    for nucleus in _order(neighbours):
        taken = {int(chosen[other]) for other in neighbours[nucleus] if other in coloured}
        free = (colour for colour in range(len(PALETTE)) if colour not in taken)
        chosen[nucleus] = next(free, 0)  # only nuclei of several parts may find none
        coloured.add(nucleus)
    return np.array(PALETTE, dtype=np.uint8)[chosen]


def _touching(labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the pairs (N, 2) of nuclei that have neighbouring pixels, corner to corner included."""
    base = int(labels.max(initial=0)) + 1
    found = [np.zeros(0, dtype=np.int64)]
    for top in range(0, len(labels), ROWS_AT_ONCE):
        part = labels[top : top + ROWS_AT_ONCE + 1]
        for one, other in (
            (part[:, :-1], part[:, 1:]),
            (part[:-1], part[1:]),
            (part[:-1, :-1], part[1:, 1:]),
            (part[:-1, 1:], part[1:, :-1]),
        ):
            differ = (one != other) & (one > 0) & (other > 0)
            pair = one[differ].astype(np.int64), other[differ].astype(np.int64)
            found.append(np.unique(np.minimum(*pair) * base + np.maximum(*pair)))
    return np.stack(np.divmod(np.unique(np.concatenate(found)), base), axis=1)


def _order(neighbours: dict[int, set[int]]) -> list[int]:
    """Return nuclei in an order in which each has few neighbours before it: the one with the fewest goes last."""
    left = {nucleus: len(others) for nucleus, others in neighbours.items()}
    waiting = [(count, nucleus) for nucleus, count in left.items()]
    heapq.heapify(waiting)
    taken: list[int] = []
    while waiting:
        count, nucleus = heapq.heappop(waiting)
        if left.get(nucleus) != count:  # it has been taken, or has lost neighbours since
            continue
        del left[nucleus]
        taken.append(nucleus)
        for other in neighbours[nucleus]:
            if other in left:
                left[other] -= 1
                heapq.heappush(waiting, (left[other], other))
    return taken[::-1]
