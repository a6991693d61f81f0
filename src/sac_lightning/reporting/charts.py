"""Charts of measured rows, as PNG and SVG: Dice against the epoch, Dice against a number, Dice by row."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean, stdev

import matplotlib as mpl
from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sac_lightning.core.files import whole_file
from sac_lightning.reporting.record import Record
from sac_lightning.reporting.row import MeasuredRow, row_labels

# Okabe and Ito's colours, which colour-blind people can tell apart, without yellow (too pale on white) and with
# grey instead of black (too dark on the dark page).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#777777")
# A row's line style: the first seven rows, one per colour, are solid, the next seven dashed, and so on.
DASHES = ("-", "--", ":", "-.")
# A row's standard deviation or bootstrap interval (low, high), fractions as in the records; None if unknown.
Interval = tuple[float, float] | None
# A row's index, its mean test Dice in percent and its interval.
Measured = tuple[int, float, Interval]
Files = tuple[Path, Path]

# "$" in a label is a dollar sign, and an SVG's ids are the same every time.
STYLE = {
    "text.parse_math": False,
    "svg.hashsalt": "sac_lightning",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.4,
    "legend.frameon": False,
}

mpl.use("Agg")


@contextmanager
def open_figure(path: Path, size: tuple[float, float], *, svg_dpi: int = 72) -> Iterator[Figure]:
    """Open a figure to draw on, and write it as PNG and SVG if the block ends without an error.

    The same drawing gives the same bytes: the files hold no date, no program name and no random ids, and a user's
    own matplotlibrc is ignored.

    Args:
        path: Path of the files, without extension. Its folder is created.
        size: Width and height in inches.
        svg_dpi: Resolution to which images inside the SVG are resampled.
    """
    with style.context(["default", STYLE]):
        figure = Figure(figsize=size, layout="constrained")
        yield figure
        _settle(figure)
        path.parent.mkdir(parents=True, exist_ok=True)
        png, svg = files(path)
        with whole_file(png) as partial:
            figure.savefig(partial, dpi=150, format="png", metadata={"Software": None})
        with whole_file(svg) as partial:
            figure.savefig(partial, dpi=svg_dpi, format="svg", metadata={"Date": None, "Creator": None})


def _settle(figure: Figure) -> None:
    """Lay out the figure once and round the positions of its axes.

    The layout solver goes through its variables in the order of their memory addresses, so the last digits differ
    from one run to the next, and an SVG would show them.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axis in figure.axes:
        left, bottom, width, height = (round(edge, 4) for edge in axis.get_position(original=True).bounds)
        axis.set_position((left, bottom, width, height))


def files(path: Path) -> Files:
    """Return the PNG and the SVG file of a path without extension."""
    return path.with_name(f"{path.name}.png"), path.with_name(f"{path.name}.svg")


