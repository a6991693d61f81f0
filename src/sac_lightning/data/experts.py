"""Expert points: professionally annotated prompts (section 3.4), and the unprofessional ones of Figure 1.

While training and testing they are drawn from the true instance map with a seed of their own; when predicting a
person gives them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sac_lightning.core.prompts import Placement, refuse_expert_points
from sac_lightning.model.point_selection import PADDING, random_pixels


@dataclass(frozen=True)
class ExpertPoints:
    """How many expert points a view gets, and where.

    Attributes:
        positives: Points labelled nucleus.
        negatives: Points labelled background.
        placement: "centre": positives at the centres of different nuclei, negatives on the background, as an
            expert's. "random": anywhere in the view whatever is there, as those of someone without training (the
            "unprofessional" prompt of Figure 1).
    """

    positives: int = 0
    negatives: int = 0
    placement: Placement = "centre"

    def __post_init__(self) -> None:
        """Refuses, by the names of the settings, what cannot be drawn."""
        refuse_expert_points(self.positives, self.negatives, self.placement)


def draw_expert_points(
    instances: NDArray[np.integer], expert_points: ExpertPoints, generator: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Draws the expert points of a view: the P positive ones first, the N negative ones after them.

    No pixel is drawn twice. That a nucleus's centre is its pixel farthest from its outline, that negatives are
    uniform over the background and random points uniform over the view is our choice: the paper is silent.

    Args:
        instances: (H, W) label map, 0 = background.
        expert_points: How many points and where.
        generator: Source of randomness.

    Returns:
        coords (P + N, 2) xy in pixels, labels (P + N,): 1 or 0, and -1 for padding at (0, 0) where there are
        fewer nuclei, or background pixels, than points.
    """
    if expert_points.placement == "centre":
        positive = _nucleus_centres(instances, expert_points.positives, generator)
        negative = random_pixels(instances == 0, expert_points.negatives, generator)
    else:
        anywhere = np.ones(instances.shape, dtype=bool)
        drawn = random_pixels(anywhere, expert_points.positives + expert_points.negatives, generator)
        positive, negative = np.split(drawn, [expert_points.positives])
    coords = np.zeros((expert_points.positives + expert_points.negatives, 2), dtype=np.float32)
    labels = np.full(len(coords), PADDING, dtype=np.int64)
    for start, points, label in ((0, positive, 1), (expert_points.positives, negative, 0)):
        coords[start : start + len(points)] = points
        labels[start : start + len(points)] = label
    return coords, labels


def _nucleus_centres(
    instances: NDArray[np.integer], count: int, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Centres (k, 2) xy of at most ``count`` different nuclei; they never lie outside a bent one."""
    if count == 0:
        return np.zeros((0, 2), dtype=np.float32)
    boxes = ndimage.find_objects(instances)
    present = [i for i, box in enumerate(boxes) if box is not None]
    drawn = generator.choice(len(present), size=min(count, len(present)), replace=False)
    centres = np.zeros((len(drawn), 2), dtype=np.float32)
    for place, index in enumerate(drawn):
        label = present[index]
        rows, columns = boxes[label]
        y, x = _centre(instances[rows, columns] == label + 1)
        centres[place] = (columns.start + x, rows.start + y)
    return centres


def _centre(nucleus: NDArray[np.bool_]) -> tuple[int, int]:
    """The (row, column) of a mask (H, W) that is farthest from the outline."""
    depth = ndimage.distance_transform_edt(np.pad(nucleus, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(np.argmax(depth), depth.shape)
    return int(row), int(column)
