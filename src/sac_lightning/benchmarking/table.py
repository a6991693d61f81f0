"""The benchmark's table, for people (Markdown, console) and for machines (JSON)."""

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from sac_lightning.benchmarking.plan import Plan, PlanCheck
from sac_lightning.benchmarking.rate import measure_matrix_rate
from sac_lightning.benchmarking.row import BenchmarkRow
from sac_lightning.core.files import whole_file
from sac_lightning.runs.environment import environment

HEADINGS = (
    "work",
    "against",
    "ours",
    "theirs",
    "ratio",
    "memory, ours and theirs",
    "difference",
    "least possible",
    "target",
    "met",
)
PLAN_HEADINGS = (
    "backbone",
    "pixels",
    "batch",
    "parameters",
    "trained",
    "TFLOP per image",
    "memory, CPU",
    "tensors, GPU",
    "time per image",
)
GIB = 2**30


def describe_machine() -> dict[str, Any]:
    """Describe where the measurements are made: processor, threads, versions, and rates of matrix products."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": find_processor(),
        **environment(torch.device("cpu")),
        "float32_products_per_second": measure_matrix_rate(torch.float32),
        "bfloat16_products_per_second": measure_matrix_rate(torch.bfloat16),
    }


def find_processor() -> str:
    """Return the processor's own name, if the system reveals it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def write_table(folder: Path, rows: Sequence[BenchmarkRow], about: dict[str, Any]) -> list[Path]:
    """Write benchmark.json and benchmark.md; return their paths."""
    notes = [f"{row.work}: {row.note}." for row in rows if row.note]
    text = "\n".join(
        [*_format_head(about), *format_markdown(HEADINGS, [format_row(row) for row in rows]), "", *notes]
    )
    return _write_files(folder, "benchmark", {"machine": about, "rows": [asdict(row) for row in rows]}, text)


def write_plan(folder: Path, plans: Sequence[Plan], check: PlanCheck | None, about: dict[str, Any]) -> list[Path]:
    """Write plan.json and plan.md; return their paths."""
    table = format_markdown(PLAN_HEADINGS, [format_plan(plan) for plan in plans])
    text = "\n".join([*_format_head(about), *table, "", describe_check(check)])
    record = {
        "machine": about,
        "plans": [asdict(plan) for plan in plans],
        "check": None if check is None else asdict(check),
    }
    return _write_files(folder, "plan", record, text)


def _write_files(folder: Path, name: str, record: dict[str, Any], text: str) -> list[Path]:
    paths = [folder / f"{name}.json", folder / f"{name}.md"]
    for path, content in zip(paths, (json.dumps(record, indent=2), text), strict=True):
        with whole_file(path) as file:
            file.write_text(f"{content.rstrip()}\n", encoding="utf-8")
    return paths


def _format_head(about: dict[str, Any]) -> list[str]:
    products = " and ".join(
        f"{about[f'{dtype}_products_per_second'] / 1e9:.0f} GFLOP/s in {dtype}"
        for dtype in ("float32", "bfloat16")
    )
    return [
        f"{about['processor']}, {about['threads']} threads, {about['date'][:10]}. Matrix products: {products}.",
        "",
    ]


def format_markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    return [f"| {' | '.join(cells)} |" for cells in (headings, ["---"] * len(headings), *rows)]


def format_plan(plan: Plan) -> list[str]:
    """Format the cells of a plan as text."""
    return [
        plan.backbone,
        str(plan.image_size),
        str(plan.batch_size),
        f"{plan.parameters / 1e6:.1f} M",
        f"{plan.trained / 1e6:.1f} M",
        f"{plan.operations / 1e12:.3f}",
        f"{plan.memory / GIB:.1f} GiB",
        f"{plan.gpu_memory / GIB:.1f} GiB",
        _format_seconds(plan.seconds_per_image),
    ]


def describe_check(check: PlanCheck | None) -> str:
    """Describe in a sentence how far off the prediction was."""
    if check is None:
        return "No second step was short enough to check the prediction."
    return (
        f"Checked on a step of {check.backbone}, {check.image_size} px, one image: "
        f"{_format_seconds(check.seconds)} ({_format_seconds(check.predicted_seconds)} predicted) "
        f"and {check.memory / GIB:.2f} GiB ({check.predicted_memory / GIB:.2f} GiB predicted)."
    )


def format_row(row: BenchmarkRow) -> list[str]:
    """Format the cells of a row as text."""
    memory = [f"{size / GIB:.1f}" for size in (row.memory, row.reference_memory) if size is not None]
    return [
        row.work,
        row.against,
        _format_seconds(row.seconds),
        _format_seconds(row.reference_seconds),
        f"{row.figure:.2f}",
        f"{', '.join(memory)} GiB" if memory else "",
        f"{row.difference:.1e}" if row.difference is not None else "",
        _format_seconds(row.least_seconds),
        row.target,
        {True: "yes", False: "**no**", None: ""}[row.met],
    ]


def _format_seconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f} s" if value >= 1 else f"{1000 * value:.1f} ms"
