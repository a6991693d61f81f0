"""Read the paper's tables, its claims, and where it contradicts itself."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import NamedTuple

FIGURES = ("f1", "iou", "dice", "seconds_per_epoch")


class PaperKey(NamedTuple):
    """The key of a row of the paper.

    Attributes:
        table: 1 to 8.
        dataset: monuseg, dsb2018, glas; empty for Table 6, which has none.
        row: Label of the row, such as "SAM-FT 1-point 1-expert".
    """

    table: int
    dataset: str
    row: str


@dataclass(frozen=True)
class PaperRow:
    """A row of one of the tables with scores: all but Table 6.

    Attributes:
        key: Key of the row.
        method: SAC, SAM-FT, U-Net, ...; Table 5 names none and is taken as SAC.
        backbone: vit_b, vit_l, vit_h; empty for a plain network.
        points: Number of automatic points; None if the paper gives none.
        experts: Number of expert points; None if the paper gives none.
        selection: O or R; empty if there are no automatic points or the paper does not say.
        figures: Those that the paper gives: f1, iou and dice in percent, and seconds_per_epoch.
        source: Where the paper has them from.
    """

    key: PaperKey
    method: str
    backbone: str
    points: int | None
    experts: int | None
    selection: str
    figures: Mapping[str, float]
    source: str


@dataclass(frozen=True)
class PaperParameters:
    """A row of Table 6: numbers of trainable, frozen and all parameters, with ViT-H."""

    key: PaperKey
    trainable: int
    frozen: int
    total: int


@dataclass(frozen=True)
class Claim:
    """A claim of the paper that can be measured.

    Attributes:
        id: C1, C2, ...
        where: Place in the paper.
        text: The claim in a sentence.
        checked_by: What to compare, in short.
    """

    id: str
    where: str
    text: str
    checked_by: str


@dataclass(frozen=True)
class Contradiction:
    """Something in the paper that contradicts something else in it.

    Attributes:
        id: X1, X2, ...
        rows: The rows that it concerns; empty if it concerns only the text.
        text: What does not agree, with the figures.
    """

    id: str
    rows: tuple[PaperKey, ...]
    text: str


def paper_rows(table: int) -> list[PaperRow]:
    """Return the rows of a table in the paper's order; none for Table 6, see `paper_parameters`."""
    return [_row(row) for row in _read("tables.csv") if int(row["table"]) == table]


def paper_parameters() -> list[PaperParameters]:
    """Return the rows of Table 6."""
    return [
        PaperParameters(
            PaperKey(int(row["table"]), "", row["row"]),
            int(row["trainable"]),
            int(row["frozen"]),
            int(row["total"]),
        )
        for row in _read("parameters.csv")
    ]


def claims() -> list[Claim]:
    """Return the paper's claims that can be measured, in the paper's order."""
    return [Claim(row["id"], row["where"], row["claim"], row["checked_by"]) for row in _read("claims.csv")]


def contradictions() -> list[Contradiction]:
    """Return the places where the paper contradicts itself."""
    return [Contradiction(row["id"], _keys(row["rows"]), row["text"]) for row in _read("contradictions.csv")]


def _read(name: str) -> list[dict[str, str]]:
    text = files("sac_lightning.reporting.paper").joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _row(row: Mapping[str, str]) -> PaperRow:
    return PaperRow(
        key=PaperKey(int(row["table"]), row["dataset"], row["row"]),
        method=row["method"],
        backbone=row["backbone"],
        points=int(row["points"]) if row["points"] else None,
        experts=int(row["experts"]) if row["experts"] else None,
        selection=row["selection"],
        figures={name: float(row[name]) for name in FIGURES if row[name]},
        source=row["source"],
    )


def _keys(text: str) -> tuple[PaperKey, ...]:
    """Parse keys such as "1/monuseg/SAC; 6//SAC"."""
    named = (key.split("/", 2) for key in text.split("; ") if key)
    return tuple(PaperKey(int(table), dataset, row) for table, dataset, row in named)
