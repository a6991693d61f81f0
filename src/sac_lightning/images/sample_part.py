"""A part of a large image in which there is something to see."""

import cv2
import numpy as np

from sac_lightning.images.overview import reduce_slide
from sac_lightning.images.slide import Pixels, Slide

OVERVIEW_PIXELS = 2**18


def read_sample(slide: Slide, side: int) -> Pixels:
    """Read the square of an image that has the most detail, as seen from afar; a small image whole.

    Args:
        slide: The image.
        side: Of the square, in pixels.

    Returns:
        (h, w) or (h, w, 3) in the file's own numbers, h and w at most twice the side.
    """
    if max(slide.height, slide.width) <= 2 * side:
        return slide.read(0, slide.height)
    overview, step = reduce_slide(slide, OVERVIEW_PIXELS)
    grey = (overview if overview.ndim == 2 else overview.mean(axis=2)).astype(np.float32)
    # Not the variance, which is largest at the edge of the tissue.
    detail = np.abs(cv2.Laplacian(grey, cv2.CV_32F))
    dense = cv2.blur(detail, (max(1, round(side / step)),) * 2)
    row, column = np.unravel_index(int(dense.argmax()), dense.shape)
    top, left = (
        max(0, min(round((place + 0.5) * step) - side // 2, length - side))
        for place, length in ((row, slide.height), (column, slide.width))
    )
    return slide.read(top, min(top + side, slide.height))[:, left : left + side]
