"""Points that a person has set in napari and saved as a CSV."""

import csv
import re
from pathlib import Path

from sac_lightning.core.errors import UserError
from sac_lightning.slides.point_labels import FoundPoints, label_of

AXIS = re.compile(r"axis-\d+")
# Columns of features that say of what a point is.
LABEL_COLUMNS = ("label", "class")


def is_of_napari(path: Path) -> bool:
    """Return whether a CSV has napari's columns: axis-0, axis-1 and so on."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            return any(AXIS.fullmatch(name) for name in next(csv.reader(lines), []))
    except (OSError, UnicodeDecodeError, csv.Error):
        return False


def read_napari(path: Path) -> FoundPoints:
    """Read the points of a CSV: the last two axes are y and x, counted from the centre of the first pixel.

    Points are those of nuclei unless a column ``label`` or ``class`` says otherwise, in numbers or words.

    Raises:
        UserError: The file cannot be read, or a line of it is no point.
    """
    found = FoundPoints()
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read ({error}): save points from napari as CSV") from error
    for line, row in enumerate(rows, start=2):
        axes = sorted((name for name in row if name and AXIS.fullmatch(name)), key=lambda name: int(name[5:]))
        try:
            y, x = (float(row[name]) for name in axes[-2:])
        except (TypeError, ValueError) as error:
            raise UserError(f"{path}, line {line}, is no point: save points from napari as CSV") from error
        told = next((row[name] for name in LABEL_COLUMNS if row.get(name)), "1")
        label = _label(told)
        if label is None:
            found.skipped[told] += 1
        else:
            found.points.append((x, y, label))
    return found


def _label(told: str) -> int | None:
    """Return the label of a number or a word; None: it means nothing."""
    try:
        number = float(told)
    except ValueError:
        return label_of(told.split(":"))
    return int(number) if number in (0, 1) else None
