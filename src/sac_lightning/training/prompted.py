"""What a decoder of single nuclei is prompted by in a test: to tell what its points are worth."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sac_lightning.core.errors import UserError
from sac_lightning.core.view import View
from sac_lightning.data.label_maps import find_boxes
from sac_lightning.data.sample import WholeImage
from sac_lightning.data.windows import gather_points
from sac_lightning.inference.nuclei_of_points import DecodedNucleus, Points, decode_points, points_shown
from sac_lightning.inference.separate import choose_nuclei, decode_own_points, encoded_windows, separate_nuclei
from sac_lightning.inference.thresholds import EveryNucleus, Separation, scale_separation
from sac_lightning.inference.windows import Prediction
from sac_lightning.model.promptable import Promptable
from sac_lightning.training.separation_targets import measure_distances

PROMPTED = ("own", "exact", "boxes", "shifted", "hidden")
"""``own``: its own points and a person's; ``exact``: one in the middle of each nucleus of the truth; ``boxes``:
the box around each nucleus; ``shifted``: the exact points, each moved by its nucleus's radius; ``hidden``: its own
points' places are decoded, but it is shown none."""


def refuse_prompted(prompted: object, separation: Separation | None) -> None:
    """Raise UserError if there is no such way, or the separation has no points to change."""
    if prompted not in PROMPTED:
        raise UserError(f"prompted is {prompted}: choose {', '.join(PROMPTED[:-1])} or {PROMPTED[-1]}")
    if prompted != "own" and not isinstance(separation, EveryNucleus):
        raise UserError(
            f"prompted={prompted} is for instances=prompts and a model that was trained with "
            "prompts.objective=instances: leave it out"
        )


def separate_image(
    model: nn.Module,
    prediction: Prediction,
    image: WholeImage,
    view: View,
    separation: Separation,
    prompted: str,
) -> tuple[Prediction, NDArray[np.int32]]:
    """Separate the nuclei of a test image.

    Args:
        model: That predicted.
        prediction: Of the image.
        image: With its truth.
        view: Of the training.
        separation: The method and its thresholds, of the training.
        prompted: One of PROMPTED.

    Returns:
        The prediction, its points those that were decoded, if any were by themselves; the nuclei (H, W).
    """
    scaled, view = scale_separation(separation, image.factor), view.at_scale(image.factor)
    if not isinstance(scaled, EveryNucleus):
        return prediction, separate_nuclei(model, prediction, view, scaled)
    truth = image.instances.cpu().numpy()
    given = gather_points(image.expert_points, view.windows(*truth.shape))
    decoded = decode_prompted(model, prediction, view, prompted, truth, given, image.seed)
    coords, labels = (torch.from_numpy(values) for values in points_shown(decoded, given))
    instances = choose_nuclei(decoded, prediction.probability.cpu().numpy(), scaled)
    return replace(prediction, point_coords=coords, point_labels=labels), instances


def decode_prompted(
    model: nn.Module,
    prediction: Prediction,
    view: View,
    prompted: str,
    truth: NDArray[np.int32],
    given: Points,
    seed: int,
) -> list[DecodedNucleus]:
    """Decode the nuclei of an image.

    Args:
        model: Which decodes nuclei.
        prediction: Of the image, with its embeddings.
        view: That it was made by.
        prompted: One of PROMPTED.
        truth: (H, W) label map.
        given: (N, 3) a person's points, xy in image pixels and label.
        seed: Of the directions in which points are shifted.
    """
    if prompted == "own":
        return decode_own_points(model, prediction, view, given)
    if prompted == "hidden":
        return decode_own_points(model, prediction, view, given, blind=True)
    assert isinstance(model, Promptable)
    if prompted == "boxes":
        points, sizes = find_boxed(truth)
    else:
        points, radii = find_middles(truth)
        sizes = np.zeros_like(points)
    if prompted == "shifted":
        points = shift_points(points, radii, truth.shape, np.random.default_rng(seed))
    nobody = np.zeros(len(points), dtype=bool)
    return decode_points(
        model, encoded_windows(prediction, view), view, points, nobody, given[:0, :2], sizes=sizes
    )


def find_middles(truth: NDArray[np.int32]) -> tuple[Points, NDArray[np.float32]]:
    """Return the innermost pixel (n, 2) xy of each nucleus of a label map (H, W), and a disc's radius (n,)."""
    labels = truth.astype(np.int64)
    _, relative = measure_distances(labels)
    rows, columns = np.nonzero(labels)
    order = np.argsort(-relative[rows, columns], kind="stable")
    rows, columns = rows[order], columns[order]
    _, first, areas = np.unique(labels[rows, columns], return_index=True, return_counts=True)
    points = np.stack([columns[first], rows[first]], axis=1).astype(np.float32)
    return points, np.sqrt(areas / np.pi).astype(np.float32)


def find_boxed(truth: NDArray[np.int32]) -> tuple[Points, Points]:
    """Return middle (n, 2) xy and size (n, 2) of the box around each nucleus of a label map (H, W)."""
    boxes = find_boxes(truth)[np.unique(truth[truth > 0])]
    middles: Points = ((boxes[:, :2] + boxes[:, 2:] - 1) / 2).astype(np.float32)
    sizes: Points = boxes[:, 2:] - boxes[:, :2]
    return middles, sizes


def shift_points(
    points: Points, distances: NDArray[np.float32], size: tuple[int, ...], generator: np.random.Generator
) -> Points:
    """Move points (n, 2) xy in directions that are drawn, but not out of an image of this height and width."""
    angles = generator.uniform(0, 2 * np.pi, len(points))
    moved = points + distances[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    inside: Points = moved.clip(0, np.array(size[::-1]) - 1).astype(np.float32)
    return inside
