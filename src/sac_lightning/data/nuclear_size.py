"""The size of the nuclei of a data set by their truth, and how coarse its images are."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sac_lightning.core.scale import Scale
from sac_lightning.data.structure import measure_structure

MOST_IMAGES = 32
"""That are measured; of more, every so many."""
LEAST_SPREAD = 0.25
"""Octaves, also of images that are all alike."""


class Loadable(Protocol):
    """What is measured, see data.sample.Sample."""

    def load(self) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Return the image (H, W, 3) RGB and its label map (H, W), 0 = background."""


def measure_samples(samples: Sequence[Loadable], factors: Sequence[float], micrometres: float | None) -> Scale:
    """Return the scale of the images of a training.

    Args:
        samples: The images.
        factors: How many pixels of each are one of the training.
        micrometres: Of a side of a pixel of the training.
    """
    diameters, structures = [np.zeros(0)], []
    for sample, factor in zip(samples, factors, strict=True):
        image, instances = sample.load()
        diameters.append(measure_diameters(instances) / factor)
        structure = measure_structure(image)
        if structure is not None:
            structures.append(structure / factor)
    nuclei = np.concatenate(diameters)
    diameter = float(np.median(nuclei)) if len(nuclei) else None
    if not structures:
        return Scale(micrometres, diameter)
    spread = max(LEAST_SPREAD, float(np.std(np.log2(structures))))
    return Scale(micrometres, diameter, float(np.median(structures)), spread)


def measure_diameters(instances: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the diameters in pixels of the discs that are as large as the nuclei of a label map (H, W)."""
    areas = np.bincount(instances.ravel())[1:]
    diameters: NDArray[np.float64] = np.sqrt(4 / np.pi * areas[areas > 0])
    return diameters
