"""Turn an experiment at one scale, and the claims, into sections of the HTML page."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from sac_lightning.reporting.claims import Verdict
from sac_lightning.reporting.draw import PICTURED, strip_path
from sac_lightning.reporting.html import Curve, Section
from sac_lightning.reporting.page import Part
from sac_lightning.reporting.published import published_rows
from sac_lightning.reporting.row import row_labels
from sac_lightning.reporting.table import NAMES


def section(part: Part, reading: str, root: Path) -> Section:
    """Build the section of an experiment, with a curve of the validation Dice of each run.

    Args:
        part: The experiment, with its charts.
        reading: What a person has written about it.
        root: Folder of the HTML page, to which the paths of pictures are relative.
    """
    experiment, rows = part.experiment, part.rows
    header, lines = part.table
    pictures = [(chart.stem.replace("_", " "), chart.relative_to(root).as_posix()) for chart in part.charts]
    if experiment.name in PICTURED:
        names = sorted({name for row in rows for record in row.records for name in record.images("dice")})
        pictures += [(name, f"{experiment.folder}/{strip_path(experiment, name)}.png") for name in names]
    return Section(
        name=f"{experiment.name}-{experiment.tag}",
        title=f"{experiment.title} ({experiment.settings})",
        introduction=f"{strip_markdown(reading)}\n\n{experiment.command}",
        header=header,
        rows=lines,
        curves=[
            Curve(
                f"{label}, seed {record.seed}",
                [epoch + 1 for epoch, _ in record.curve("val/dice")],
                [100 * dice for _, dice in record.curve("val/dice")],
            )
            for label, row in zip(row_labels(rows), rows, strict=True)
            for record in row.records
            if record.curve("val/dice")
        ],
        pictures=pictures,
        notes=[f"Theirs, not measured here: {', '.join(line)}." for line in published_notes(experiment.name)],
    )


def published_notes(experiment: str) -> list[list[str]]:
    """Return the parts of a note per system that others have published figures of."""
    return [
        [
            row.system,
            *(f"{NAMES[name]} {100 * figure:.2f}" for name, figure in row.figures.items()),
            f"data: {row.data}",
            f"source: {row.source}",
        ]
        for row in published_rows(experiment)
    ]


def strip_markdown(markdown: str) -> str:
    """Remove Markdown's marks: links become their text; emphasis and code lose their marks."""
    return re.sub(r"\*\*|`", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown))


def claims_section(judged: Mapping[str, Sequence[Verdict]]) -> Section:
    """Build the section of the claims and their verdicts at each scale."""
    header = ["claim", "where", "", *(f"scale={scale}" for scale in judged)]
    rows = [
        [verdicts[0].claim.id, verdicts[0].claim.where, verdicts[0].claim.text, *(v.verdict for v in verdicts)]
        for verdicts in zip(*judged.values(), strict=True)
    ]
    return Section(
        name="claims",
        title="The paper's claims",
        introduction="What was measured for each, and why the verdict is what it is, is in CLAIMS.md.",
        header=header,
        rows=rows,
        curves=[],
        pictures=[],
        notes=[],
    )
