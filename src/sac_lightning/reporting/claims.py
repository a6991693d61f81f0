"""The claims ledger: each claim of the paper, what was measured to check it, and whether it holds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from sac_lightning.reporting.comparisons import (
    Comparison,
    Outcome,
    expect_alike,
    expect_best,
    expect_better,
    expect_better_and_slower,
    expect_fewer_epochs,
    expect_fewer_parameters,
    expect_twice_as_slow,
)
from sac_lightning.reporting.paper.tables import Claim, Contradiction, PaperKey, claims
from sac_lightning.reporting.row import MeasuredRow

INTRODUCTION = """\
# The paper's claims, and what we measured

Written by `python -m sac_lightning.report` from the records of the runs. A claim **holds** if the whole
interval of what was measured lies where the claim says, **does not hold** if no part of it does, and is
**within noise** otherwise. A claim of several comparisons holds if all of them do, and does not hold if one
of them does not. Only scale=paper can confirm or refute the paper's figures; a smaller scale says whether a
claim carries over to it.

- Dice is the mean over test images; differences are in points (hundredths) of it. The interval is a 95 %
  bootstrap interval (BCa) over test images, the scores of an image averaged over the seeds first; p is of a
  paired permutation test, two-sided, and not corrected for the number of comparisons. The interval speaks for
  other images, not for another training run: with one seed, a difference may be that run's luck.
- Times are compared by the ratio of the mean seconds of an epoch's training batches, with a 95 % bootstrap
  interval over epochs, on one device. "About twice" is 1.5 to 2.5 times: our choice.
- Parameters are counted, without noise.
- Epochs are compared run by run: it takes three seeds a row, and every run of one row before every run of the
  other.
"""

# Finds a row at one scale by experiment, label and dataset; None if the experiment has no such row.
Find = Callable[[str, str, str], MeasuredRow | None]


class RowName(NamedTuple):
    """The arguments of a `Find`: what a row is found by."""

    experiment: str
    label: str
    dataset: str


@dataclass(frozen=True)
class ClaimCheck:
    """How a claim is checked.

    Attributes:
        groups: Groups of rows to compare with each other, each in the order that the comparison expects.
        compare: Compares the rows of a group.
        pretrained: Whether only rows with a pre-trained base can decide, because the claim is about what SAM has
            already learnt.
    """

    groups: tuple[tuple[RowName, ...], ...]
    compare: Callable[[Sequence[MeasuredRow]], list[Comparison]]
    pretrained: bool = False

    @property
    def rows(self) -> tuple[RowName, ...]:
        """All rows of its groups, each once."""
        return tuple(dict.fromkeys(name for group in self.groups for name in group))


@dataclass(frozen=True)
class Verdict:
    """The verdict on a claim at one scale.

    Attributes:
        claim: The claim of the paper.
        rows: The rows that it needs.
        measured: A line of figures per comparison, with its outcome if there are several.
        verdict: Whether the claim holds.
        why: The rule that led to the verdict, or what is missing for one.
    """

    claim: Claim
    rows: tuple[RowName, ...]
    measured: tuple[str, ...]
    verdict: Outcome
    why: str


def _rows(experiment: str, *labels: str, dataset: str = "monuseg") -> tuple[RowName, ...]:
    return tuple(RowName(experiment, label, dataset) for label in labels)


_table3 = partial(_rows, "table3_prompts")
_table4 = partial(_rows, "table4_experts", *(f"SAM-FT 0-point {experts}-expert" for experts in (0, 1, 3)))
_table5 = partial(_rows, "table5_selection")
_figure1 = partial(_rows, "figure1_prompting")
# The setting that is claimed to be best comes first.
_ADAPTED = ("3-point 3-expert", "0-point 0-expert", "0-point 1-expert", "1-point 0-expert", "1-point 1-expert")

CHECKS: Mapping[str, ClaimCheck] = {
    "C1": ClaimCheck(
        (_table3("SAM-FT 0-point 0-expert", "SAM 0-point 0-expert"),),
        partial(expect_better, margin=20.0),
        pretrained=True,
    ),
    "C2": ClaimCheck(
        (_table3("LoRA 0-point 0-expert", "MSA 0-point 0-expert", "SAM-FT 0-point 0-expert"),), expect_better
    ),
    "C3": ClaimCheck((_table3("SAM-FT 1-point 0-expert", "SAM-FT 0-point 0-expert"),), expect_better),
    "C4": ClaimCheck(
        tuple(_table3(*(f"{method} {setting}" for setting in _ADAPTED)) for method in ("MSA", "LoRA")), expect_best
    ),
    "C5": ClaimCheck((_table4(dataset="monuseg"), _table4(dataset="dsb2018")), expect_better),
    "C6": ClaimCheck((_table5("O-1-point", "R-1-point"), _table5("O-3-point", "R-3-point")), expect_alike),
    "C7": ClaimCheck((_table5("O-256-point", "R-256-point"),), partial(expect_better, margin=2.0)),
    "C8": ClaimCheck((_table5("O-256-point", "R-256-point"),), expect_twice_as_slow),
    # Counting parameters needs no data, so these jobs keep the default data set.
    "C9": ClaimCheck((_rows("table6_parameters", "SAC", "MSA", dataset="synthetic"),), expect_fewer_parameters),
    "C10": ClaimCheck(
        (_rows("figure4_convergence", "SAC", "MSA 1-expert", "SAM-FT 1-expert"),), expect_fewer_epochs
    ),
    "C11": ClaimCheck(
        (_rows("table7_backbone", "ViT-H", "ViT-L", "ViT-B"),), expect_better_and_slower, pretrained=True
    ),
    "C12": ClaimCheck((_rows("table8_glas", "SAC", "U-Net", dataset="glas"),), expect_better),
    "C13": ClaimCheck((_rows("figure5_pairs", "16-pair", "8-pair", "3-pair", "1-pair"),), expect_better),
    "C14": ClaimCheck(
        (
            _figure1("professional single", "unprofessional single"),
            _figure1("professional with negatives", "professional multiple"),
        ),
        expect_better,
        pretrained=True,
    ),
}


def verdict(claim: Claim, find: Find) -> Verdict:
    """Judge a claim by the records of one scale.

    A claim holds if all of its comparisons do, and does not hold if one of them does not.

    Args:
        claim: A claim of the paper.
        find: Finds the rows of the scale.

    Raises:
        UserError: Rows to compare were not tested on the same images.
    """
    check = CHECKS[claim.id]
    names = check.rows
    found = {name: row for name in names if (row := find(*name)) is not None and row.records}
    if len(found) < len(names):
        absent = [name for name in names if name not in found]
        return Verdict(claim, names, (), "not tested at this scale", f"not run: {_list_rows(absent)}")
    if check.pretrained and (random := [name for name in names if _starts_at_random(found[name])]):
        why = f"no pre-trained weights under {_list_rows(random)}, and the claim is about pre-training"
        return Verdict(claim, names, (), "not tested at this scale", why)
    findings = [finding for group in check.groups for finding in check.compare([found[name] for name in group])]
    outcome = combine_outcomes([finding.outcome for finding in findings])
    reasons = dict.fromkeys(finding.why for finding in findings if finding.outcome == outcome)
    return Verdict(claim, names, _list_figures(findings), outcome, "; ".join(reasons))


def verdicts(find: Find) -> list[Verdict]:
    """Judge every claim by the records of one scale, in the paper's order; see `verdict`."""
    return [verdict(claim, find) for claim in claims()]


