"""A picture of an image with its nuclei and points; of a large image a reduced one."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sac_lightning.inference.colouring import colour_nuclei
from sac_lightning.inference.drawing import draw_points, overlay_nuclei

# How many pixels a reduced picture has at most.
REDUCED_PIXELS = 2**24
ROWS_AT_ONCE = 512
# Of zlib's nine; Pillow's default is 6. On tissue a tenth more bytes in a third of the time.
PNG_LEVEL = 1


class Overlay:
    """A picture that is filled from top to bottom and then drawn."""

    def __init__(self, height: int, width: int, is_large: bool) -> None:
        """Args: height and width: of the image; is_large: it is reduced by a whole number."""
        self.factor = max(1, int(np.ceil(np.sqrt(height * width / REDUCED_PIXELS)))) if is_large else 1
        self.rgb: list[NDArray[np.uint8]] = []
        self.labels: list[NDArray[np.int32]] = []
        self.rest_rgb = np.zeros((0, width, 3), dtype=np.uint8)
        self.rest_labels = np.zeros((0, width), dtype=np.int32)

    def append(self, rgb: NDArray[np.uint8], labels: NDArray[np.int32]) -> None:
        """Add rows (n, W, 3) and their label map (n, W)."""
        factor = self.factor
        if factor > 1:
            rgb, labels = np.concatenate([self.rest_rgb, rgb]), np.concatenate([self.rest_labels, labels])
            rows = len(rgb) // factor
            size = (max(1, rgb.shape[1] // factor), rows)
            self.rest_rgb, self.rest_labels = rgb[rows * factor :], labels[rows * factor :]
            if rows == 0:
                return
            whole = rgb[: rows * factor, : size[0] * factor]
            rgb = np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
            labels = labels[factor // 2 : rows * factor : factor, factor // 2 : size[0] * factor : factor]
        self.rgb.append(rgb.copy())
        self.labels.append(labels.copy())

    def draw(self, points: NDArray[np.float32], signs: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Draw the picture (h, w, 3).

        Args:
            points: (N, 2) xy in image pixels.
            signs: (N,) 1 nucleus, 0 background.
        """
        picture = overlay_in_parts(np.concatenate(self.rgb), np.concatenate(self.labels))
        draw_points(picture, (points + 0.5) / self.factor - 0.5, signs)
        return picture

    def write(self, path: Path, points: NDArray[np.float32], signs: NDArray[np.int64]) -> None:
        """Write the picture: as PNG, or as JPEG if it is reduced."""
        image = Image.fromarray(self.draw(points, signs))
        if self.factor > 1:
            image.save(path, format="JPEG", quality=90)
        else:
            image.save(path, format="PNG", compress_level=PNG_LEVEL)


def overlay_in_parts(rgb: NDArray[np.uint8], labels: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Draw nuclei over an image in overlay_nuclei's way, some rows at a time: it makes floats of what it gets."""
    picture, colours = np.empty_like(rgb), colour_nuclei(labels)
    for top in range(0, len(rgb), ROWS_AT_ONCE):
        bottom = min(top + ROWS_AT_ONCE, len(rgb))
        above, below = max(top - 1, 0), bottom + 1  # an outline needs to know its neighbours
        part = overlay_nuclei(rgb[above:below], labels[above:below], colours)
        picture[top:bottom] = part[top - above : bottom - above]
    return picture
