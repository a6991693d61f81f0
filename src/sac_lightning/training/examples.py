"""Pictures of predictions, with their truth and the points that prompted them, and of truths."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import matplotlib as mpl
from matplotlib.figure import Figure

from sac_lightning.core.errors import UserError
from sac_lightning.core.files import whole_file
from sac_lightning.data.sample import Sample, WholeImage
from sac_lightning.inference.drawing import overlay_mask, scatter_points
from sac_lightning.inference.thresholds import THRESHOLD
from sac_lightning.inference.windows import Prediction

mpl.use("Agg")
# Longest side of a truth that is drawn, about, in pixels.
SIDE = 512


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
        labels = prediction.point_labels.cpu().numpy()
        for axis, panel in zip(
            row, (pixels, overlay_mask(pixels, truth), overlay_mask(pixels, mask), pixels), strict=True
        ):
            axis.imshow(panel)
            axis.set_axis_off()
        row[0].set_title(image.name[:32], fontsize=8, parse_math=False)
        scatter_points(row[3], points, labels, area=30, rim=0.8)
    for axis, title in zip(axes[0, 1:], ("truth", "prediction", "points"), strict=True):
        axis.set_title(title, fontsize=8)
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=100, format="png")


def write_truths(path: Path, samples: Sequence[Sample]) -> None:
    """Write a picture with a column per sample: its image, and its nuclei drawn over it.

    Args:
        path: Of the PNG.
        samples: At least one; for one that cannot be loaded, the reason stands in its place.
    """
    figure = Figure(figsize=(3 * len(samples), 6.4), layout="constrained")
    axes = figure.subplots(2, len(samples), squeeze=False)
    for column, sample in zip(axes.T, samples, strict=True):
        for axis in column:
            axis.set_axis_off()
        column[0].set_title(sample.name[:32], fontsize=8, parse_math=False)
        try:
            image, instances = sample.load()
        except UserError as error:
            column[0].text(0.5, 0.5, fill(str(error), 40), ha="center", va="center", fontsize=7, parse_math=False)
            continue
        step = max(1, max(instances.shape) // SIDE)
        shown, nuclei = image[::step, ::step], instances[::step, ::step]
        column[0].imshow(shown)
        column[1].imshow(overlay_mask(shown, nuclei))
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=100, format="png")