def draw_convergence(
    path: Path, rows: Sequence[MeasuredRow], metric: str = "val/dice", *, title: str = ""
) -> Files | None:
    """Draw a metric against the epoch, one line per row (Figure 4).

    Of several seeds, draw the mean and a band from the lowest to the highest, up to the last epoch that all of
    them reached.

    Args:
        path: Path of the files, without extension.
        rows: Rows in the order of the legend. A row that was not trained is left out, and its colour stays unused.
        metric: A metric of the history, a fraction.
        title: Title above the chart.

    Returns:
        The PNG and the SVG; None, and no file, if no row has such a history.
    """
    curves = [(index, _common_epochs(row.records, metric)) for index, row in enumerate(rows)]
    if not any(curve for _, curve in curves):
        return None
    with open_figure(path, (6.4, 4)) as figure:
        axis = figure.subplots()
        for (index, curve), label in zip(curves, row_labels(rows), strict=True):
            if not curve:
                continue
            epochs = [epoch + 1 for epoch, _ in curve]
            colour = COLOURS[index % len(COLOURS)]
            axis.plot(
                epochs,
                [100 * fmean(values) for _, values in curve],
                DASHES[index // len(COLOURS) % len(DASHES)],
                color=colour,
                label=label,
                marker="o",
                markersize=2.5,
            )
            if len(rows[index].records) > 1:
                lows, highs = ([100 * end(values) for _, values in curve] for end in (min, max))
                axis.fill_between(epochs, lows, highs, color=colour, alpha=0.2, linewidth=0)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set(xlabel="epoch", ylabel=f"{_name_metric(metric)} (percent)", title=title)
        figure.legend(loc="outside lower center", ncols=2)
    return files(path)


def draw_dice_against(
    path: Path,
    rows: Sequence[MeasuredRow],
    xlabel: str,
    xs: Sequence[float],
    intervals: Sequence[Interval] = (),
    *,
    title: str = "",
) -> Files | None:
    """Draw the test Dice of rows against a number in which they differ, such as point pairs (Figure 5).

    The axis of the numbers is logarithmic above 1, so that it can show 1, 3 and 256 points, and 0 as well.

    Args:
        path: Path of the files, without extension.
        rows: Rows of the table; those without a test Dice are left out.
        xlabel: Label of the axis of the numbers.
        xs: The number of each row.
        intervals: Bootstrap interval of each row. Default: the standard deviation of rows with several seeds.
        title: Title above the chart.

    Returns:
        The PNG and the SVG; None, and no file, if no row has a test Dice.
    """
    measured = _measure_dice(rows, intervals)
    if not measured:
        return None
    points = sorted(((xs[index], mean, spread) for index, mean, spread in measured), key=lambda point: point[0])
    numbers = [x for x, _, _ in points]
    with open_figure(path, (6.4, 4)) as figure:
        axis = figure.subplots()
        axis.plot(numbers, [mean for _, mean, _ in points], "o-", color=COLOURS[0])
        for x, _, spread in points:
            if spread:
                middle, half = _percent(spread)
                axis.errorbar(x, middle, yerr=half, fmt="none", ecolor=COLOURS[0], capsize=3)
        axis.set_xscale("symlog", base=2, linthresh=1)
        axis.set_xticks(numbers, [f"{x:g}" for x in numbers])
        axis.set_xticks([], minor=True)
        axis.set(xlabel=xlabel, ylabel=_dice_axis(measured, intervals), title=title)
    return files(path)


def draw_bars(
    path: Path, rows: Sequence[MeasuredRow], intervals: Sequence[Interval] = (), *, title: str = ""
) -> Files | None:
    """Draw the test Dice of a table's rows as bars from top to bottom, with the paper's as hollow markers.

    Args:
        path: Path of the files, without extension.
        rows: Rows of the table; those without a test Dice are left out.
        intervals: Bootstrap interval of each row. Default: the standard deviation of rows with several seeds.
        title: Title above the chart.

    Returns:
        The PNG and the SVG; None, and no file, if no row has a test Dice.
    """
    measured = _measure_dice(rows, intervals)
    if not measured:
        return None
    labels = row_labels(rows)
    with open_figure(path, (6.4, 1.2 + 0.3 * len(measured))) as figure:
        axis = figure.subplots()
        heights = range(len(measured))
        axis.barh(heights, [mean for _, mean, _ in measured], 0.62, color=COLOURS[5], label="measured")
        for height, (_, mean, spread) in enumerate(measured):
            axis.text(1.01, height, f"{mean:.1f}", va="center", transform=axis.get_yaxis_transform())
            if spread:
                middle, half = _percent(spread)
                axis.errorbar(middle, height, xerr=half, fmt="none", ecolor="#333333", capsize=3)
        figures = [rows[index].row.paper.get("dice") for index, _, _ in measured]
        papers = [(paper, height) for height, paper in enumerate(figures) if paper is not None]
        if papers:
            axis.plot(*zip(*papers, strict=True), "D", mfc="none", mec=COLOURS[1], mew=1.4, label="paper")
        axis.set_yticks(heights, [labels[index] for index, _, _ in measured])
        axis.set(xlim=(0, 100), ylim=(len(measured) - 0.4, -0.6))
        figure.suptitle(title)  # Centred over the labels, too: over the bars alone, a long one would be cut off.
        axis.set_xlabel(_dice_axis(measured, intervals))
        axis.grid(visible=False, axis="y")
        figure.legend(loc="outside lower center", ncols=2)
    return files(path)


def _common_epochs(records: Sequence[Record], metric: str) -> list[tuple[int, list[float]]]:
    """Return each epoch that all seeds reached, with the metric's value of each seed."""
    curves = [dict(record.curve(metric)) for record in records]
    common = set.intersection(*(set(curve) for curve in curves)) if curves else set()
    return [(epoch, [curve[epoch] for curve in curves]) for epoch in sorted(common)]


def _measure_dice(rows: Sequence[MeasuredRow], intervals: Sequence[Interval]) -> list[Measured]:
    """Return the mean test Dice of each row that has one, with its interval or else standard deviation."""
    measured: list[Measured] = []
    for index, row in enumerate(rows):
        dice = [value for record in row.records if (value := record.figure("dice")) is not None]
        if dice:
            mean, deviation = fmean(dice), stdev(dice) if len(dice) > 1 else None
            spread = None if deviation is None else (mean - deviation, mean + deviation)
            measured.append((index, 100 * mean, intervals[index] if intervals else spread))
    return measured


def _percent(spread: tuple[float, float]) -> tuple[float, float]:
    """Return the middle of an interval and half its width, in percent."""
    low, high = spread
    return 50 * (high + low), 50 * (high - low)


def _dice_axis(measured: Sequence[Measured], intervals: Sequence[Interval]) -> str:
    """Return the label of the Dice axis, with the kind of the error bars if there are any."""
    kind = "bootstrap interval" if intervals else "standard deviation over seeds"
    return "test Dice (percent)" + (f" and {kind}" if any(spread for _, _, spread in measured) else "")


def _name_metric(metric: str) -> str:
    """Return a metric's name for an axis, such as "validation Dice" for val/dice."""
    split, _, name = metric.rpartition("/")
    words = {"val": "validation", "dice": "Dice", "iou": "IoU", "f1": "F1"}
    return " ".join(words.get(part, part) for part in (split, name) if part)
