"""The prompts that a decoder of single nuclei learns from: points on nuclei, and points on none.

Of each window they are, with equal chance, true points, jittered, with false ones among them, or the generator's
own as it is at that step, wherever they lie. Of the nuclei with true points, some are shown by a box instead. Both
are there from the start, as are the false ones: in a trial, a decoder that met them late could not tell them by
its score.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sac_lightning.core.view import Window
from sac_lightning.data.label_maps import find_boxes
from sac_lightning.inference.prompt_sets import prompt_sets, show_boxes
from sac_lightning.model.point_selection import region_centroids
from sac_lightning.model.prompt_generator import INTERIOR
from sac_lightning.training.separation_targets import measure_distances

PROMPTS = 20
"""Of each window, at most: drawn anew in every epoch."""
OWN = 0.5
# Between these a threshold is drawn above which the generator's interior gives points.
OWN_THRESHOLDS = (0.35, 0.6)
OWN_AREA = 3
# Nuclei of fewer pixels of the generator's map, such as what a window's border leaves of one, are not asked for.
LEAST_AREA = 20
# A true point is where the distance to the outline is at least this part of the nucleus's largest.
NEAR_MIDDLE, ANYWHERE_INSIDE, SHARE_ANYWHERE = 0.85, 0.5, 0.6
FALSE = 0.15
"""False points, to one true."""
BOXED = 0.5
"""Of the true points, those that a box takes the place of: half, as in SAM's training (Kirillov et al. 2023,
appendix A). The generator's own points, by which most tests ask, stay points."""
# SAM's jitter, of each side of a box: a standard deviation in sides, and the most in pixels.
JITTER, MOST_JITTER = 0.1, 20.0


@dataclass
class NucleusPrompts:
    """The prompt sets of a batch.

    Attributes:
        owners: (P,) the window of each.
        coords: (P, N, 2) xy in input pixels, the point that asks first, or the corners of the box that does; its
            neighbours after it.
        labels: (P, N), 1 for the point, 2 and 3 for a box's corners, 0 for neighbours, -1 padding.
        nuclei: (P,) the number of the nucleus on which the point lies, or which the box is around; 0: none.
    """

    owners: Tensor
    coords: Tensor
    labels: Tensor
    nuclei: Tensor


def draw_prompts(instances: Tensor, generator_logits: Tensor, seeds: Tensor, reach: float) -> NucleusPrompts:
    """Draw the prompts of a batch, at least one of each window.

    Args:
        instances: (B, 1, S, S) label maps, 0 = background.
        generator_logits: (B, 4, m, m), of a generator that separates.
        seeds: (B,) one seed per window.
        reach: How far a neighbour may be, in input pixels.
    """
    size, side = instances.shape[-1], generator_logits.shape[-1]
    small = F.interpolate(instances.float(), (side, side), mode="nearest-exact")[:, 0].long().cpu().numpy()
    interiors = generator_logits[:, INTERIOR].detach().float().sigmoid().cpu().numpy()
    drawn = [
        _draw_window(labels, interior, size / side, reach, np.random.default_rng(seed))
        for labels, interior, seed in zip(small, interiors, seeds.tolist(), strict=True)
    ]
    owners = np.repeat(np.arange(len(drawn)), [len(window[0]) for window in drawn])
    coords, labels, nuclei = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    arrays = (torch.from_numpy(array).to(instances.device) for array in (owners, coords, labels, nuclei))
    return NucleusPrompts(*arrays)


def _draw_window(
    labels: NDArray[np.int64],
    interior: NDArray[np.float32],
    factor: float,
    reach: float,
    generator: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Return coordinates, in pixels ``factor`` times as fine as the window's, labels and nuclei of its prompts."""
    points, known = np.zeros((0, 2), np.float32), 0
    if generator.random() < OWN:
        mask = interior > generator.uniform(*OWN_THRESHOLDS)
        points = region_centroids(mask, mask.size, min_area=OWN_AREA)
    if not len(points):
        points = true_points(labels, generator)
        known = len(points)
        count = max(1, round(FALSE * known))
        points = np.concatenate([points, false_points(labels, count, generator)])
    x, y = points.round().astype(int).T
    nuclei = labels[y, x]
    window = Window(0, 0, *(round(side * factor) for side in reversed(labels.shape)))
    fine = (points + 0.5) * np.float32(factor) - np.float32(0.5)
    coords, signs = prompt_sets(fine, np.zeros(len(points), dtype=np.int64), [window], None, reach)
    boxed = np.flatnonzero(generator.random(known) < BOXED)
    boxes = jitter_boxes(find_boxes(labels)[nuclei[boxed]] * np.float32(factor) - np.float32(0.5), generator)
    coords[boxed], signs[boxed] = show_boxes(coords[boxed], signs[boxed], boxes)
    chosen = generator.permutation(len(points))[:PROMPTS]
    return coords[chosen], signs[chosen], nuclei[chosen]


def true_points(labels: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.float32]:
    """Draw a point (n, 2) xy in each nucleus of a label map (H, W): near its middle, or anywhere well inside."""
    _, relative = measure_distances(labels)
    least = np.where(
        generator.random(labels.max(initial=0) + 1) < SHARE_ANYWHERE, ANYWHERE_INSIDE, NEAR_MIDDLE
    ).astype(np.float32)
    least[np.bincount(labels.ravel()) < LEAST_AREA] = np.inf
    rows, columns = np.nonzero((labels > 0) & (relative >= least[labels]))
    shuffled = generator.permutation(len(rows))
    rows, columns = rows[shuffled], columns[shuffled]
    _, first = np.unique(labels[rows, columns], return_index=True)
    return np.stack([columns[first], rows[first]], axis=1).astype(np.float32)


def jitter_boxes(boxes: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
    """Move each side of boxes (n, 4) by some of their width or height, as a person does not draw them exactly."""
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    noise = generator.normal(size=boxes.shape) * JITTER * sides
    jittered: NDArray[np.float32] = (boxes + noise.clip(-MOST_JITTER, MOST_JITTER)).astype(np.float32)
    return jittered


def false_points(labels: NDArray[np.int64], count: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Draw points (n, 2) xy of the background of a label map (H, W), or of all of it where there is none."""
    places = np.flatnonzero(labels == 0) if (labels == 0).any() else np.arange(labels.size)
    rows, columns = np.divmod(generator.choice(places, min(count, len(places)), replace=False), labels.shape[1])
    return np.stack([columns, rows], axis=1).astype(np.float32)
