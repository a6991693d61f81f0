"""One table of all images of an output folder: ``summary.csv``, made of what lies beside the results of each.

It says what is in the folder, so a run that goes on, another page, or an image that was there already add to it.
While images are being added there is none.
"""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sac_lightning.core.files import whole_file
from sac_lightning.slides.output_folder import OutputFolder

FOUND = "found"
"""Key, among the options of an image, of its row."""
COLUMNS = (
    "image",
    "nuclei",
    "area",
    "area_um2",
    "density_per_mm2",
    "cover",
    "median_area",
    "median_area_um2",
    "warnings",
)
NOT_COUNTED = (
    "only the nuclei were counted, from measurements, as the results are of a former version or of a command that "
    "was killed: overwrite=true fills the row"
)

Row = dict[str, Any]


def write_summary(output: OutputFolder) -> dict[str, Row]:
    """Write the summary of a folder, whole or not at all, and return its rows by image; none without results."""
    rows = _read_rows(output)
    # Another command may have finished an image in the meantime, and have written its summary before this one.
    while rows:
        _write_rows(output.summary_file, rows)
        before, rows = rows, _read_rows(output)
        if rows == before:
            break
    return rows


def _write_rows(path: Path, rows: dict[str, Row]) -> None:
    lines = io.StringIO(newline="")
    table = csv.DictWriter(lines, COLUMNS)
    table.writeheader()
    table.writerows(rows.values())
    content = lines.getvalue().encode()
    if _read_table(path) == content:  # the folder may be one that nobody may write to any more
        return
    with whole_file(path) as partial:
        partial.write_bytes(content)


def _read_table(path: Path) -> bytes | None:
    """Return what the table holds; None if there is none, which another command may have removed just now."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _read_rows(output: OutputFolder) -> dict[str, Row]:
    """Return the row of each image, by the name of its results."""
    # Names with a dot in front are a system's own notes on files, with the same endings.
    tables = sorted((output.path / "measurements").glob("[!.]*.csv"))
    return {path.stem: {"image": path.stem, **_read_row(output.options_file(path.stem), path)} for path in tables}


def _read_row(options: Path, measurements: Path) -> Row:
    """Return what was counted when the results were made, else what their table tells."""
    try:
        found = json.loads(options.read_text(encoding="utf-8"))[FOUND]
    except (OSError, ValueError, LookupError, TypeError):
        found = None
    if _is_row(found):
        return {name: found[name] for name in COLUMNS[1:]}
    with measurements.open(newline="", encoding="utf-8", errors="replace") as lines:
        nuclei = sum(1 for _ in csv.DictReader(lines))
    return {**dict.fromkeys(COLUMNS[1:]), "nuclei": nuclei, "warnings": NOT_COUNTED}


def _is_row(found: Any) -> bool:
    """Return whether what lies among the options is a row; a person may have changed it."""
    if not isinstance(found, Mapping) or not isinstance(found.get("nuclei"), int):
        return False
    numbers = (found.get(name, "") for name in COLUMNS[2:-1])
    return all(number is None or isinstance(number, int | float) for number in numbers) and "warnings" in found
