"""Expert points: prompts as a professional annotates them (section 3.4), or an untrained person (Figure 1).

In training and testing they are drawn from the true instance map with their own seed; in prediction a person
gives them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sac_lightning.core.prompts import Placement, refuse_expert_points
from sac_lightning.model.point_selection import PADDING, random_pixels


@dataclass(frozen=True)
class ExpertPoints:
    """The number of expert points in a view, and where they lie.

    Attributes:
        positives: Points labelled nucleus.
        negatives: Points labelled background.
        placement: "centre": positives at the centres of different nuclei and negatives on the background, as
            an expert would place them. "random": anywhere in the view, regardless of what is there, as an
            untrained person would (the "unprofessional" prompt of Figure 1).
    """

    positives: int = 0
    negatives: int = 0
    placement: Placement = "centre"

    def __post_init__(self) -> None:
        """Raise UserError, which names the setting, if such points cannot be drawn."""
        refuse_expert_points(self.positives, self.negatives, self.placement)


def draw_expert_points(
    instances: NDArray[np.integer], expert_points: ExpertPoints, generator: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Draw the expert points of a view: P positive ones, then N negative ones.

    No pixel is drawn twice. The centre of a nucleus is its pixel farthest from its outline; negatives are
    uniform over the background, random points uniform over the view. Our choice: the paper is silent.

    Args:
        instances: (H, W) label map, 0 = background.
        expert_points: How many points and where.
        generator: Source of randomness.

    Returns:
        coords (P + N, 2) xy in pixels, and labels (P + N,): 1 for nucleus, 0 for background, -1 for padding at
        (0, 0) where there are fewer nuclei or background pixels than points.
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
    """Return the centres (k, 2) xy of at most ``count`` different nuclei. They lie inside, even in bent nuclei."""
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
    """Return the (row, column) of the pixel of a mask (H, W) that is farthest from the outline."""
    depth = ndimage.distance_transform_edt(np.pad(nucleus, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(np.argmax(depth), depth.shape)
    return int(row), int(column)
