"""The benchmark, on models so small that its figures mean nothing: its files, and that its sides agree."""

import json
from pathlib import Path

import pytest
import torch
from tests.processes import Processes

from sac_lightning.benchmark import WORKS as NAMES
from sac_lightning.benchmarking import sides
from sac_lightning.benchmarking.plan import make_plans
from sac_lightning.benchmarking.row import BenchmarkRow
from sac_lightning.benchmarking.run import WORKS
from sac_lightning.benchmarking.side import Prepare, measure
from sac_lightning.benchmarking.table import HEADINGS, format_row
from sac_lightning.benchmarking.works import list_commands

TINY = {"name": "tiny", "dim": 32, "depth": 2, "heads": 2, "global_blocks": (1,), "patch": 8, "window": 3}


@pytest.mark.parametrize(
    ("ours", "official"),
    [(sides.prepare_encoder, sides.prepare_official_encoder), (sides.prepare_step, sides.prepare_official_step)],
    ids=["forward", "step"],
)
def test_both_sides_come_to_the_same(ours: Prepare, official: Prepare) -> None:
    arguments = {"backbone": TINY, "image_size": 256}
    measured = measure({"ours": ours, "official": official}, arguments, 1)
    one, other = measured["ours"], measured["official"]
    assert len(one.seconds) == len(other.seconds) == 1
    assert min(one.median_seconds, other.median_seconds, one.peak_memory_bytes, other.peak_memory_bytes) > 0
    assert one.outputs.keys() == other.outputs.keys() != set()
    for name, tensor in one.outputs.items():
        assert (tensor - other.outputs[name]).norm() < 1e-3 * other.outputs[name].norm(), name
        assert tensor.norm() > 0


def test_writes_a_table_for_people_and_one_for_machines(tmp_path: Path, processes: Processes) -> None:
    arguments = ["works=[forward]", "backbone=vit_t", "image_size=64", "repetitions=1", "hydra.run.dir=out"]
    finished = processes.run("sac_lightning.benchmark", *arguments, folder=tmp_path)
    assert finished.returncode == 0, finished.stderr
    record = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    full, half = record["rows"]
    assert full["difference"] <= 1e-4
    assert half["difference"] <= 1e-1
    assert full["figure"] == pytest.approx(full["reference_seconds"] / full["seconds"])
    assert record["machine"]["float32_products_per_second"] > 0
    table = (tmp_path / "out" / "benchmark.md").read_text()
    assert "image encoder, forward, float32 (vit_t, 64 px)" in table
    assert str(tmp_path / "out" / "benchmark.md") in finished.stdout.replace("\n", "")


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("backbones=[vit_x]", "there is no backbone vit_x"),
        ("repetitions=0", "repetitions is 0: choose at least 1"),
    ],
)
def test_rejects_what_it_cannot_measure(
    argument: str, sentence: str, tmp_path: Path, light_processes: Processes
) -> None:
    finished = light_processes.run("sac_lightning.benchmark", argument, folder=tmp_path)
    assert finished.returncode == 1
    assert sentence in finished.stderr
    assert not list(tmp_path.iterdir())


def test_every_named_work_is_there() -> None:
    assert tuple(WORKS) == NAMES
    assert {"train", "predict", "benchmark"} <= set(list_commands())
    assert "rows" not in list_commands()


def test_a_plan_grows_with_image_and_batch_and_is_checked() -> None:
    torch.manual_seed(0)
    made, check = make_plans([TINY | {"native_size": 128}], [128, 256], [1, 2], bfloat16=False)
    small, small_twice, large, _ = made
    assert [plan.image_size for plan in made] == [128, 128, 256, 256]
    assert small.operations == small_twice.operations
    assert small.operations < large.operations
    assert small.memory < small_twice.memory < large.memory * 2
    assert large.gpu_memory > small.gpu_memory
    assert check is not None
    assert check.seconds > 0
    assert check.memory > 0


def test_the_table_marks_a_missed_target() -> None:
    row = BenchmarkRow(work="w", against="a", target="t", figure=1.234, met=False, seconds=0.5, memory=2**30)
    by_heading = dict(zip(HEADINGS, format_row(row), strict=True))
    assert by_heading["met"] == "**no**"
    assert by_heading["ratio"] == "1.23"
    assert by_heading["ours"] == "500.0 ms"
    assert by_heading["memory, ours and theirs"] == "1.0 GiB"
