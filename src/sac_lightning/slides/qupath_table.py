"""Points that a person has set with QuPath's point tool and saved there, as a table (.tsv)."""

import csv
from pathlib import Path

from sac_lightning.core.errors import UserError
from sac_lightning.slides.point_labels import FoundPoints
from sac_lightning.slides.qupath_classes import class_names
from sac_lightning.slides.qupath_points import add_points


def read_qupath_table(path: Path) -> FoundPoints:
    """Read the points of a table with the columns x, y and class, and others that do not matter.

    Raises:
        UserError: The file cannot be read, or a line of it is no point.
    """
    found = FoundPoints()
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.DictReader(lines, delimiter="\t"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read ({error}): save points from QuPath's point tool") from error
    for line, row in enumerate(rows, start=2):
        try:
            point = (float(row["x"]), float(row["y"]))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}, line {line}, is no point: save points from QuPath's point tool") from error
        add_points([point], class_names(row.get("class") or None), found)
    return found
