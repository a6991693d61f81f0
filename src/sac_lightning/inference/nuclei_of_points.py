"""From points to nuclei, by a decoder that answers each point with its nucleus.

The points are the centroids of the generator's interiors, all of them, and those that a person gives, who may give
boxes around nuclei instead: a box is a point at its middle that has a size. Each is decoded on the embedding of
the window whose middle is nearest, its neighbours as its background, in batches: memory does not grow with their
number.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from torch import Tensor

from sac_lightning.core.view import View, Window
from sac_lightning.data.label_maps import connected_components
from sac_lightning.data.windows import to_input_pixels
from sac_lightning.inference.prompt_sets import prompt_sets, show_boxes
from sac_lightning.model.nucleus_decoder import CELLS
from sac_lightning.model.point_selection import PADDING, PointSelection, positive_map, region_centroids
from sac_lightning.model.promptable import Promptable

BATCH = 32
"""Prompt sets per pass of the decoder."""
# What is less likely belongs to no nucleus, whatever the thresholds.
LEAST_PROBABILITY = 0.05
CERTAIN = 1.0
"""The score of what a person has pointed at: no threshold drops it, and no other nucleus takes its place."""

Points: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class EncodedWindows:
    """Some windows of an image, through the image encoder and the generator.

    Attributes:
        windows: T of them.
        embeddings: (T, 256, h, w).
        generator_logits: (T, C, m, m).
    """

    windows: Sequence[Window]
    embeddings: Tensor
    generator_logits: Tensor


@dataclass(frozen=True)
class DecodedNucleus:
    """The answer to one point.

    Attributes:
        left: Column of the image that is the answer's first.
        top: Row of the image that is the answer's first.
        probability: (h, w) in [0, 1], cut to where it means something.
        score: The decoder's estimate of its mask's IoU, or CERTAIN.
        point: (2,) xy in image pixels: that asked, or the middle of the box that did.
    """

    left: int
    top: int
    probability: NDArray[np.float32]
    score: float
    point: Points

    @property
    def bottom(self) -> int:
        """Return the row of the image that follows the last."""
        return self.top + len(self.probability)

    @property
    def right(self) -> int:
        """Return the column of the image that follows the last."""
        return self.left + int(self.probability.shape[1])


def join_windows(parts: Sequence[EncodedWindows]) -> EncodedWindows:
    """Join windows of one image."""
    if len(parts) == 1:
        return parts[0]
    return EncodedWindows(
        [window for part in parts for window in part.windows],
        torch.cat([part.embeddings for part in parts]),
        torch.cat([part.generator_logits for part in parts]),
    )


def field_pixels(model: Promptable, encoded: EncodedWindows) -> float:
    """Return how far from its point a nucleus can reach at most, in image pixels."""
    assert model.nucleus_field is not None
    window = encoded.windows[0]
    return float(model.nucleus_field * max(window.width, window.height) / encoded.embeddings.shape[-1])


def add_boxes(given: Points, boxes: Points) -> Points:
    """Add boxes to given points (N, 3), xy in image pixels and label.

    Args:
        given: The points.
        boxes: (M, 4) left, top, right, bottom in image pixels.

    Returns:
        (N + M, 5): xy, of a box its middle; label, of a box 1; width and height, of a point 0. Without boxes
        the points as they are.
    """
    if not len(boxes):
        return given
    points = np.pad(given, ((0, 0), (0, 2)))
    middles, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    return np.concatenate([points, np.column_stack([middles, np.ones(len(boxes)), sizes])]).astype(np.float32)


def sizes_of(given: Points) -> Points:
    """Return width and height (N, 2) of given points and boxes (N, 3 or 5), see add_boxes."""
    return given[:, 3:].astype(np.float32) if given.shape[1] > 3 else np.zeros((len(given), 2), np.float32)


def find_points(
    generator_maps: NDArray[np.float32], selection: PointSelection, given: Points
) -> tuple[Points, NDArray[np.bool_], Points]:
    """Find the points of an image to decode: its own, and those of a person.

    Args:
        generator_maps: (C, H, W) in [0, 1], of a generator that separates.
        selection: Says what is interior.
        given: (N, 3 or 5), see add_boxes.

    Returns:
        (P, 2) xy, the given ones first; which of them are given (P,); and their sizes (P, 2), see add_boxes.
    """
    own = find_own_points(positive_map(generator_maps) > selection.threshold, selection, given)
    clicked = given[given[:, 2] == 1]
    sizes = np.pad(sizes_of(clicked), ((0, len(own)), (0, 0)))
    return np.concatenate([clicked[:, :2].astype(np.float32), own]), np.arange(len(sizes)) < len(clicked), sizes


def find_own_points(interior: NDArray[np.bool_], selection: PointSelection, given: Points) -> Points:
    """Find the points (P, 2) xy of interiors (H, W): one of each, unless a person has given one in it.

    A positive point takes the own one's place, and a box that of those in the ellipse that it holds; a negative
    point says that there is no nucleus.

    Args:
        interior: (H, W).
        selection: Says how few pixels are a speck.
        given: (N, 3 or 5) xy in pixels and label, see add_boxes.
    """
    own = region_centroids(interior, interior.size, min_area=selection.min_area)
    own = own[~lie_in_boxes(own, given)]
    x, y = given[:, :2].round().astype(int).T
    inside = (x >= 0) & (y >= 0) & (x < interior.shape[1]) & (y < interior.shape[0])
    if not inside.any():
        return own
    regions = connected_components(interior)
    taken = np.setdiff1d(regions[y[inside], x[inside]], [0])
    x, y = own.round().astype(int).T
    return own[~np.isin(regions[y, x], taken)]


def lie_in_boxes(points: Points, given: Points) -> NDArray[np.bool_]:
    """Return which points (N, 2) lie in the ellipse of any given box: its corners may be of other nuclei."""
    sizes = sizes_of(given)
    boxed = sizes.any(axis=1)
    away = (points[:, None] - given[boxed, :2]) / (sizes[boxed] / 2)
    is_in: NDArray[np.bool_] = np.any(np.hypot(away[..., 0], away[..., 1]) < 1, axis=1)
    return is_in


def points_shown(decoded: Sequence[DecodedNucleus], given: Points | None) -> tuple[Points, NDArray[np.int64]]:
    """Return the points (N, 2) xy by which nuclei were decoded, a person's negatives last, and their labels."""
    own = np.array([nucleus.point for nucleus in decoded], dtype=np.float32).reshape(-1, 2)
    negatives = own[:0] if given is None else given[given[:, 2] == 0, :2].astype(np.float32)
    return np.concatenate([own, negatives]), np.repeat([1, 0], [len(own), len(negatives)])


