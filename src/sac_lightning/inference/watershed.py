"""Label maps from maps of probability: connected components, and the watershed from the generator's markers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed as flooded

from sac_lightning.data.label_maps import connected_components, renumber_labels
from sac_lightning.inference.thresholds import THRESHOLD, Separation, Watershed
from sac_lightning.model.point_selection import positive_map
from sac_lightning.model.prompt_generator import DISTANCE


@dataclass(frozen=True)
class Maps:
    """The maps of an image, or of a part of one that cuts none of the mask's connected regions.

    Attributes:
        mask: (H, W) bool, the pixels that are divided among nuclei.
        probability: (H, W) float32 in [0, 1], of nucleus.
        generator_maps: (C, H, W) float32, the prompt generator's own, see Prediction; or None without one.
        nuclei: (H, W) int32, the number of each pixel's nucleus where these were decoded by themselves, else None.
    """

    mask: NDArray[np.bool_]
    probability: NDArray[np.float32]
    generator_maps: NDArray[np.float32] | None
    nuclei: NDArray[np.int32] | None = None

    @property
    def separates(self) -> bool:
        """Whether the generator tells touching nuclei apart."""
        return self.generator_maps is not None and len(self.generator_maps) > 1

    @property
    def marker_map(self) -> NDArray[np.float32]:
        """(H, W), the map whose high regions are markers."""
        return self.probability if self.generator_maps is None else positive_map(self.generator_maps)

    @property
    def heights(self) -> NDArray[np.float32]:
        """(H, W), how far a pixel is inside its nucleus: what is flooded, upside down."""
        if self.generator_maps is None or not self.separates:
            return self.probability
        heights: NDArray[np.float32] = self.generator_maps[DISTANCE]
        return heights


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

    Of a generator that separates, the markers are regions of its interiors, its distance is flooded, and a region
    of the mask without a marker is no nucleus.

    Args:
        maps: See Maps.
        marker: In [0, 1).
        min_area: Nuclei of fewer pixels are dropped.

    Returns:
        See labels_of_maps.
    """
    regions = connected_components(maps.mask)
    markers = connected_components(maps.mask & (maps.marker_map > marker))
    region_of_marker = np.zeros(markers.max(initial=0) + 1, dtype=np.int64)
    marked = markers > 0
    region_of_marker[markers[marked]] = regions[marked]
    count = np.bincount(region_of_marker[1:], minlength=regions.max(initial=0) + 1)
    crowded = count > 1
    labels = np.where((count == 1 if maps.separates else ~crowded)[regions], regions, 0)
    first_free = int(regions.max(initial=0))
    # Only regions of several nuclei are flooded, each in its box: what lies elsewhere has no say in them, not even
    # in the order of equal pixels, where probabilities are 1.
    for number, box in enumerate(ndimage.find_objects(regions), start=1):
        if crowded[number]:
            inside = regions[box] == number
            basins = flooded(-maps.heights[box], np.where(inside, markers[box], 0), connectivity=2, mask=inside)
            labels[box][inside] = basins[inside] + first_free
    return renumber_labels(labels, min_area)
