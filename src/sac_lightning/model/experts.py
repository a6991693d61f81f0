"""Expert points: professionally annotated prompts (section 3.4).

While training and testing they are drawn from the true instance map, at nucleus centres, with a seed of their
own; when predicting a person gives them.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sac_lightning.model.point_selection import PADDING


def draw_expert_points(
    instances: NDArray[np.integer], count: int, generator: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Draws positive points at the centres of different nuclei.

    A centre is the nucleus's pixel farthest from its outline, so that it never lies outside a bent one.

    Args:
        instances: (H, W) label map, 0 = background.
        count: How many points; padded where there are fewer nuclei.
        generator: Source of randomness.

    Returns:
        coords (count, 2) xy in pixels, labels (count,): 1, or -1 for padding at (0, 0).
    """
    coords = np.zeros((count, 2), dtype=np.float32)
    labels = np.full(count, PADDING, dtype=np.int64)
    if count == 0:
        return coords, labels
    boxes = ndimage.find_objects(instances)
    present = [i for i, box in enumerate(boxes) if box is not None]
    drawn = generator.choice(len(present), size=min(count, len(present)), replace=False)
    for place, index in enumerate(drawn):
        label = present[index]
        rows, columns = boxes[label]
        y, x = _centre(instances[rows, columns] == label + 1)
        coords[place] = (columns.start + x, rows.start + y)
        labels[place] = 1
    return coords, labels


def _centre(nucleus: NDArray[np.bool_]) -> tuple[int, int]:
    """The (row, column) of a mask (H, W) that is farthest from the outline."""
    depth = ndimage.distance_transform_edt(np.pad(nucleus, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(np.argmax(depth), depth.shape)
    return int(row), int(column)
