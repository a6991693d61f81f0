"""Pictures of predictions: image, truth, prediction, and the points that prompted it."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from skimage.draw import disk
from skimage.segmentation import find_boundaries

from sac_lightning.data.sample import WholeImage
from sac_lightning.inference import Prediction
from sac_lightning.scores import THRESHOLD
from sac_lightning.whole_file import whole_file

MASK_COLOUR = (255, 210, 0)
# The blue and pink of the paper's Figure 1.
POSITIVE_RGB, NEGATIVE_RGB = (31, 119, 255), (255, 79, 163)
OPACITY = 0.35
POINT_RADIUS = 3

mpl.use("Agg")


def overlay_mask(
    image: NDArray[np.uint8], nuclei: NDArray[np.bool_] | NDArray[np.int32], opacity: float = OPACITY
) -> NDArray[np.uint8]:
    """Draw nuclei over an image (H, W, 3): a tint inside, an outline around.

    Args:
        image: Is left as it is.
        nuclei: (H, W), a mask, or a label map, of which each nucleus has its outline.
        opacity: Of the tint, in [0, 1].
    """
    picture, mask = image.astype(np.float32), nuclei > 0
    picture[mask] = (1 - opacity) * picture[mask] + opacity * np.array(MASK_COLOUR)
    picture[find_boundaries(nuclei, mode="inner")] = MASK_COLOUR
    return picture.astype(np.uint8)


def draw_points(
    picture: NDArray[np.uint8],
    points: Iterable[Sequence[float]],
    labels: Iterable[int],
    radius: int = POINT_RADIUS,
) -> None:
    """Draws points into a picture (H, W, 3): white rings, blue for nucleus (label 1), pink for background.

    Args:
        picture: Is changed.
        points: (N, 2) xy in pixels of the picture.
        labels: (N,).
        radius: In pixels, without the ring.
    """
    for (x, y), label in zip(points, labels, strict=True):
        colour = POSITIVE_RGB if label == 1 else NEGATIVE_RGB
        for size, rgb in ((radius + max(1, radius // 4), (255, 255, 255)), (radius, colour)):
            picture[disk((y, x), size, shape=picture.shape[:2])] = rgb


def write_examples(path: Path, examples: Sequence[tuple[WholeImage, Prediction]]) -> None:
    """Writes a picture with a row per example: image, truth, prediction, prediction with points.

    Args:
        path: Of the PNG.
        examples: At least one image with its prediction.
    """
    figure = Figure(figsize=(12, 3.2 * len(examples)), layout="constrained")
    axes = figure.subplots(len(examples), 4, squeeze=False)
    for row, (image, prediction) in zip(axes, examples, strict=True):
        pixels = image.image.permute(1, 2, 0).byte().cpu().numpy()
        truth = (image.instances > 0).cpu().numpy()
        mask = (prediction.probability > THRESHOLD).cpu().numpy()
        points = prediction.point_coords.cpu().numpy()
        positive = prediction.point_labels.cpu().numpy() == 1
        for axis, panel in zip(
            row, (pixels, overlay_mask(pixels, truth), overlay_mask(pixels, mask), pixels), strict=True
        ):
            axis.imshow(panel)
            axis.set_axis_off()
        row[0].set_title(image.name[:32], fontsize=8, parse_math=False)
        for chosen, colour in ((positive, POSITIVE_RGB), (~positive, NEGATIVE_RGB)):
            row[3].scatter(
                *points[chosen].T, s=30, color=np.array(colour) / 255, edgecolors="white", linewidths=0.8
            )
    for axis, title in zip(axes[0, 1:], ("truth", "prediction", "points"), strict=True):
        axis.set_title(title, fontsize=8)
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=100, format="png")
