"""Other stains of the same tissue: haematoxylin and eosin, each stronger or weaker, in optical density.

Beer-Lambert: light that passes a stain loses the same share for each layer of it, so that the logarithm of what is
left is a sum over stains (Ruifrok and Johnston 2001).
"""

from typing import Any

import albumentations as A
import numpy as np
from numpy.typing import NDArray

# Ruifrok and Johnston's optical densities of haematoxylin, eosin and DAB in red, green and blue; the third stands
# for whatever else there is.
STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]], dtype=np.float32)
STAINS /= np.linalg.norm(STAINS, axis=1, keepdims=True)
UNMIXING = np.linalg.inv(STAINS).astype(np.float32)
# Red and blue differ by more than this on average in what is stained, and by nothing in grey images.
COLOUR = 5


class StainJitter(A.ImageOnlyTransform):  # type: ignore[misc]  # albumentations has no types
    """Scale and shift the density of each stain; images without colour stay as they are."""

    def __init__(self, scale: float = 0.3, shift: float = 0.05, p: float = 0.85) -> None:
        """Set how much stains vary.

        Args:
            scale: A density is multiplied by 1 - scale to 1 + scale.
            shift: And -shift to shift is added to it, in natural logarithms.
            p: Share of the images that are changed.
        """
        super().__init__(p=p)
        self.scale = scale
        self.shift = shift

    def get_params(self) -> dict[str, Any]:
        """Draw the factor and the shift of each stain."""
        draw = self.random_generator.uniform
        return {"factors": draw(1 - self.scale, 1 + self.scale, 3), "shifts": draw(-self.shift, self.shift, 3)}

    def apply(self, img: NDArray[np.uint8], **params: Any) -> NDArray[np.uint8]:
        """Change the stains of an image (H, W, 3) RGB."""
        if np.abs(img[..., 0].astype(np.int16) - img[..., 2]).mean() <= COLOUR:
            return img
        return vary_stains(img, params["factors"], params["shifts"])


def vary_stains(
    image: NDArray[np.uint8], factors: NDArray[np.floating[Any]], shifts: NDArray[np.floating[Any]]
) -> NDArray[np.uint8]:
    """Return an image (H, W, 3) RGB with the density of each of the three stains multiplied and shifted."""
    density = -np.log((image.astype(np.float32) + 1) / 256)
    stains = (density @ UNMIXING) * factors.astype(np.float32) + shifts.astype(np.float32)
    light = 256 * np.exp(-(stains @ STAINS)) - 1
    varied: NDArray[np.uint8] = np.clip(np.round(light), 0, 255).astype(np.uint8)
    return varied
