"""From a prediction to its label map, by any of the methods."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sac_lightning.core.view import View
from sac_lightning.inference.competition import drop_doubles, paint_nuclei
from sac_lightning.inference.every_prompt import candidates
from sac_lightning.inference.nuclei_of_points import (
    DecodedNucleus,
    EncodedWindows,
    Points,
    decode_points,
    find_points,
)
from sac_lightning.inference.suppression import paint_label_map, suppress_overlaps
from sac_lightning.inference.thresholds import EveryNucleus, EveryPrompt, Separation
from sac_lightning.inference.watershed import Maps, labels_of_maps, mask_threshold
from sac_lightning.inference.windows import Prediction
from sac_lightning.model.promptable import Promptable


def separate_nuclei(
    model: nn.Module, prediction: Prediction, view: View, separation: Separation
) -> NDArray[np.int32]:
    """Separate the nuclei of an image.

    Args:
        model: That predicted.
        prediction: For EveryPrompt with the embeddings.
        view: That it was made by.
        separation: The method and its thresholds.

    Returns:
        (H, W) int32, 0 = background, the nuclei numbered 1 to n without gaps.
    """
    if isinstance(separation, EveryNucleus):
        decoded = decode_own_points(model, prediction, view)
        return choose_nuclei(decoded, prediction.probability.cpu().numpy(), separation)
    if isinstance(separation, EveryPrompt):
        kept = suppress_overlaps(candidates(model, prediction, view), separation.overlap)
        height, width = prediction.probability.shape
        return paint_label_map(kept, (height, width), separation.score, separation.min_area)
    return labels_of_maps(maps_of(prediction, mask_threshold(separation)), separation)


def decode_own_points(
    model: nn.Module, prediction: Prediction, view: View, given: Points | None = None, blind: bool = False
) -> list[DecodedNucleus]:
    """Decode the points of an image by a model that decodes nuclei.

    Args:
        model: That predicted.
        prediction: With the embeddings.
        view: That it was made by.
        given: (N, 3 or 5) a person's points and boxes beside the model's own, see add_boxes. Default: none.
        blind: See decode_points.
    """
    assert isinstance(model, Promptable)
    assert prediction.generator_maps is not None
    given = np.zeros((0, 3), np.float32) if given is None else given
    points, is_given, sizes = find_points(prediction.generator_maps.cpu().numpy(), model.point_selection, given)
    negatives = given[given[:, 2] == 0, :2]
    encoded = encoded_windows(prediction, view)
    return decode_points(model, encoded, view, points, is_given, negatives, blind=blind, sizes=sizes)


def encoded_windows(prediction: Prediction, view: View) -> EncodedWindows:
    """Return the windows of a prediction that was made with its embeddings."""
    embeddings, logits = prediction.image_embeddings, prediction.generator_logits
    assert embeddings is not None, "predict with keep_embeddings"
    assert logits is not None, "a model that decodes nuclei has a generator"
    return EncodedWindows(view.windows(*prediction.probability.shape), embeddings, logits)


def choose_nuclei(
    decoded: Sequence[DecodedNucleus], probability: NDArray[np.float32], thresholds: EveryNucleus
) -> NDArray[np.int32]:
    """Choose among decoded nuclei, and paint them.

    Args:
        decoded: Of an image.
        probability: (H, W), of any nucleus.
        thresholds: By which they are chosen.

    Returns:
        See separate_nuclei.
    """
    good = [nucleus for nucleus in decoded if nucleus.score > thresholds.score]
    kept = drop_doubles(good, thresholds.overlap)
    return paint_nuclei(kept, probability, thresholds.pixel, thresholds.min_area)


def maps_of(prediction: Prediction, threshold: float) -> Maps:
    """Return the maps of a whole image, its mask at a threshold."""
    probability = prediction.probability.cpu().numpy()
    generator = prediction.generator_maps
    return Maps(probability > threshold, probability, None if generator is None else generator.cpu().numpy())
