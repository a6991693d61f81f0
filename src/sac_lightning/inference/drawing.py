"""Nuclei and points drawn into pictures."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from skimage.draw import disk
from skimage.segmentation import find_boundaries

if TYPE_CHECKING:  # Only for the type: slides and pages draw without matplotlib.
    from matplotlib.axes import Axes

MASK_COLOUR = (255, 210, 0)
# The blue and pink of the paper's Figure 1.
POSITIVE_RGB, NEGATIVE_RGB = (31, 119, 255), (255, 79, 163)
# Of true nuclei, and of true and found ones in one place; those that were found have MASK_COLOUR. All three show
# on tissue and on fluorescence.
TRUTH_COLOUR, BOTH_COLOUR = (0, 229, 255), (255, 255, 255)
OPACITY = 0.35
POINT_RADIUS = 3


def overlay_mask(
    image: NDArray[np.uint8], nuclei: NDArray[np.bool_] | NDArray[np.int32], opacity: float = OPACITY
) -> NDArray[np.uint8]:
    """Draw nuclei over an image (H, W, 3): a tint inside, an outline around.

    Args:
        image: Not changed.
        nuclei: (H, W), a mask, or a label map, of which each nucleus has its outline.
        opacity: Of the tint, in [0, 1].
    """
    picture, mask = image.astype(np.float32), nuclei > 0
    picture[mask] = (1 - opacity) * picture[mask] + opacity * np.array(MASK_COLOUR)
    picture[find_boundaries(nuclei, mode="inner")] = MASK_COLOUR
    return picture.astype(np.uint8)


def overlay_nuclei(
    image: NDArray[np.uint8], labels: NDArray[np.int32], colours: NDArray[np.uint8], opacity: float = OPACITY
) -> NDArray[np.uint8]:
    """Draw each nucleus over an image (H, W, 3) in its own colour: a tint inside, an outline around.

    Args:
        image: Not changed.
        labels: (H, W), 0 = background.
        colours: (n + 1, 3) RGB by number, see colouring.colour_nuclei.
        opacity: Of the tint, in [0, 1]; 0 leaves only the outlines.
    """
    picture, inside = image.copy(), labels > 0
    own = colours[labels[inside]]
    picture[inside] = np.round((1 - opacity) * image[inside] + opacity * own)
    edges = find_boundaries(labels, mode="inner")
    picture[edges] = colours[labels[edges]]
    return picture


def draw_outlines(
    image: NDArray[np.uint8], truth: NDArray[np.int32], found: NDArray[np.int32]
) -> NDArray[np.uint8]:
    """Draw the outlines of true and found nuclei over an image (H, W, 3): cyan, yellow, and white where both are.

    Args:
        image: Not changed.
        truth: (H, W) label map.
        found: (H, W) label map.
    """
    picture = image.copy()
    true, guessed = (find_boundaries(nuclei, mode="inner") for nuclei in (truth, found))
    picture[true], picture[guessed], picture[true & guessed] = TRUTH_COLOUR, MASK_COLOUR, BOTH_COLOUR
    return picture


def draw_points(
    picture: NDArray[np.uint8],
    points: Iterable[Sequence[float]],
    labels: Iterable[int],
    radius: int = POINT_RADIUS,
) -> None:
    """Draw points into a picture (H, W, 3): white rings, blue for nucleus (label 1), pink for background.

    Args:
        picture: Changed in place.
        points: (N, 2) xy in pixels of the picture.
        labels: (N,).
        radius: In pixels, without the ring.
    """
    for (x, y), label in zip(points, labels, strict=True):
        colour = POSITIVE_RGB if label == 1 else NEGATIVE_RGB
        for size, rgb in ((radius + max(1, radius // 4), (255, 255, 255)), (radius, colour)):
            picture[disk((y, x), size, shape=picture.shape[:2])] = rgb


def scatter_points(
    axis: "Axes", points: NDArray[np.floating], labels: NDArray[np.number], area: float, rim: float
) -> None:
    """Scatter points over a chart's image: blue for nucleus (label 1), pink for background (label 0), white rims.

    Args:
        axis: Matplotlib axes that show the image.
        points: (N, 2) xy in pixels of the image, pixel centres at integers.
        labels: (N,).
        area: Area of a point, in square typographic points.
        rim: Width of the white rim, in typographic points.
    """
    for label, colour in ((1, POSITIVE_RGB), (0, NEGATIVE_RGB)):
        x, y = points[labels == label].T
        axis.scatter(x, y, s=area, color=np.array(colour) / 255, edgecolors="white", linewidths=rim)
