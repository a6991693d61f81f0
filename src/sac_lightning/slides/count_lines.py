"""The nuclei of each image for the console, and what is to be doubted."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sac_lightning.slides.notes import list_files

# To so many images there is a line each.
MOST_LINES = 20


def tell_counts(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a line per image, of many images one in all; and a line per doubt, with the images that it is of.

    Args:
        rows: Of the summary, by the name of the image's results.
    """
    doubted: dict[str, list[str]] = defaultdict(list)
    for name, row in rows.items():
        for doubt in filter(None, str(row["warnings"] or "").split("; ")):
            doubted[doubt].append(name)
    doubts = [f"doubt: {list_files(names)}: {doubt}" for doubt, names in doubted.items()]
    if len(rows) <= MOST_LINES:
        return [*(f"{name}: {_tell_row(row)}" for name, row in rows.items()), *doubts]
    counts = {name: int(row["nuclei"]) for name, row in rows.items()}
    ordered = sorted(counts, key=lambda name: counts[name])
    least, most = (f"{counts[name]:,} ({name})" for name in (ordered[0], ordered[-1]))
    return [f"{len(rows)} images: {_number(sum(counts.values()))}, from {least} to {most}", *doubts]


def _tell_row(row: Mapping[str, Any]) -> str:
    parts = [_number(int(row["nuclei"]))]
    if row["density_per_mm2"] is not None:
        parts.append(f"{row['density_per_mm2']:,.0f} per mm²")
    if row["cover"] is not None:
        parts.append(f"{100 * row['cover']:.1f} % covered")
    return ", ".join(parts)


def _number(nuclei: int) -> str:
    return f"{nuclei:,} {'nucleus' if nuclei == 1 else 'nuclei'}"
