"""The paper's data: numbers known from the paper's text, unique keys, and contradictions that are real."""

import re
from itertools import pairwise

import pytest

from sac_lightning.reporting.claims import CHECKS
from sac_lightning.reporting.paper.tables import (
    PaperKey,
    PaperRow,
    claims,
    contradictions,
    paper_parameters,
    paper_rows,
)

TABLES = (1, 2, 3, 4, 5, 7, 8)
ROWS = {row.key: row for table in TABLES for row in paper_rows(table)}


def figures(table: int, dataset: str, label: str) -> dict[str, float]:
    return dict(ROWS[PaperKey(table, dataset, label)].figures)


@pytest.mark.parametrize(("table", "number"), [(1, 10), (2, 11), (3, 17), (4, 6), (5, 6), (6, 0), (7, 3), (8, 7)])
def test_each_table_has_its_rows(table: int, number: int) -> None:
    rows = paper_rows(table)
    assert len(rows) == number
    assert len({row.key for row in rows}) == number


def test_rows_have_the_labels_of_the_tables() -> None:
    networks = ["U-Net", "MedT", "UCTransNet", "MDM", "HistoSeg", "DoubleU-Net"]
    methods = ["SAM 1-expert", "SAM-FT 1-expert", "MSA 1-expert", "SAC"]
    assert [row.key.row for row in paper_rows(1)] == [*networks, *methods]
    assert paper_rows(3)[1].key.row == "SAM 0-point 3-expert"
    assert paper_rows(3)[-1].key.row == "LoRA 3-point 3-expert"
    settings = [f"SAM-FT 0-point {experts}-expert" for experts in (0, 1, 3)]
    assert [row.key[1:] for row in paper_rows(4)] == [
        (dataset, label) for dataset in ("monuseg", "dsb2018") for label in settings
    ]
    assert {row.key.row for row in paper_rows(5)} == {f"{s}-{n}-point" for s in "OR" for n in (1, 3, 256)}
    assert [row.key.row for row in paper_rows(7)] == ["ViT-B", "ViT-L", "ViT-H"]
    assert paper_rows(8)[-1].key == (8, "glas", "SAC")


def test_figures_are_percent_and_seconds_and_only_those_that_the_paper_has() -> None:
    assert figures(1, "monuseg", "SAC") == {"f1": 84.11, "iou": 72.61, "dice": 84.03}
    assert figures(1, "monuseg", "MDM") == {"dice": 81.01}
    assert figures(5, "monuseg", "O-256-point") == {
        "f1": 83.95,
        "iou": 72.44,
        "dice": 83.95,
        "seconds_per_epoch": 23.0,
    }
    assert figures(8, "glas", "HistoSeg") == {"f1": 98.07, "iou": 76.73}


def test_settings_are_numbers_where_the_paper_gives_them() -> None:
    row = ROWS[PaperKey(3, "monuseg", "SAM-FT 1-point 3-expert")]
    assert (row.method, row.points, row.experts, row.selection, row.backbone) == ("SAM-FT", 1, 3, "", "vit_h")
    network = ROWS[PaperKey(2, "dsb2018", "FANet")]
    assert (network.points, network.experts, network.backbone) == (None, None, "")
    assert network.source == "copied by the paper from earlier papers"
    assert row.source == "run by the paper"


def test_table_6_adds_up() -> None:
    rows = {row.key.row: row for row in paper_parameters()}
    assert list(rows) == ["SAM-FT", "MSA", "SAC"]
    assert all(row.trainable + row.frozen == row.total for row in rows.values())
    assert rows["MSA"].total - rows["SAC"].total == 102_400
    assert rows["SAC"].key == PaperKey(6, "", "SAC")


def test_there_are_fourteen_claims_and_a_check_for_each() -> None:
    assert [claim.id for claim in claims()] == [f"C{number}" for number in range(1, 15)]
    assert list(CHECKS) == [claim.id for claim in claims()]
    assert claims()[6].text == "At 256 points O beats R by over 2 Dice"


