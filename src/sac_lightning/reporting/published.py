"""What others have published about their own systems, beside our instance tables and marked as theirs.

Each figure was read at the source that stands beside it. None is of our protocol: other training images, often
other test images, and metrics that differ in detail (docs/instances.md).
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

FIGURES = ("aji", "pq", "dice")
INSTANCES = "instances_"
"""What the names of the experiments begin with that have such rows."""


@dataclass(frozen=True)
class PublishedRow:
    """What others have published about a system on a kind of images.

    Attributes:
        system: Its name.
        figures: In [0, 1], those that are given.
        data: What it was trained and tested on.
        source: Where the figures were read.
    """

    system: str
    figures: Mapping[str, float]
    data: str
    source: str


def published_rows(experiment: str) -> list[PublishedRow]:
    """Return what is published beside an experiment's rows; nothing beside those of the paper's tables."""
    text = files("sac_lightning.reporting.paper").joinpath("published.csv").read_text(encoding="utf-8")
    return [
        PublishedRow(
            row["system"],
            {name: float(row[name]) for name in FIGURES if row[name]},
            row["data"],
            row["source"],
        )
        for row in csv.DictReader(text.splitlines())
        if f"{INSTANCES}{row['dataset']}" == experiment
    ]