def choose_owners(points: Points, windows: Sequence[Window]) -> NDArray[np.int64]:
    """Return the window (P,) in which each point is furthest from the border; of equal ones the first."""
    middles = [((2 * w.left + w.width - 1) / 2, (2 * w.top + w.height - 1) / 2) for w in windows]
    owners: NDArray[np.int64] = cdist(points, middles, "chebyshev").argmin(axis=1)
    return owners


@torch.no_grad()
def decode_points(
    model: Promptable,
    encoded: EncodedWindows,
    view: View,
    points: Points,
    is_given: NDArray[np.bool_],
    negatives: Points,
    asked: NDArray[np.bool_] | None = None,
    blind: bool = False,
    sizes: Points | None = None,
) -> list[DecodedNucleus]:
    """Decode points, each by itself.

    Args:
        model: Which decodes nuclei.
        encoded: The windows in which the points lie.
        view: That these are of.
        points: (P, 2) xy in image pixels; each is also a negative point of those around it.
        is_given: (P,), by a person.
        negatives: (N, 2) further negative points, a person's, around which no nucleus stays.
        asked: (P,), which are decoded. Default: all.
        blind: Do not show the decoder any point, only what lies around it: to tell what its points are worth.
        sizes: (P, 2) width and height, in image pixels, of the boxes that are shown in place of points, which are
            their middles; 0 of those that are shown as points. Default: all.

    Returns:
        One for each that is asked and not answered by nothing, in their order.
    """
    owners = choose_owners(points, encoded.windows)
    reach = field_pixels(model, encoded)
    coords, labels = prompt_sets(points, owners, encoded.windows, negatives, reach)
    if sizes is not None:
        boxed = sizes.any(axis=1)
        half = sizes[boxed] / 2
        boxes = np.concatenate([coords[boxed, 0] - half, coords[boxed, 0] + half], axis=1)
        coords[boxed], labels[boxed] = show_boxes(coords[boxed], labels[boxed], boxes)
    order = np.argsort(owners, kind="stable")
    if asked is not None:
        order = order[asked[order]]
    found: dict[int, DecodedNucleus | None] = {}
    for start in range(0, len(order), BATCH):
        part = order[start : start + BATCH]
        used, local = np.unique(owners[part], return_inverse=True)
        device = encoded.embeddings.device
        signs = torch.from_numpy(labels[part]).to(device)
        inputs = to_input_pixels(torch.from_numpy(coords[part]).to(device), signs, encoded.windows[0], view)
        masks = model.decode_nuclei(
            encoded.embeddings[used],
            encoded.generator_logits[used],
            torch.from_numpy(local).to(device),
            inputs,
            torch.full_like(signs, PADDING) if blind else signs,
        )
        answers = masks.logits[:, 0].float().sigmoid().cpu().numpy()
        cells = encoded.embeddings.shape[-1] * CELLS
        corners = masks.corners.cpu().numpy() * CELLS
        for i, answer, corner, iou in zip(part, answers, corners, masks.iou.float().tolist(), strict=True):
            score = CERTAIN if is_given[i] else min(max(iou, 0.0), 1.0)
            found[i] = _place(answer, corner, encoded.windows[owners[i]], cells, score, points[i])
    return [cut_out(nucleus, negatives) for i in sorted(found) if (nucleus := found[i]) is not None]


