"""The nuclei of fluorescence images in a drawing of stained tissue: real shapes and neighbours, other colours.

Fluorescence is what most free images of nuclei show; a model that is to work on haematoxylin and eosin, too, must
have seen nuclei in these.
"""

import zlib
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.measure import regionprops_table
from skimage.segmentation import relabel_sequential

from sac_lightning.data.sample import Sample
from sac_lightning.data.scene import draw_tissue_around, edge_distance, grain
from sac_lightning.data.scene_shapes import FloatMap, SceneNuclei

CHROMATIN = (0.5, 1.6)
"""Between which parts of a nucleus's mean brightness a pixel's is taken as it is."""

RADIUS = (7.0, 24.0)
"""Pixels. Of nuclei in tissue at 20 and 40 times magnification; those of fluorescence are as small or smaller."""

SIDE = 512
"""Pixels. Of the part that is kept of an image that is enlarged."""


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
        """Return the drawing (H, W, 3) and its label map (H, W): the image, or an enlarged part of it."""
        rng = np.random.default_rng([self.seed, zlib.crc32(self.fluorescence.name.encode())])
        image, instances = enlarge(*self.fluorescence.load(), rng)
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
    chromatin = rng.uniform(0.4, 1.1) * _measure_chromatin(image, nuclei) * draw_open_chromatin(rng, nuclei)
    return draw_tissue_around(rng, nuclei, chromatin)


def enlarge(
    image: NDArray[np.uint8], instances: NDArray[np.int32], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Enlarge an image and its label map so that the nuclei have a radius drawn from RADIUS, none is made smaller.

    What is drawn afterwards is as sharp as in an image of that size. A part of SIDE pixels is kept.
    """
    areas = np.bincount(instances.ravel())[1:]
    radius = float(np.sqrt(np.median(areas[areas > 0]) / np.pi)) if areas.any() else RADIUS[0]
    factor = max(1.0, np.exp(rng.uniform(*np.log(RADIUS))) / radius)
    height, width = (min(side, int(np.ceil(SIDE / factor))) for side in instances.shape)
    top, left = (int(rng.integers(room + 1)) for room in (instances.shape[0] - height, instances.shape[1] - width))
    part = np.s_[top : top + height, left : left + width]
    size = (round(width * factor), round(height * factor))
    labels = relabel_sequential(instances[part])[0].astype(np.uint16)
    larger = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
    smooth = cv2.medianBlur(larger, 5) if factor > 1 else larger
    pixels = cv2.resize(image[part], size, interpolation=cv2.INTER_CUBIC)
    return np.asarray(pixels, np.uint8), np.asarray(smooth, np.int32)


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


def draw_open_chromatin(rng: np.random.Generator, nuclei: SceneNuclei) -> FloatMap:
    """Draw by what factor (H, W) open nuclei take more or less of the stain: pale, with rims, clumps, nucleoli.

    An image has a share of open nuclei, and each of these is more or less pale; 1 in all others and outside.
    """
    shape, count = nuclei.instances.shape, len(nuclei.radii)
    if not count:
        return np.ones(shape, np.float32)
    radius = float(np.median(nuclei.radii))
    is_open = rng.random(count) < rng.uniform(-0.3, 1.0)
    openness = nuclei.map_to_pixels(is_open * rng.uniform(0.4, 1.0, count))
    depth = edge_distance(nuclei.instances) / max(1.0, rng.uniform(0.06, 0.16) * radius)
    rim = rng.uniform(0.3, 1.3) * np.clip(1.6 - depth, 0.0, 1.0)
    clumps = rng.uniform(0.1, 0.9) * np.clip(
        grain(rng, shape, max(0.8, radius / rng.uniform(5.0, 12.0))), 0.0, 2.0
    )
    nucleoli = rng.uniform(0.0, 1.6) * np.clip(2 * grain(rng, shape, max(1.0, radius / 5.0)) - 3.2, 0.0, 1.2)
    texture = 1.0 - openness + openness * np.minimum(rim + clumps + nucleoli, 2.0)
    return np.asarray(texture, np.float32)


def _measure_chromatin(image: NDArray[np.uint8], nuclei: SceneNuclei) -> FloatMap:
    """Return each pixel's brightness as a part of its nucleus's mean, 1 outside of nuclei."""
    grey = image.mean(axis=-1) + 1
    labels = nuclei.instances.ravel()
    means = np.bincount(labels, grey.ravel()) / np.maximum(np.bincount(labels), 1)
    relative = np.where(nuclei.instances > 0, grey / np.maximum(means, 1)[nuclei.instances], 1.0)
    return np.clip(relative, *CHROMATIN).astype(np.float32)
