"""Real stained tissue in other colours: its own density of stain, as haematoxylin, with eosin beneath.

The free images of stained tissue come from few laboratories, and one's purple must stand for every other's.
"""

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sac_lightning.data.sample import Sample
from sac_lightning.data.scene import draw_tissue_beneath

MOST = 2.0
"""The largest amount of stain, where a typical nucleus has 1."""


@dataclass(frozen=True)
class RestainedSample:
    """An image of stained tissue, or one in bright field, in the colours of haematoxylin and eosin.

    Attributes:
        tissue: The image and its label map.
        seed: Of the drawing, beside the image's name.
    """

    tissue: Sample
    seed: int

    @property
    def name(self) -> str:
        """The image's name and what has been done to it."""
        return f"{self.tissue.name} restained {self.seed}"

    def load(self) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Return the drawing (H, W, 3) and the image's label map (H, W)."""
        image, instances = self.tissue.load()
        rng = np.random.default_rng([self.seed, zlib.crc32(self.tissue.name.encode())])
        return draw_tissue_beneath(rng, measure_stain(image, instances)), instances


def measure_stain(image: NDArray[np.uint8], instances: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return how much stain each pixel has: 0 for the background's, 1 for that of a typical nucleus.

    Args:
        image: (H, W, 3) RGB, dark nuclei on light tissue.
        instances: (H, W) label map, 0 = background.

    Returns:
        (H, W) float32 in [0, MOST]: optical density, averaged over colours. 0 throughout where nuclei are no
        darker than what lies around them.
    """
    density = -np.log((image.astype(np.float32) + 1) / 256).mean(axis=-1)
    inside = instances > 0
    if inside.all() or not inside.any():
        return np.zeros_like(density)
    light, dark = np.percentile(density[~inside], 20), np.median(density[inside])
    if dark <= light:
        return np.zeros_like(density)
    return np.asarray(np.clip((density - light) / (dark - light), 0, MOST), np.float32)
