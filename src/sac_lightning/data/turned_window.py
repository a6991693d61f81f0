"""A random window of an image that is turned by any angle, not only by quarters."""

from typing import Any

import albumentations as A
import cv2
import numpy as np
from numpy.typing import NDArray


class TurnedWindow(A.DualTransform):  # type: ignore[misc]  # albumentations has no types
    """Cut a random square window; half of them lie askew in the image, which is mirrored beyond its edges."""

    def __init__(self, side: int, turned: float = 0.5) -> None:
        """Note what is cut.

        Args:
            side: Of the window, in pixels.
            turned: Share of the windows that are turned.
        """
        super().__init__(p=1)
        self.side = side
        self.turned = turned

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw the place and the angle; ``matrix`` (2, 3) takes pixels of the image to those of the window."""
        height, width = params["shape"][:2]
        left, top = (self._draw_start(length) for length in (width, height))
        angle = self.random_generator.uniform(0, 360) if self.random_generator.random() < self.turned else 0.0
        middle = (self.side - 1) / 2
        matrix = cv2.getRotationMatrix2D((left + middle, top + middle), angle, 1.0)
        matrix[:, 2] -= (left, top)
        return {"matrix": matrix}

    def _draw_start(self, length: int) -> int:
        """Draw where a window begins along a side of the image; it lies in the middle of one that is smaller."""
        spare = length - self.side
        return int(self.random_generator.integers(spare + 1)) if spare > 0 else spare // 2

    def apply(self, img: NDArray[np.uint8], **params: Any) -> NDArray[np.uint8]:
        """Cut an image (H, W, 3)."""
        return self._cut(img, params["matrix"], cv2.INTER_LINEAR)

    def apply_to_mask(self, mask: NDArray[np.uint16], **params: Any) -> NDArray[np.uint16]:
        """Cut a label map (H, W)."""
        return self._cut(mask, params["matrix"], cv2.INTER_NEAREST)

    def _cut(self, pixels: NDArray[Any], matrix: NDArray[np.float64], interpolation: int) -> NDArray[Any]:
        return cv2.warpAffine(
            pixels, matrix, (self.side, self.side), flags=interpolation, borderMode=cv2.BORDER_REFLECT_101
        )
