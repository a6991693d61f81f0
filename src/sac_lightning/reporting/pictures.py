"""Pictures of test images with the predictions of each row, for the paper's Figures 1, 3 and 5."""

import json
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from PIL import Image

from sac_lightning.core.errors import UserError
from sac_lightning.data.image_file import read_instances
from sac_lightning.data.sample import Sample
from sac_lightning.inference.drawing import overlay_mask, scatter_points
from sac_lightning.reporting.charts import Files, files, open_figure
from sac_lightning.reporting.record import Record
from sac_lightning.reporting.row import MeasuredRow, row_labels

# Longest side of a displayed image in pixels.
SIDE = 512
# Width of a panel in inches, and the most pixels of all panels of an SVG together, which keeps it below some 4 MB.
PANEL = 2.2
SVG_PIXELS = 1_000_000


def compare(path: Path, images: Sequence[Sample], rows: Sequence[MeasuredRow]) -> Files | None:
    """Draw a grid with a line per test image: the image, the truth, and each row's mask and points.

    Points for nuclei are blue and points for background are pink, as in the paper's Figure 1. A row is represented
    by its first seed. Its predictions are in the folder ``test`` beside its record: ``<image>.png``, the mask, and
    ``<image>.json``, the points (absent for a network without prompts). Without a mask, the panel says "not run".

    Args:
        path: Path of the files, without extension.
        images: Test images, one line each.
        rows: Rows of the table, one column each.

    Returns:
        The PNG and the SVG; None, and no file, if no row has predicted any of the images.

    Raises:
        UserError: A mask and its image differ in size, or a file of points cannot be read.
    """
    if not any(_mask_file(row, image) for image in images for row in rows):
        return None
    columns = 2 + len(rows)
    size = (PANEL * columns, (PANEL + 0.3) * len(images))
    dots_per_inch = (SVG_PIXELS / (columns * len(images))) ** 0.5 / PANEL
    with open_figure(path, size, svg_dpi=min(150, int(dots_per_inch))) as figure:
        grid = figure.subplots(len(images), columns, squeeze=False)
        for axes, image in zip(grid, images, strict=True):
            _draw_line(axes, image, rows)
        for axis, label in zip(grid[0], ("image", "truth", *row_labels(rows)), strict=True):
            axis.set_title(f"{fill(label, 36)}\n{axis.get_title()}".strip(), fontsize=7)
    return files(path)


def _draw_line(axes: Sequence[Axes], image: Sample, rows: Sequence[MeasuredRow]) -> None:
    pixels, instances = image.load()
    shown = _shrink(pixels)
    axes[0].imshow(shown)
    axes[0].set_ylabel(image.name[:32], fontsize=6)
    axes[1].imshow(overlay_mask(shown, _shrink_mask(instances > 0)))
    for axis, row in zip(axes[2:], rows, strict=True):
        file = _mask_file(row, image)
        if file is None:
            axis.imshow(np.full_like(shown, 128), alpha=0.15)
            axis.text(0.5, 0.5, "not run", ha="center", va="center", transform=axis.transAxes)
        else:
            axis.imshow(overlay_mask(shown, _shrink_mask(_read_mask(file, instances.shape))))
            _draw_points(axis, _read_points(file.with_suffix(".json")), shown.shape[1] / pixels.shape[1])
            axis.set_title(_dice(row.records[0], image.name), fontsize=7)
    for axis in axes:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)


def _draw_points(axis: Axes, points: NDArray[np.float64], scale: float) -> None:
    """Draw points (N, 3): x, y in image pixels (pixel centres at integers) and label; many points, smaller."""
    area = float(np.clip(400 / max(len(points), 1), 3, 24))
    scatter_points(axis, (points[:, :2] + 0.5) * scale - 0.5, points[:, 2], area, rim=area / 60)


def _shrink(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shrink an image (H, W, 3) to at most SIDE pixels on its longer side."""
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(image)


def _shrink_mask(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Shrink a mask (H, W) to the size that ``_shrink`` gives the image, by the majority of its pixels."""
    grey = mask.astype(np.uint8)[:, :, None] * np.full(3, 255, np.uint8)
    return _shrink(grey)[:, :, 0] >= 128


def _mask_file(row: MeasuredRow, image: Sample) -> Path | None:
    """Return the file of the mask that a row's first seed predicted; None if there is none."""
    if not row.records:
        return None
    file = row.records[0].path.parent / "test" / f"{image.name}.png"
    return file if file.exists() else None


def _read_mask(file: Path, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    mask = read_instances(file) > 0
    if mask.shape != shape:
        raise UserError(
            f"{file} is {mask.shape[1]}x{mask.shape[0]} pixels but its image is {shape[1]}x{shape[0]}: remove the "
            "file, or give the data that it was predicted on"
        )
    return mask


def _read_points(file: Path) -> NDArray[np.float64]:
    if not file.exists():
        return np.zeros((0, 3))
    try:
        points = np.array(json.loads(file.read_text(encoding="utf-8"))["points"], dtype=np.float64)
        return points.reshape(len(points), 3)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} holds no points of a prediction: remove it, or run its job again") from error


def _dice(record: Record, name: str) -> str:
    dice = record.images("dice").get(name)
    return "" if dice is None else f"Dice {100 * dice:.1f}"
