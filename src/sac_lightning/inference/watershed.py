"""Label maps from maps of probability: connected components, and the watershed from the generator's markers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed as flooded

from sac_lightning.data.label_maps import connected_components, renumber_labels
from sac_lightning.inference.thresholds import THRESHOLD, Separation, Watershed


@dataclass(frozen=True)
class Maps:
    """The maps of an image, or of a part of one that cuts none of the mask's connected regions.

    Attributes:
        mask: (H, W) bool, the pixels that are divided among nuclei.
        probability: (H, W) float32 in [0, 1], of nucleus.
        generator_probability: (H, W) float32, the prompt generator's own, or None without one.
    """

    mask: NDArray[np.bool_]
    probability: NDArray[np.float32]
    generator_probability: NDArray[np.float32] | None


def mask_threshold(separation: Separation) -> float:
    """Return the probability above which a pixel belongs to a nucleus."""
    return separation.mask if isinstance(separation, Watershed) else THRESHOLD


def labels_of_maps(maps: Maps, separation: Separation) -> NDArray[np.int32]:
    """Label the nuclei by components or by watershed.

    Each lies in one connected region (8-connectivity) of the mask and depends on nothing outside of it, so that
    the parts of a large image have the labels of the whole.

    Returns:
        (H, W) int32, 0 = background, the nuclei numbered 1 to n without gaps.
    """
    if not isinstance(separation, Watershed):
        return connected_components(maps.mask)
    return watershed(maps, separation.marker, separation.min_area)


def watershed(maps: Maps, marker: float, min_area: int = 0) -> NDArray[np.int32]:
    """Flood the mask downhill from markers, on the probability upside down (Meyer's algorithm, scikit-image).

    The markers are the regions whose centroids the selection O takes (Eq. 5), within the mask: connected pixels
    above ``marker`` of the generator's probability, or of the mask's own where the model has no generator. A
    region of the mask with one marker or none is one nucleus; a marker outside the mask does not count.

    Args:
        maps: See Maps.
        marker: In [0, 1).
        min_area: Nuclei of fewer pixels are dropped.

    Returns:
        See labels_of_maps.
    """
    regions = connected_components(maps.mask)
    source = maps.probability if maps.generator_probability is None else maps.generator_probability
    markers = connected_components(maps.mask & (source > marker))
    region_of_marker = np.zeros(markers.max(initial=0) + 1, dtype=np.int64)
    marked = markers > 0
    region_of_marker[markers[marked]] = regions[marked]
    crowded = np.bincount(region_of_marker[1:], minlength=regions.max(initial=0) + 1) > 1
    labels = np.where(crowded[regions], 0, regions)
    first_free = int(regions.max(initial=0))
    # Only regions of several nuclei are flooded, each in its box: what lies elsewhere has no say in them, not even
    # in the order of equal pixels, where probabilities are 1.
    for number, box in enumerate(ndimage.find_objects(regions), start=1):
        if crowded[number]:
            inside = regions[box] == number
            basins = flooded(
                -maps.probability[box], np.where(inside, markers[box], 0), connectivity=2, mask=inside
            )
            labels[box][inside] = basins[inside] + first_free
    return renumber_labels(labels, min_area)
