"""Which nucleus each pixel belongs to: the one place where the predict command decides on instances."""

import numpy as np
from numpy.typing import NDArray

from sac_lightning.instances import connected_components
from sac_lightning.predictor import Nuclei


def label_map(nuclei: Nuclei) -> NDArray[np.int32]:
    """The nuclei of an image, or of a part of one that cuts none of the mask's connected regions.

    A nucleus must lie in one connected region (8-connectivity) of the mask: large images come in parts.

    Args:
        nuclei: Mask, probability and prompts.

    Returns:
        (H, W) int32, 0 = background, the nuclei numbered 1 to n without gaps.
    """
    return connected_components(nuclei.mask)
