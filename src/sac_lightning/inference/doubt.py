"""When a result is to be doubted, by what is seen of it without any truth."""

import math

import numpy as np
from numpy.typing import NDArray

from sac_lightning.core.scale import Scale
from sac_lightning.inference.thresholds import THRESHOLD

# All are our choice, from truths: what nuclei are like, whatever the model. Of 714 images (MoNuSeg's 44, DSB2018's
# 670) nuclei cover more than half in one, are below 20 pixels on the mean in none, and three times as wide or
# narrow as the median of their data set in three (twice: in 148, as DSB2018 has all magnifications).
MOST_COVER = 0.5
LEAST_PIXELS = 20
TIMES = 3.0
# Ours, from answers of the model that ships: at most 0.61 in the validation images of MoNuSeg and in every fifth
# of DSB2018's, and more in seven pictures of ten that show no such nuclei.
MOST_UNSURE = 0.75
UNSURE = (0.25, 0.75)

CROWDED = (
    "nuclei cover more than half of the area that was looked at, as they hardly ever do: see in the picture "
    "whether tissue was taken for nuclei"
)
SPECKS = (
    f"the median nucleus has fewer than {LEAST_PIXELS} pixels: see in the picture whether specks were taken for "
    "nuclei, or give an image of a higher magnification"
)
WIDE = (
    f"nuclei are more than {TIMES:g} times as wide as those that the model was trained on: the image may be "
    "unlike its images, or of another magnification (mpp=)"
)
NARROW = (
    f"nuclei are less than 1/{TIMES:g} as wide as those that the model was trained on: the image may be unlike "
    "its images, or of another magnification (mpp=)"
)
STRANGE = (
    "the model is unsure of nearly as many pixels as it takes for nuclei: the image may be unlike those that it "
    "was trained on"
)


def count_unsure(probability: NDArray[np.float32]) -> tuple[int, int]:
    """Return of how many pixels a model is unsure, by their probability, and how many it takes for nuclei."""
    unsure = (probability > UNSURE[0]) & (probability < UNSURE[1])
    return int(np.count_nonzero(unsure)), int(np.count_nonzero(probability > THRESHOLD))


def find_doubts(
    cover: float, median_area: float | None, scale: Scale, factor: float = 1, unsure: float = 0
) -> tuple[str, ...]:
    """Return a sentence for each reason to doubt a result, without a full stop.

    Args:
        cover: The part of what was looked at that nuclei cover, in [0, 1].
        median_area: Of the nuclei in pixels of the image; None: there are none, and so no doubt.
        scale: Of the model's training. An older checkpoint does not say how wide nuclei were: then nothing is said
            of it.
        factor: How many of the image's pixels are one of the training, see View.at_scale.
        unsure: Of how many pixels the model is unsure, by how many it takes for nuclei, see count_unsure.
    """
    if median_area is None:
        return ()
    doubts = []
    if cover > MOST_COVER:
        doubts.append(CROWDED)
    if median_area < LEAST_PIXELS:
        doubts.append(SPECKS)
    if scale.diameter is not None:
        times = 2 * math.sqrt(median_area / math.pi) / factor / scale.diameter
        doubts += [WIDE] if times > TIMES else [NARROW] if times < 1 / TIMES else []
    if unsure > MOST_UNSURE:
        doubts.append(STRANGE)
    return tuple(doubts)
