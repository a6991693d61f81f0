"""Pictures of a pre-training: its curves, and the model's answers to clicks."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from sac_lightning.core.files import whole_file
from sac_lightning.inference.drawing import draw_points, overlay_mask
from sac_lightning.pretraining.evaluation import ClickedImage


def write_curves(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Plot the losses and the IoU on held-out scenes, epoch by epoch.

    Args:
        path: The PNG to write.
        rows: The rows of a History.
    """
    figure = Figure(figsize=(11, 4), layout="constrained")
    losses, ious = figure.subplots(1, 2)
    epochs = [row["epoch"] + 1 for row in rows]
    for name in rows[0]:
        kind, _, what = name.partition("/")
        axis = {"train": losses, "val": ious}.get(kind)
        if axis is not None:
            axis.plot(epochs, [row[name] for row in rows], label=what.removesuffix("_iou").replace("_", " "))
    losses.set(title="training losses", xlabel="epoch", ylim=(0, None))
    ious.set(title="mean IoU on held-out scenes", xlabel="epoch", ylim=(0, 1))
    for axis in (losses, ious):
        axis.legend(fontsize=8)
        axis.grid(alpha=0.3)
    _save(figure, path)


def write_training_curve(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Plot the losses alone, epoch by epoch, for a pre-training without held-out scenes.

    Args:
        path: The PNG to write.
        rows: The rows of a History.
    """
    figure = Figure(figsize=(6, 4), layout="constrained")
    axis = figure.subplots()
    for name in (name for name in rows[0] if name.startswith("train/")):
        axis.plot(
            [row["epoch"] + 1 for row in rows], [row[name] for row in rows], label=name.removeprefix("train/")
        )
    axis.set(title="training loss", xlabel="epoch", ylim=(0, None))
    axis.legend(fontsize=8)
    axis.grid(alpha=0.3)
    _save(figure, path)


def write_clicks(path: Path, images: Sequence[ClickedImage]) -> None:
    """Draw each image, the objects clicked on, and the answer to one click on each.

    Args:
        path: The PNG to write.
        images: At least one image.
    """
    figure = Figure(figsize=(9, 3.2 * len(images)), layout="constrained")
    for row, image in zip(figure.subplots(len(images), 3, squeeze=False), images, strict=True):
        answer = overlay_mask(image.image, image.answer)
        draw_points(answer, image.clicks.tolist(), [1] * len(image.clicks))
        titles = (image.name[:32], "clicked on", f"best of three masks, mean IoU {image.best[:, 0].mean():.2f}")
        panels = (image.image, overlay_mask(image.image, image.truth), answer)
        for axis, title, panel in zip(row, titles, panels, strict=True):
            axis.imshow(panel)
            axis.set_title(title, fontsize=8, parse_math=False)
            axis.set_axis_off()
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=110, format="png")
