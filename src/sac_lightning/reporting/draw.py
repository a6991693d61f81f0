"""Draw the charts and pictures of each experiment."""

from collections.abc import Sequence
from pathlib import Path

from sac_lightning.data.sample import Sample
from sac_lightning.reporting.charts import draw_bars, draw_convergence, draw_dice_against
from sac_lightning.reporting.experiment import Experiment
from sac_lightning.reporting.pictures import compare
from sac_lightning.reporting.row import MeasuredRow
from sac_lightning.reporting.statistics import interval_over_images

# Figures with real images, whose pictures stay outside the repository: how many images the paper shows.
PICTURED = {"figure1_prompting": 1, "figure3_experts": 2, "figure5_pairs": 14}
PAIRS = "prompts.points="


def draw_charts(folder: Path, experiment: Experiment, rows: Sequence[MeasuredRow]) -> list[Path]:
    """Draw the charts of an experiment, each as PNG with an SVG beside it.

    Returns:
        The PNG files; none if there are no records.
    """
    if "dice" not in experiment.columns or not any(row.records for row in rows):
        return []
    intervals = [_interval_ends(row) for row in rows]
    title = f"{experiment.title} ({experiment.settings})"
    drawn = [draw_bars(folder / f"dice_{experiment.tag}", rows, intervals, title=title)]
    if experiment.name == "figure4_convergence":
        drawn.append(draw_convergence(folder / f"convergence_{experiment.tag}", rows, title=title))
    if experiment.name == "figure5_pairs":
        path = folder / f"pairs_{experiment.tag}"
        drawn.append(draw_dice_against(path, rows, "pairs of points", pairs_of(rows), intervals, title=title))
    return [files[0] for files in drawn if files is not None]


def draw_pictures(
    folder: Path, experiment: Experiment, rows: Sequence[MeasuredRow], images: Sequence[Sample]
) -> None:
    """Draw the rows' predictions side by side over real images: a strip per image, and a grid of the first ones.

    Args:
        folder: Folder of the experiment's page.
        experiment: One of PICTURED.
        rows: Rows of its table; the predictions of their runs lie beside the records.
        images: Test images.
    """
    compare(folder / f"pictures_{experiment.tag}", images[: PICTURED[experiment.name]], rows)
    for image in images:
        compare(folder / strip_path(experiment, image.name), [image], rows)


def strip_path(experiment: Experiment, image: str) -> str:
    """Return the path of an image's strip within the experiment's folder, without extension."""
    return f"pictures_{experiment.tag}/{image}"


def pairs_of(rows: Sequence[MeasuredRow]) -> list[float]:
    """Return the number of point pairs of each row of an experiment that sweeps over it."""
    swept = [override for row in rows for override in row.row.overrides if override.startswith(PAIRS)]
    return [float(override.removeprefix(PAIRS)) for override in swept]


def _interval_ends(row: MeasuredRow) -> tuple[float, float] | None:
    interval = interval_over_images(row) if row.records else None
    return None if interval is None else (interval.low, interval.high)
