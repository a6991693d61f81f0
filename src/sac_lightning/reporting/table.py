"""A table of our figures beside the paper's, with intervals and differences, as text and as numbers."""

import csv
import io
from collections.abc import Callable, Sequence
from functools import partial

from sac_lightning.reporting.experiment import Experiment
from sac_lightning.reporting.row import MeasuredRow, row_labels
from sac_lightning.reporting.statistics import (
    Difference,
    Interval,
    interval_over_images,
    paired_difference,
    spread_over_seeds,
)

NAMES = {
    "f1": "F1",
    "iou": "IoU",
    "dice": "Dice",
    "aji": "AJI",
    "aji_plus": "AJI+",
    "pq": "PQ",
    "f1_50": "F1@.5",
    "f1_70": "F1@.7",
    "f1_90": "F1@.9",
    "map": "mAP",
    "object_f1": "object F1",
    "object_dice": "object Dice",
    "object_hausdorff": "object Hausdorff (px)",
    "seconds_per_epoch": "s/epoch",
    "trainable": "trainable",
    "frozen": "frozen",
    "total": "total",
}
PERCENT = (
    *("f1", "iou", "dice", "aji", "aji_plus", "pq", "f1_50", "f1_70", "f1_90", "map"),
    *("object_f1", "object_dice"),
)
COUNTS = ("trainable", "frozen", "total")
NOTHING = "-"
NOT_RUN = "not run"
SMOKE_RUN = "smoke test"


def text_table(experiment: Experiment, rows: Sequence[MeasuredRow]) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of a table for a page: metrics in percent, mean ± standard deviation.

    A figure that the paper gives for no row has no column for the paper.
    """
    reference = reference_of(experiment, rows)
    columns: dict[str, Callable[[MeasuredRow], str]] = {}
    for column in experiment.columns:
        in_paper = any(column in row.row.paper for row in rows)
        if in_paper:
            columns[f"{NAMES.get(column, column)} paper"] = partial(_format_paper, column=column)
        name = NAMES.get(column, column)
        columns[f"{name} ours" if in_paper else name] = partial(_format_ours, column=column)
    if "dice" in experiment.columns:
        columns["Dice 95 %"] = _format_interval
        if any("dice" in row.row.paper for row in rows):
            columns["ours - paper"] = _format_paper_difference
        columns[f"less {experiment.reference}"] = partial(_format_reference_difference, reference=reference)
        columns["seeds"] = _seeds
    lines = [
        [label, *(show(row) for show in columns.values())]
        for label, row in zip(row_labels(rows), rows, strict=True)
    ]
    return ["", *columns], lines


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown, numbers aligned right."""
    marks = ["---"] + ["---:"] * (len(header) - 1)
    lines = [header, marks, *([_escape_markdown(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def latex_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in LaTeX; it needs the package booktabs."""
    lines = [" & ".join(_escape_latex(cell) for cell in line) + r" \\" for line in (header, *rows)]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_escape_latex(title)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def csv_table(experiment: Experiment, rows: Sequence[MeasuredRow]) -> str:
    """Return a table as CSV with six decimals: metrics, also the paper's, as fractions; empty for no number."""
    reference = reference_of(experiment, rows)
    figures = [f"{column}_{what}" for column in experiment.columns for what in ("paper", "mean", "deviation")]
    scored = "dice" in experiment.columns
    compared = ["dice_low", "dice_high", "dice_minus_reference", "low", "high", "p"] if scored else []
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    told = ["scale", "overrides"] if experiment.overrides else ["scale"]
    writer.writerow([*told, "dataset", "row", "seeds", "images", *figures, *compared])
    for row in rows:
        images = len(row.records[0].content["images"]) if row.records else ""
        settings = [experiment.scale, " ".join(experiment.overrides)][: len(told)]
        line: list[object] = [*settings, row.row.dataset, row.row.label, len(row.records), images]
        for column in experiment.columns:
            paper = row.row.paper.get(column)
            spread = spread_over_seeds(row, column)
            line += [None if paper is None else paper / 100 if column in PERCENT else paper]
            line += [None, None] if spread is None else [spread.mean, spread.deviation]
        if scored:
            interval = interval_over_images(row) if row.records else None
            difference = _difference(row, reference)
            line += [None, None] if interval is None else [interval.low, interval.high]
            line += [None] * 4 if difference is None else _numbers(difference)
        writer.writerow(_number(value) for value in line)
    return text.getvalue()


def _number(value: object) -> object:
    """Format a float with six decimals: further digits depend on the processor that computed it."""
    if value is None:
        return ""
    return f"{value:.6f}" if isinstance(value, float) else value


def reference_of(experiment: Experiment, rows: Sequence[MeasuredRow]) -> dict[str, MeasuredRow]:
    """Return the reference row of each data set in which it was run."""
    return {row.row.dataset: row for row in rows if row.row.label == experiment.reference and row.records}


def _format_paper(row: MeasuredRow, column: str) -> str:
    value = row.row.paper.get(column)
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if column in COUNTS else f"{value:.2f}" if column in PERCENT else f"{value:.0f}"


def _format_ours(row: MeasuredRow, column: str) -> str:
    if not row.records:
        return SMOKE_RUN if row.smoke_runs else NOT_RUN
    spread = spread_over_seeds(row, column)
    if spread is None:
        return NOTHING
    if column in COUNTS:
        return f"{spread.mean:,.0f}"
    factor, digits = (100, 2) if column in PERCENT else (1, 1)
    mean = f"{factor * spread.mean:.{digits}f}"
    return mean if spread.deviation is None else f"{mean} ± {factor * spread.deviation:.{digits}f}"


def _format_interval(row: MeasuredRow) -> str:
    return _format_ends(interval_over_images(row)) if row.records else NOTHING


def _format_ends(interval: Interval | None) -> str:
    return NOTHING if interval is None else f"{100 * interval.low:.2f} to {100 * interval.high:.2f}"


def _format_paper_difference(row: MeasuredRow) -> str:
    spread, paper = spread_over_seeds(row, "dice"), row.row.paper.get("dice")
    return NOTHING if spread is None or paper is None else f"{100 * spread.mean - paper:+.2f}"


def _difference(row: MeasuredRow, reference: dict[str, MeasuredRow]) -> Difference | None:
    other = reference.get(row.row.dataset)
    if other is None or not row.records or row.row.label == other.row.label:
        return None
    return paired_difference(row, other)


def _format_reference_difference(row: MeasuredRow, reference: dict[str, MeasuredRow]) -> str:
    if row.records and reference.get(row.row.dataset) is row:
        return "reference"
    difference = _difference(row, reference)
    if difference is None:
        return NOTHING
    if difference.interval is None:
        return f"{100 * difference.mean:+.2f}"
    low, high = 100 * difference.interval.low, 100 * difference.interval.high
    return f"{100 * difference.mean:+.2f} ({low:+.2f} to {high:+.2f}; {difference.p_text})"


def _numbers(difference: Difference) -> list[float | None]:
    interval = difference.interval
    ends = (None, None) if interval is None else (interval.low, interval.high)
    return [difference.mean, *ends, difference.p_value]


def _seeds(row: MeasuredRow) -> str:
    return ", ".join(str(record.seed) for record in row.records) or NOTHING


def _escape_markdown(cell: str) -> str:
    return cell.replace("|", "\\|")


def _escape_latex(cell: str) -> str:
    special = {"%": r"\%", "&": r"\&", "_": r"\_", "#": r"\#", "±": r"$\pm$", "<": "$<$"}
    return "".join(special.get(character, character) for character in cell)
