"""What the paper says: its tables, its claims, and where it contradicts itself."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import NamedTuple

FIGURES = ("f1", "iou", "dice", "seconds_per_epoch")


class PaperKey(NamedTuple):
    """Names a row of the paper.

    Attributes:
        table: 1 to 8.
        dataset: monuseg, dsb2018, glas; empty for Table 6, which has none.
        row: Its label, such as "SAM-FT 1-point 1-expert".
    """

    table: int
    dataset: str
    row: str


@dataclass(frozen=True)
class PaperRow:
    """A row of one of the tables with scores: all but Table 6.

    Attributes:
        key: Its name.
        method: SAC, SAM-FT, U-Net, ...; Table 5 names none and is taken for SAC.
        backbone: vit_b, vit_l, vit_h; empty for a plain network.
        points: Automatic points; None where the paper gives none.
        experts: Expert points; None where the paper gives none.
        selection: O or R; empty where there are no automatic points or the paper does not say.
        figures: In percent f1, iou, dice, and seconds_per_epoch: those that the paper has.
        source: How the paper came to them.
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
    """A row of Table 6: numbers of parameters, all with ViT-H."""

    key: PaperKey
    trainable: int
    frozen: int
    total: int


@dataclass(frozen=True)
class Claim:
    """Something that the paper says.

    Attributes:
        id: C1, C2, ...
        where: In the paper.
        text: The claim in a sentence.
        checked_by: What to compare, in short.
    """

    id: str
    where: str
    text: str
    checked_by: str


@dataclass(frozen=True)
class Contradiction:
    """Something in the paper that does not go with something else in it.

    Attributes:
        id: X1, X2, ...
        rows: That it is about; empty where it is about the text alone.
        text: What does not agree, with the figures.
    """

    id: str
    rows: tuple[PaperKey, ...]
    text: str


def paper_rows(table: int) -> list[PaperRow]:
    """The rows of a table in the paper's order; none for Table 6, whose rows are `paper_parameters`."""
    return [_row(row) for row in _read("tables.csv") if int(row["table"]) == table]


def paper_parameters() -> list[PaperParameters]:
    """The rows of Table 6."""
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
    """What the paper says that can be measured."""
    return [Claim(row["id"], row["where"], row["claim"], row["checked_by"]) for row in _read("claims.csv")]


def contradictions() -> list[Contradiction]:
    """Where the paper contradicts itself."""
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
    """Reads "1/monuseg/SAC; 6//SAC"."""
    named = (key.split("/", 2) for key in text.split("; ") if key)
    return tuple(PaperKey(int(table), dataset, row) for table, dataset, row in named)