def combine_outcomes(outcomes: Sequence[Outcome]) -> Outcome:
    """Return the outcome of a claim of several comparisons: the worst one for the claim."""
    worst_first: tuple[Outcome, ...] = ("does not hold", "not tested at this scale", "within noise", "holds")
    return min(outcomes, key=worst_first.index)


def claims_page(found: Mapping[str, Sequence[Verdict]], contradictions: Sequence[Contradiction]) -> str:
    """Write the ledger as Markdown.

    Args:
        found: The verdicts by name of the scale, in the order of the columns.
        contradictions: Contradictions within the paper.

    Returns:
        The text; the same records give the same text.
    """
    by_claim = [(claim, _select_claim(claim, found)) for claim in claims()]
    return "\n".join(
        [
            INTRODUCTION,
            *_overview(by_claim, list(found)),
            *_details(by_claim),
            *_list_contradictions(contradictions),
        ]
    )


def _list_figures(findings: Sequence[Comparison]) -> tuple[str, ...]:
    figures = [finding for finding in findings if finding.measured]
    if len(figures) == 1:
        return (figures[0].measured,)
    return tuple(f"{finding.measured}: {finding.outcome}" for finding in figures)


def _starts_at_random(row: MeasuredRow) -> bool:
    return any(record.content.get("base_weights") is None for record in row.records)


def _list_rows(names: Sequence[RowName]) -> str:
    """List row labels, grouped by experiment and dataset."""
    labels: dict[tuple[str, str], list[str]] = {}
    for name in names:
        labels.setdefault((name.experiment, name.dataset), []).append(name.label)
    return "; ".join(f"{experiment} ({dataset}): {', '.join(of)}" for (experiment, dataset), of in labels.items())


def _select_claim(claim: Claim, found: Mapping[str, Sequence[Verdict]]) -> dict[str, Verdict]:
    return {scale: one for scale, of_scale in found.items() for one in of_scale if one.claim.id == claim.id}


def _overview(by_claim: Sequence[tuple[Claim, Mapping[str, Verdict]]], scales: Sequence[str]) -> list[str]:
    lines = [
        f"| {' | '.join(['claim', *(f'scale={scale}' for scale in scales)])} |",
        f"| {' | '.join(['---'] * (1 + len(scales)))} |",
    ]
    for claim, verdicts_of in by_claim:
        words = [verdicts_of[scale].verdict if scale in verdicts_of else "" for scale in scales]
        lines.append(f"| {' | '.join([f'{claim.id}: {claim.text}', *words])} |")
    return [*lines, ""]


def _details(by_claim: Sequence[tuple[Claim, Mapping[str, Verdict]]]) -> list[str]:
    lines = []
    for claim, verdicts_of in by_claim:
        lines += [
            f"## {claim.id}: {claim.text}",
            "",
            f"- where: {claim.where}",
            f"- checked by: {claim.checked_by}",
            f"- rows: {_list_rows(CHECKS[claim.id].rows)}",
        ]
        for scale, found in verdicts_of.items():
            lines.append(f"- scale={scale}: **{found.verdict}**: {found.why}.")
            lines += [f"  - {measured}" for measured in found.measured]
        lines.append("")
    return lines


def _list_contradictions(contradictions: Sequence[Contradiction]) -> list[str]:
    lines = ["## Where the paper contradicts itself", ""]
    for one in contradictions:
        rows = f" ({'; '.join(_name_key(key) for key in one.rows)})" if one.rows else ""
        lines.append(f"- {one.id}{rows}: {one.text}")
    return [*lines, ""]


def _name_key(key: PaperKey) -> str:
    return f"Table {key.table}{f', {key.dataset}' if key.dataset else ''}: {key.row}"