@pytest.mark.parametrize("claim", ["C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8", "C11"])
def test_the_rows_of_a_claim_about_a_table_are_rows_of_the_paper(claim: str) -> None:
    for experiment, label, dataset in CHECKS[claim].rows:
        table = re.match(r"table(\d)_", experiment)
        assert table
        assert PaperKey(int(table[1]), dataset, label) in ROWS


def test_contradictions_name_rows_of_the_paper() -> None:
    known = ROWS.keys() | {row.key for row in paper_parameters()}
    assert [one.id for one in contradictions()] == [f"X{number + 1}" for number in range(len(contradictions()))]
    for one in contradictions():
        assert set(one.rows) <= known, one.id


def test_a_figure_in_a_contradiction_is_the_paper_s() -> None:
    # What the texts quote from the tables, as opposed to what they compute from it.
    computed = {
        *("0.05", "0.22", "0.2", "2.60", "17.76", "0.01", "0.03", "83.08", "60.10", "86.83", "96.21"),
        *("90.77", "91.01", "92.09"),
    }
    known = {f"{value:.2f}" for row in ROWS.values() for value in row.figures.values()}
    quoted = [
        (one.id, figure)
        for one in contradictions()
        for figure in re.findall(r"(?<![\d.])\d+\.\d+(?!\.?\d)", one.text)
        if figure not in {*computed, "3.4"}
    ]
    assert len(quoted) > 50
    assert [(name, figure) for name, figure in quoted if figure not in known] == []


def same_figures(*keys: tuple[int, str, str]) -> bool:
    return all(figures(*a) == figures(*b) for a, b in pairwise(keys))


def test_rows_said_to_be_equal_are_equal() -> None:
    assert same_figures((1, "monuseg", "SAM-FT 1-expert"), (3, "monuseg", "SAM-FT 1-point 1-expert"))
    assert same_figures((1, "monuseg", "MSA 1-expert"), (3, "monuseg", "MSA 0-point 1-expert"))
    assert same_figures((2, "dsb2018", "SAM-FT 1-expert"), (4, "dsb2018", "SAM-FT 0-point 0-expert"))
    for points, setting in ((1, "1-point 1-expert"), (3, "1-point 3-expert"), (256, "3-point 3-expert")):
        random = figures(5, "monuseg", f"R-{points}-point")
        random.pop("seconds_per_epoch")
        assert random == figures(3, "monuseg", f"SAM-FT {setting}")


def foreground_dice(iou: float) -> float:
    return 200 * iou / (100 + iou)


def test_scores_said_to_exclude_each_other_do() -> None:
    def above_what_the_iou_allows(row: PaperRow) -> bool:
        # Half a hundredth either way is rounding. A mean Dice is at most the Dice of the mean IoU (it is concave).
        found = row.figures
        return {"iou", "dice"} <= found.keys() and found["dice"] - 0.005 > foreground_dice(found["iou"] + 0.005)

    named = {key for one in contradictions() if "mean Dice cannot" in one.text for key in one.rows}
    assert named == {key for key, row in ROWS.items() if above_what_the_iou_allows(row)}
    assert foreground_dice(71.06) == pytest.approx(83.08, abs=0.005)
    assert foreground_dice(60.10) == pytest.approx(75.08, abs=0.005)
    assert foreground_dice(76.73) == pytest.approx(86.83, abs=0.005)
    assert foreground_dice(96.21) == pytest.approx(98.07, abs=0.005)


def test_f1_and_dice_are_as_close_as_said() -> None:
    both = [row.figures for row in ROWS.values() if {"f1", "dice"} <= row.figures.keys()]
    close = sum(round(abs(found["f1"] - found["dice"]), 2) <= 0.2 for found in both)
    text = next(one.text for one in contradictions() if "F1 is not Dice" in one.text)
    assert f"{close} of the {len(both)} rows that have both" in text
