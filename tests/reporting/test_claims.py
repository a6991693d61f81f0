"""Claims on made-up records with known verdicts (every verdict of every claim about Dice), and their page."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from sac_lightning.reporting.claims import (
    CHECKS,
    RowName,
    Verdict,
    claims_page,
    combine_outcomes,
    verdict,
    verdicts,
)
from sac_lightning.reporting.paper.tables import Contradiction, PaperKey, claims, contradictions
from sac_lightning.reporting.record import Record
from sac_lightning.reporting.row import MeasuredRow, TableRow

# Differences of images that scatter around their mean by a tenth of a point, and by ten points.
SCATTER = (-1.0, 1.0, -0.5, 0.5, -1.5, 1.5, -0.2, 0.2, -0.8, 0.8)
QUIET, NOISY = 0.1, 10.0

Rows = Mapping[RowName, MeasuredRow]


def measured(name: RowName, *contents: Mapping[str, Any], paper: Mapping[str, float] | None = None) -> MeasuredRow:
    usual = {"base_weights": {"sha256": "0"}, "device": "CPU", "images": [], "history": []}
    records = [Record(Path(f"{n}/results.json"), {**usual, "seed": n, **of}) for n, of in enumerate(contents)]
    return MeasuredRow(TableRow(*name, (), paper or {}, ""), tuple(records))


def with_dice(name: RowName, percent: float, scatter: float = 0.0, **content: Any) -> MeasuredRow:
    images = [
        {"name": f"image{number}", "dice": (percent + scatter * off) / 100, "iou": 0.0}
        for number, off in enumerate(SCATTER)
    ]
    return measured(name, {"images": images, **content})


def check(claim: str, rows: Rows) -> Verdict:
    chosen = next(one for one in claims() if one.id == claim)
    return verdict(chosen, lambda *name: rows.get(RowName(*name)))


def scored(claim: str, percent: Mapping[str, float], scatter: float, **content: Any) -> Verdict:
    """The verdict where rows with these labels have these scores, and all others 50; the first row scatters."""
    names = CHECKS[claim].rows
    rows = {name: with_dice(name, percent.get(name.label, 50.0), **content) for name in names}
    for group in CHECKS[claim].groups:
        for name in group[::2]:
            rows[name] = with_dice(name, percent.get(name.label, 50.0), scatter, **content)
    return check(claim, rows)


@pytest.mark.parametrize(
    ("claim", "percent", "scatter", "expected"),
    [
        ("C1", {"SAM-FT 0-point 0-expert": 71}, QUIET, "holds"),
        ("C1", {"SAM-FT 0-point 0-expert": 69}, QUIET, "does not hold"),
        ("C1", {"SAM-FT 0-point 0-expert": 71}, NOISY, "within noise"),
        ("C2", {"LoRA 0-point 0-expert": 52, "SAM-FT 0-point 0-expert": 48}, QUIET, "holds"),
        ("C2", {"LoRA 0-point 0-expert": 52, "SAM-FT 0-point 0-expert": 51}, QUIET, "does not hold"),
        ("C2", {"LoRA 0-point 0-expert": 52}, QUIET, "within noise"),
        ("C3", {"SAM-FT 1-point 0-expert": 50.2}, QUIET, "holds"),
        ("C3", {"SAM-FT 1-point 0-expert": 49.8}, QUIET, "does not hold"),
        ("C3", {"SAM-FT 1-point 0-expert": 50.2}, NOISY, "within noise"),
        ("C4", {"MSA 3-point 3-expert": 51, "LoRA 3-point 3-expert": 51}, QUIET, "holds"),
        ("C4", {"MSA 3-point 3-expert": 51}, QUIET, "within noise"),
        (
            "C4",
            {"MSA 3-point 3-expert": 51, "LoRA 3-point 3-expert": 51, "LoRA 1-point 1-expert": 52},
            QUIET,
            "does not hold",
        ),
        ("C5", {"SAM-FT 0-point 0-expert": 60, "SAM-FT 0-point 3-expert": 40}, QUIET, "holds"),
        ("C5", {"SAM-FT 0-point 0-expert": 60, "SAM-FT 0-point 3-expert": 55}, QUIET, "does not hold"),
        ("C5", {"SAM-FT 0-point 0-expert": 60, "SAM-FT 0-point 3-expert": 49}, NOISY, "within noise"),
        ("C6", {"O-1-point": 50.05, "R-3-point": 50.05}, 0.1, "holds"),
        ("C6", {"O-1-point": 50.5}, 0.1, "does not hold"),
        ("C6", {"R-3-point": 50.5}, 0.1, "does not hold"),
        ("C6", {"O-1-point": 50.2}, 0.1, "within noise"),
        ("C6", {}, NOISY, "within noise"),
        ("C7", {"O-256-point": 52.3}, QUIET, "holds"),
        ("C7", {"O-256-point": 51.7}, QUIET, "does not hold"),
        ("C7", {"O-256-point": 52.0}, QUIET, "within noise"),
        ("C12", {"SAC": 51}, QUIET, "holds"),
        ("C12", {"SAC": 49}, QUIET, "does not hold"),
        ("C12", {"SAC": 51}, NOISY, "within noise"),
        ("C13", {"1-pair": 40, "3-pair": 41, "8-pair": 42, "16-pair": 43}, QUIET, "holds"),
        ("C13", {"1-pair": 40, "3-pair": 43, "8-pair": 42, "16-pair": 44}, QUIET, "does not hold"),
        ("C13", {"1-pair": 40, "3-pair": 41, "8-pair": 42, "16-pair": 43}, NOISY, "within noise"),
        ("C14", {"professional single": 51, "professional with negatives": 51}, QUIET, "holds"),
        ("C14", {"professional single": 51, "professional with negatives": 49}, QUIET, "does not hold"),
        ("C14", {"professional single": 49, "professional with negatives": 51}, QUIET, "does not hold"),
        ("C14", {"professional single": 51}, QUIET, "within noise"),
    ],
)
def test_claims_about_dice(claim: str, percent: Mapping[str, float], scatter: float, expected: str) -> None:
    assert scored(claim, percent, scatter).verdict == expected


def test_one_of_two_data_sets_can_refute_a_claim() -> None:
    names = CHECKS["C5"].rows
    score = {"SAM-FT 0-point 0-expert": 60.0, "SAM-FT 0-point 1-expert": 50.0, "SAM-FT 0-point 3-expert": 40.0}
    rows = {name: with_dice(name, score[name.label]) for name in names}
    assert check("C5", rows).verdict == "holds"
    turned = RowName("table4_experts", "SAM-FT 0-point 0-expert", "dsb2018")
    found = check("C5", {**rows, turned: with_dice(turned, 45)})
    assert found.verdict == "does not hold"
    assert len(found.measured) == 4
    assert found.measured[0].endswith("): holds")
    assert found.measured[2].startswith(
        "dsb2018: SAM-FT 0-point 0-expert minus SAM-FT 0-point 1-expert = -5.00 points"
    )
    assert found.measured[2].endswith("): does not hold")


def test_figures_are_points_of_dice_with_interval_p_value_images_seeds_and_the_paper_s() -> None:
    a, b = CHECKS["C3"].rows
    images = [{"name": str(n), "dice": 0.5, "iou": 0.0} for n in range(8)]
    higher = [{**image, "dice": 0.5125} for image in images]
    found = check(
        "C3",
        {
            a: measured(a, {"images": higher}, {"images": higher}, paper={"dice": 81.07}),
            b: measured(b, {"images": images}, paper={"dice": 80.89}),
        },
    )
    # All of 256 changes of sign are as likely, and two go as far.
    assert found.measured == (
        "monuseg: SAM-FT 1-point 0-expert minus SAM-FT 0-point 0-expert = +1.25 points of Dice "
        "(+1.25 to +1.25, p = 0.008, 8 images, 2 seeds against 1; paper +0.18)",
    )
    assert found.why == "the interval lies above 0 points"


@pytest.mark.parametrize("claim", list(CHECKS))
def test_a_row_that_was_not_run_is_named(claim: str) -> None:
    missing = CHECKS[claim].rows[0]
    rows = {name: with_dice(name, 50) for name in CHECKS[claim].rows if name != missing}
    unmeasured = MeasuredRow(TableRow(*missing, (), {}, ""), ())
    for known in (rows, {**rows, missing: unmeasured}):
        found = check(claim, known)
        assert found.verdict == "not tested at this scale"
        assert found.why == f"not run: {missing.experiment} ({missing.dataset}): {missing.label}"
        assert found.rows == CHECKS[claim].rows
        assert found.measured == ()


@pytest.mark.parametrize("claim", list(CHECKS))
def test_claims_about_pre_training_are_not_tested_without_it(claim: str) -> None:
    found = scored(claim, {}, 0.0, base_weights=None, parameters={"total": 1})
    about_pre_training = claim in ("C1", "C11", "C14")
    assert ("no pre-trained weights under" in found.why) == about_pre_training
    if about_pre_training:
        assert found.verdict == "not tested at this scale"
        assert all(name.label in found.why for name in CHECKS[claim].rows)


def test_one_row_without_pre_training_is_enough_not_to_test() -> None:
    a, b = CHECKS["C1"].rows
    found = check("C1", {a: with_dice(a, 80), b: with_dice(b, 20, base_weights=None)})
    assert found.verdict == "not tested at this scale"
    assert found.why.startswith("no pre-trained weights under table3_prompts (monuseg): SAM 0-point 0-expert,")


def test_one_test_image_decides_nothing() -> None:
    rows = {
        name: measured(name, {"images": [{"name": "a", "dice": 0.9 if "1-point" in name.label else 0.1}]})
        for name in CHECKS["C3"].rows
    }
    found = check("C3", rows)
    assert found.verdict == "not tested at this scale"
    assert found.why == "one test image has no interval"
    assert "+80.00 points" in found.measured[0]


def backbones(dice: Mapping[str, float], seconds: Mapping[str, float], scatter: float = 0.0) -> Verdict:
    rows = {}
    for name in CHECKS["C11"].rows:
        history = [
            {"epoch": n, "train_seconds": seconds[name.label] * (1 + off)} for n, off in enumerate((0, 0.02, 0.01))
        ]
        noise = scatter if name.label == "ViT-L" else 0.0
        rows[name] = with_dice(name, dice[name.label], noise, history=history)
    return check("C11", rows)


BETTER, SLOWER = {"ViT-B": 83.5, "ViT-L": 83.9, "ViT-H": 84.1}, {"ViT-B": 4.0, "ViT-L": 8.0, "ViT-H": 10.0}


def test_a_larger_backbone_must_be_both_better_and_slower() -> None:
    assert backbones(BETTER, SLOWER).verdict == "holds"
    assert backbones({**BETTER, "ViT-L": 83.0}, SLOWER).verdict == "does not hold"
    assert backbones(BETTER, {**SLOWER, "ViT-L": 3.0}).verdict == "does not hold"
    assert backbones(BETTER, {**SLOWER, "ViT-L": 10.0}).verdict == "within noise"
    assert backbones(BETTER, SLOWER, NOISY).verdict == "within noise"
    assert "ViT-H 10.1 s per epoch, ViT-L 8.08 s = 1.25 times" in " ".join(backbones(BETTER, SLOWER).measured)


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (["holds", "holds"], "holds"),
        (["holds", "within noise"], "within noise"),
        (["holds", "within noise", "not tested at this scale"], "not tested at this scale"),
        (["does not hold", "not tested at this scale", "holds"], "does not hold"),
    ],
)
def test_comparisons_together(outcomes: Any, expected: str) -> None:
    assert combine_outcomes(outcomes) == expected


def every_row(make: Callable[[RowName], MeasuredRow]) -> list[Verdict]:
    return verdicts(lambda *name: make(RowName(*name)))


def test_every_claim_has_a_verdict_in_the_paper_s_order() -> None:
    assert [one.claim.id for one in verdicts(lambda *_: None)] == [f"C{number}" for number in range(1, 15)]


def test_the_page_has_each_claim_with_its_verdict_at_each_scale() -> None:
    not_run = verdicts(lambda *_: None)
    measured_here = every_row(lambda name: with_dice(name, 50, parameters={"total": 5}))
    page = claims_page({"cpu": measured_here, "paper": not_run}, contradictions())
    lines = page.splitlines()
    assert "| claim | scale=cpu | scale=paper |" in lines
    row = "| C9: SAC has fewer parameters than MSA (by 102400) | does not hold | not tested at this scale |"
    assert row in lines
    start = lines.index("## C9: SAC has fewer parameters than MSA (by 102400)")
    assert lines[start + 2 : start + 9] == [
        "- where: Table 6",
        "- checked by: exact",
        "- rows: table6_parameters (synthetic): SAC, MSA",
        "- scale=cpu: **does not hold**: the claim is 102,400.",
        "  - MSA 5 minus SAC 5 = 0 parameters",
        "- scale=paper: **not tested at this scale**: not run: table6_parameters (synthetic): SAC, MSA.",
        "",
    ]
    for one in contradictions():
        assert one.text in page


def test_the_page_is_the_same_for_the_same_records() -> None:
    def page() -> str:
        found = every_row(lambda name: with_dice(name, 50 + len(name.label), QUIET, parameters={"total": 5}))
        return claims_page({"cpu": found}, contradictions())

    assert page() == page()


def test_the_page_names_the_rows_of_a_contradiction() -> None:
    one = Contradiction("X1", (PaperKey(1, "monuseg", "SAC"), PaperKey(6, "", "MSA")), "They differ.")
    text_alone = Contradiction("X2", (), "No rows.")
    page = claims_page({}, [one, text_alone])
    assert "- X1 (Table 1, monuseg: SAC; Table 6: MSA): They differ.\n- X2: No rows.\n" in page
    assert page.endswith("\n")
