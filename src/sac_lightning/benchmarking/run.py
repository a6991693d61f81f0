"""``python -m sac_lightning.benchmark``: measure the chosen pieces of work, or plan, and write the table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from sac_lightning.benchmarking import works
from sac_lightning.benchmarking.plan import make_plans
from sac_lightning.benchmarking.row import BenchmarkRow
from sac_lightning.benchmarking.table import (
    HEADINGS,
    PLAN_HEADINGS,
    describe_check,
    describe_machine,
    format_plan,
    format_row,
    write_plan,
    write_table,
)
from sac_lightning.core.configuration import config_dir, resolve_config

WIDTH = 200  # Of a table written to a file.
WORKS = {
    work.__name__: work
    for work in (
        works.forward,
        works.step,
        works.largest_step,
        works.selection,
        works.features,
        works.prompt_settings,
        works.loading,
        works.start_up,
    )
}


def benchmark(cfg: DictConfig) -> None:
    """Measure, or predict with ``plan=true``."""
    if cfg.plan:
        _plan(cfg)
    else:
        _measure(cfg)


def _measure(cfg: DictConfig) -> None:
    config = resolve_config(cfg)
    settings = works.Settings(
        _drop_target(config["backbone"]), _drop_target(config["largest"]), cfg.image_size, cfg.repetitions
    )
    about = describe_machine()
    rows: list[BenchmarkRow] = []
    for name in (progress := tqdm(cfg.works, disable=None)):
        progress.set_description(name)
        rows += WORKS[name](settings)
        paths = write_table(Path(cfg.output_dir), rows, about)  # Save the rows so far, whatever comes next.
    _show("Benchmark", HEADINGS, [format_row(row) for row in rows], paths)


def _plan(cfg: DictConfig) -> None:
    backbones = [_drop_target(OmegaConf.to_container(_load_backbone(name))) for name in cfg.backbones]
    made, check = make_plans(backbones, cfg.image_sizes, cfg.batch_sizes, cfg.bfloat16)
    paths = write_plan(Path(cfg.output_dir), made, check, describe_machine())
    _show(
        "Predicted cost of training SAC",
        PLAN_HEADINGS,
        [format_plan(plan) for plan in made],
        paths,
        describe_check(check),
    )


def _load_backbone(name: str) -> DictConfig:
    backbone = OmegaConf.load(config_dir() / "backbone" / f"{name}.yaml")
    assert isinstance(backbone, DictConfig)
    return backbone


def _drop_target(backbone: Any) -> dict[str, Any]:
    return {key: value for key, value in backbone.items() if key != "_target_"}


def _show(
    title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], paths: Sequence[Path], note: str = ""
) -> None:
    table = Table(title=title)
    for heading in headings:
        table.add_column(heading)
    for row in rows:
        table.add_row(*row)
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    console.print(table)
    if note:
        console.print(note)
    for path in paths:
        console.print(f"{path.suffix[1:]:10} {path}", soft_wrap=True)
