"""The picture of an image on the page: nuclei and points over it, at a size that fits the screen."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from sac_lightning.inference.colouring import colour_nuclei
from sac_lightning.inference.drawing import draw_points, overlay_mask, overlay_nuclei

SHOWN_SIDE = 1024
"""Of the shown picture in pixels, about: smaller images are enlarged, as browsers do not, larger ones reduced."""
POINT_RADIUS, CLICK_RADIUS = 5, 9
MASK, NUCLEI, NOTHING = "mask", "nuclei", "nothing"


@dataclass(frozen=True)
class Shown:
    """A picture's size on the page.

    Attributes:
        height, width: Of the image, in its own pixels.
    """

    height: int
    width: int

    @property
    def factor(self) -> float:
        """Pixels of the shown picture per pixel of the image: a whole number if it is enlarged."""
        ratio = SHOWN_SIDE / max(self.height, self.width)
        return float(max(1, round(ratio))) if ratio >= 1 else ratio

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the shown picture."""
        return max(1, round(self.width * self.factor)), max(1, round(self.height * self.factor))

    def to_image(self, x: float, y: float) -> tuple[float, float]:
        """Convert a place of the shown picture to pixels of the image, never outside of it."""
        places = (((place + 0.5) / self.factor - 0.5) for place in (x, y))
        across, down = (
            min(max(place, 0.0), length - 1.0)
            for place, length in zip(places, (self.width, self.height), strict=True)
        )
        return across, down

    def to_screen(self, points: ArrayLike) -> NDArray[np.float32]:
        """Convert points (N, 2) xy of the image to pixels of the shown picture."""
        coords = np.asarray(points, dtype=np.float32).reshape(-1, 2)
        return np.asarray((coords + 0.5) * self.factor - 0.5, dtype=np.float32)

    def image(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize the image (H, W, 3) to the shown size."""
        interpolation = cv2.INTER_CUBIC if self.factor > 1 else cv2.INTER_AREA
        return np.asarray(cv2.resize(rgb, self.size, interpolation=interpolation), dtype=np.uint8)

    def labels(self, labels: NDArray[np.int32]) -> NDArray[np.int32]:
        """Resize a label map (H, W) to the shown size."""
        width, height = self.size
        rows = np.minimum((np.arange(height) + 0.5) / self.factor, self.height - 1).astype(int)
        columns = np.minimum((np.arange(width) + 0.5) / self.factor, self.width - 1).astype(int)
        return labels[np.ix_(rows, columns)]


def draw_nuclei(
    rgb: NDArray[np.uint8], labels: NDArray[np.int32], style: str, opacity: float
) -> NDArray[np.uint8]:
    """Draw nuclei over an image (H, W, 3).

    Args:
        rgb: Not changed.
        labels: (H, W), 0 = background.
        style: MASK: all in one colour; NUCLEI: those that touch in different colours; NOTHING: the image alone.
        opacity: Of the colours, in [0, 1]; 0 leaves only the outlines.
    """
    if style == NOTHING:
        return rgb.copy()
    if style == MASK:
        return overlay_mask(rgb, labels, opacity)
    return overlay_nuclei(rgb, labels, colour_nuclei(labels), opacity)


def draw_all_points(
    picture: NDArray[np.uint8],
    automatic: tuple[NDArray[np.float32], NDArray[np.int64]],
    clicks: tuple[NDArray[np.float32], NDArray[np.int64]],
) -> NDArray[np.uint8]:
    """Draw points (N, 2) xy with labels (N,) into a shown picture, and return it.

    Clicks are larger, with a plus or a minus: not everyone can tell the colours apart.
    """
    draw_points(picture, *automatic, radius=POINT_RADIUS)
    draw_points(picture, *clicks, radius=CLICK_RADIUS)
    arm = CLICK_RADIUS // 2
    for (x, y), label in zip(np.round(clicks[0]).astype(int), clicks[1], strict=True):
        cv2.line(picture, (x - arm, y), (x + arm, y), (255, 255, 255), 2)
        if label == 1:
            cv2.line(picture, (x, y - arm), (x, y + arm), (255, 255, 255), 2)
    return picture