def cut_out(nucleus: DecodedNucleus, negatives: Points) -> DecodedNucleus:
    """Cut out of a nucleus what lies around a person's negative points (N, 2).

    The decoder may not have heeded them. What is cut is twice as near to one of them as to the nucleus's point.
    """
    height, width = nucleus.probability.shape
    corner = np.array([nucleus.left, nucleus.top])
    local = negatives - corner
    local = local[((local >= -0.5) & (local < np.array([width, height]) - 0.5)).all(axis=1)]
    if not len(local):
        return nucleus
    rows, columns = np.mgrid[:height, :width]
    x, y = nucleus.point - corner
    away = np.hypot(columns - x, rows - y)
    probability = nucleus.probability.copy()
    for x, y in local:
        probability[2 * np.hypot(columns - x, rows - y) < away] = 0
    return replace(nucleus, probability=probability)


def _place(
    answer: NDArray[np.float32], corner: NDArray[np.int64], window: Window, cells: int, score: float, point: Points
) -> DecodedNucleus | None:
    """Bring an answer (s, s) from the cells of a window to pixels of the image."""
    cell = np.array([window.width, window.height]) / cells  # xy, in image pixels
    start = np.array([window.left, window.top]) + corner * cell
    first = np.floor(start).astype(int)
    if (cell != 1).any() or (first != start).any():
        last = np.ceil(start + len(answer) * cell).astype(int)
        # From pixels of the answer to its cells: both have their centres at whole numbers.
        scale, shift = 1 / cell, (first + 0.5 - start) / cell - 0.5
        matrix = np.array([[scale[0], 0, shift[0]], [0, scale[1], shift[1]]])
        size = (int(last[0] - first[0]), int(last[1] - first[1]))
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        answer = cv2.warpAffine(answer, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE).astype(
            np.float32
        )
    rows, columns = (np.flatnonzero((answer > LEAST_PROBABILITY).any(axis=axis)) for axis in (1, 0))
    # Beyond the first row and column of the image it is mirrored, and there is no nucleus.
    rows, columns = rows[rows + first[1] >= 0], columns[columns + first[0] >= 0]
    if not len(rows) or not len(columns):
        return None
    tight = answer[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].copy()
    return DecodedNucleus(int(first[0] + columns[0]), int(first[1] + rows[0]), tight, score, point)
