"""The nuclei of fluorescence images in a drawing of stained tissue: real shapes and neighbours, other colours.

Fluorescence is what most free images of nuclei show; a model that is to work on haematoxylin and eosin, too, must
have seen nuclei in these.
"""

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.measure import regionprops_table
from skimage.segmentation import relabel_sequential

from sac_lightning.data.sample import Sample
from sac_lightning.data.scene import draw_tissue_around
from sac_lightning.data.scene_shapes import FloatMap, SceneNuclei

CHROMATIN = (0.5, 1.6)
"""Between which parts of a nucleus's mean brightness a pixel's is taken as it is."""


@dataclass(frozen=True)
class DyedSample:
    """A fluorescence image as if its nuclei lay in stained tissue; the same each time it is loaded.

    Attributes:
        fluorescence: The image and its label map.
        seed: Of the drawing, beside the image's name.
    """

    fluorescence: Sample
    seed: int

    @property
    def name(self) -> str:
        """The image's name and what has been done to it."""
        return f"{self.fluorescence.name} dyed {self.seed}"

    def load(self) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Return the drawing (H, W, 3) and the image's label map (H, W)."""
        image, instances = self.fluorescence.load()
        rng = np.random.default_rng([self.seed, zlib.crc32(self.fluorescence.name.encode())])
        return dye(image, instances, rng), instances


def dye(image: NDArray[np.uint8], instances: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw stained tissue around the nuclei of a fluorescence image.

    Args:
        image: (H, W, 3) RGB. Where a nucleus shines more than elsewhere it takes more of the stain.
        instances: (H, W) label map, 0 = background.
        rng: The only source of randomness.

    Returns:
        (H, W, 3) RGB.
    """
    nuclei = describe_nuclei(instances)
    return draw_tissue_around(rng, nuclei, _measure_chromatin(image, nuclei))


def describe_nuclei(instances: NDArray[np.int32]) -> SceneNuclei:
    """Return the nuclei of a label map (H, W) as those of a scene, numbered without gaps."""
    numbered = relabel_sequential(instances)[0].astype(np.int32)
    wanted = ("centroid", "area", "axis_major_length", "axis_minor_length")
    table = regionprops_table(numbered, properties=wanted)
    aspects = table["axis_major_length"] / np.maximum(table["axis_minor_length"], 1)
    return SceneNuclei(
        instances=numbered,
        centres=np.stack([table["centroid-1"], table["centroid-0"]], axis=-1).astype(np.float64),
        radii=np.sqrt(table["area"] / np.pi),
        aspects=np.maximum(aspects, 1.0),
    )


def _measure_chromatin(image: NDArray[np.uint8], nuclei: SceneNuclei) -> FloatMap:
    """Return each pixel's brightness as a part of its nucleus's mean, 1 outside of nuclei."""
    grey = image.mean(axis=-1) + 1
    labels = nuclei.instances.ravel()
    means = np.bincount(labels, grey.ravel()) / np.maximum(np.bincount(labels), 1)
    relative = np.where(nuclei.instances > 0, grey / np.maximum(means, 1)[nuclei.instances], 1.0)
    return np.clip(relative, *CHROMATIN).astype(np.float32)
