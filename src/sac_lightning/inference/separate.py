"""From a prediction to its label map, by any of the methods."""

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sac_lightning.core.view import View
from sac_lightning.inference.every_prompt import candidates
from sac_lightning.inference.suppression import paint_label_map, suppress_overlaps
from sac_lightning.inference.thresholds import EveryPrompt, Separation
from sac_lightning.inference.watershed import Maps, labels_of_maps, mask_threshold
from sac_lightning.inference.windows import Prediction


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
    if isinstance(separation, EveryPrompt):
        kept = suppress_overlaps(candidates(model, prediction, view), separation.overlap)
        height, width = prediction.probability.shape
        return paint_label_map(kept, (height, width), separation.score, separation.min_area)
    return labels_of_maps(maps_of(prediction, mask_threshold(separation)), separation)


def maps_of(prediction: Prediction, threshold: float) -> Maps:
    """Return the maps of a whole image, its mask at a threshold."""
    probability = prediction.probability.cpu().numpy()
    generator = prediction.generator_maps
    return Maps(probability > threshold, probability, None if generator is None else generator.cpu().numpy())
