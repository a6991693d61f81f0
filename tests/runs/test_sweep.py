"""Sweeps as a person starts them: skipped, failed, killed, two at once, distributed."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.commands import rerun

from sac_lightning.core.configuration import compose_config, resolve_config
from sac_lightning.runs.code_version import code_version
from sac_lightning.runs.identity import identity_of
from sac_lightning.runs.record import RECORD_FILE, record_header, record_provenance, write_record
from sac_lightning.runs.sweep import is_recorded, run_folder
from sac_lightning.runs.unfinished import LAST, try_lock

pytestmark = pytest.mark.slow

# Jobs run beside each other here; PyTorch's threads would wait for one another.
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def command(tiny: list[str], *overrides: str) -> list[str]:
    arguments = ["+experiment=table5_selection", "data=synthetic", *tiny, "trainer.max_epochs=1", *overrides]
    return [sys.executable, "-m", "sac_lightning.train", *arguments]


def sweep(tiny: list[str], folder: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    return started(command(tiny, *overrides), folder)


def started(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments,
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def records(folder: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """All records of a sweep's folder by row and seed."""
    contents = [json.loads(path.read_text()) for path in folder.glob("outputs/runs/**/results.json")]
    found = {(content["row"], content["seed"]): content for content in contents}
    assert len(found) == len(contents), "a job ran twice"
    return found


def row_of(run: Path) -> str:
    """The row that a run is of."""
    row: str = json.loads((run / "results.json").read_text())["row"]
    return row


def outcomes(text: str) -> dict[str, str]:
    """What the sweep said of each job in the end."""
    words = "done|failed|recorded before|run elsewhere"
    return dict(re.findall(rf"^#\d+ (.+): ({words})", text, re.M))


RUNS = "outputs/runs/synthetic/sac"
TWO = ("prompts.selection=O", "prompts.points=1,3")
JOBS = ("O-1-point, synthetic, seed 0", "O-3-point, synthetic, seed 0")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, tiny: list[str]) -> Path:
    """The folder of a sweep of two jobs that nothing disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    finished = sweep(tiny, folder, *TWO)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert outcomes(finished.stdout) == dict.fromkeys(JOBS, "done")
    return folder


def test_every_job_leaves_its_record_its_log_and_its_predictions(undisturbed: Path) -> None:
    found = records(undisturbed)
    assert set(found) == {("O-1-point", 0), ("O-3-point", 0)}
    for (row, _), record in found.items():
        assert record["experiment"] == "table5_selection"
        assert record["points"] == int(row.split("-")[1])
        assert record["code_version"] == code_version(record["config"])
    for run in undisturbed.glob(f"{RUNS}/*/"):
        assert "Test" in (run / "console.log").read_text()
        assert len(list((run / "test").glob("*.png"))) == len(list((run / "test").glob("*.json"))) == 2


def test_a_recorded_job_is_skipped_and_its_record_stays_as_it_is(tiny: list[str], undisturbed: Path) -> None:
    runs = undisturbed.glob(f"{RUNS}/*/**/*")
    before = {path: path.stat().st_mtime_ns for path in runs if path.is_file()}
    again = sweep(tiny, undisturbed, *TWO)
    assert again.returncode == 0, again.stderr
    assert outcomes(again.stdout) == dict.fromkeys(JOBS, "recorded before")
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_killed_sweep_goes_on_where_it_was_and_ends_with_the_same_numbers(
    tiny: list[str], undisturbed: Path, tmp_path: Path
) -> None:
    """The first job is recorded already; the sweep is killed in the second."""
    (first,) = [run for run in undisturbed.glob(f"{RUNS}/*/") if row_of(run) == "O-1-point"]
    shutil.copytree(first, tmp_path / first.relative_to(undisturbed))
    with subprocess.Popen(
        command(tiny, *TWO),
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        folder = next(
            Path(line.partition("its output is in ")[2].strip()).parent
            for line in process.stdout
            if line.startswith("#1 ") and ": started" in line
        )
        while process.poll() is None and not (folder / LAST).exists():
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    assert set(records(tmp_path)) == {("O-1-point", 0)}
    finished = sweep(tiny, tmp_path, *TWO)
    assert finished.returncode == 0, finished.stdout
    assert outcomes(finished.stdout) == {JOBS[0]: "recorded before", JOBS[1]: "done"}
    assert f"Going on with {folder}, which was interrupted." in (folder / "console.log").read_text()
    ours, theirs = records(tmp_path), records(undisturbed)
    assert {job: record["metrics"] for job, record in ours.items()} == {
        job: record["metrics"] for job, record in theirs.items()
    }


def test_two_sweeps_at_once_do_no_job_twice(tiny: list[str], tmp_path: Path) -> None:
    both = [
        subprocess.Popen(
            command(tiny, *TWO, "hydra/launcher=local"),
            cwd=tmp_path,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    texts = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], texts
    said = [outcomes(text) for text in texts]
    for job in JOBS:
        told = [each[job] for each in said]
        assert told.count("done") == 1, texts
        assert {*told} <= {"done", "run elsewhere", "recorded before"}
    assert len(records(tmp_path)) == 2


def test_a_failed_job_stops_no_other_and_is_listed_with_its_log(tiny: list[str], tmp_path: Path) -> None:
    finished = sweep(tiny, tmp_path, "prompts.selection=O", "prompts.points=1", "model.blocks=[7],all")
    assert finished.returncode == 1
    assert set(re.findall(r"^#\d .+: (failed|done)", finished.stdout, re.M)) == {"failed", "done"}
    line, log = re.findall(r"^#0 failed: (.+)\n +log: (.+)$", finished.stdout, re.M)[0]
    assert line == "error: model.blocks names block 7: this backbone has blocks 0 to 1"
    assert line in Path(log).read_text()
    assert "recorded is skipped" in finished.stdout
    assert len(records(tmp_path)) == 1


def test_a_distributed_job_of_a_sweep_tests_every_image_once(tiny: list[str], tmp_path: Path) -> None:
    ddp = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.precision=32-true"]
    finished = sweep(tiny, tmp_path, "prompts.selection=R", "prompts.points=3", "data.test=3", *ddp)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    (record,) = records(tmp_path).values()
    assert [image["name"] for image in record["images"]] == sorted({image["name"] for image in record["images"]})
    assert record["test_images"] == 3
    (checkpoint,) = tmp_path.glob("outputs/runs/**/best.ckpt")
    alone = rerun(tmp_path / "alone", checkpoint)
    assert record["metrics"] == pytest.approx(alone["metrics"], abs=1e-6)
    assert record["prompt_quality"] == pytest.approx(alone["prompt_quality"], abs=1e-6)
    assert record["images"] == alone["images"]


def test_lines_of_jobs_side_by_side_never_cut_into_each_other(tmp_path: Path) -> None:
    line = "#0 O-1-point, synthetic, seed 0: done"
    code = f"from sac_lightning.runs.sweep import say\nfor _ in range(100_000): say({line!r})"
    heard = tmp_path / "heard"
    with heard.open("a") as output:
        both = [
            subprocess.Popen(
                [sys.executable, "-c", code], stdout=output, env=os.environ | {"PYTHONUNBUFFERED": "1"}
            )
            for _ in range(2)
        ]
    assert [process.wait(timeout=900) for process in both] == [0, 0]
    assert heard.read_text().splitlines() == [line] * 200_000


def test_a_lock_is_held_by_one_and_goes_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    with try_lock(path) as first, try_lock(path) as second:
        assert first is not None
        assert second is None
    with try_lock(path) as third:
        assert third is not None


def test_a_lock_stays_while_a_job_lives_on_without_its_sweep(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    with try_lock(path) as lock:
        assert lock is not None
        job = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock])
    try:
        with try_lock(path) as other:
            assert other is None
    finally:
        job.communicate(b"\n", timeout=60)
    with try_lock(path) as other:
        assert other is not None


@pytest.fixture
def config(tiny: list[str]) -> dict[str, Any]:
    return resolve_config(compose_config("train", [*tiny, "output_dir=x"]))


def test_another_run_has_another_folder(config: dict[str, Any], tiny: list[str]) -> None:
    identity = identity_of(config)
    folder = run_folder("runs", config, identity)
    assert folder.parts[:3] == ("runs", "synthetic", "sac")
    same = resolve_config(compose_config("train", [*tiny, "output_dir=y", "logger=tensorboard"]))
    assert run_folder("runs", same, identity_of(same)) == folder
    other = resolve_config(compose_config("train", [*tiny, "output_dir=x", "seed=1"]))
    for another in (
        identity_of(other),
        identity | {"code_version": "f" * 64},
        identity | {"contents": {"data": {"test": "0" * 64}, "files": {}}},
    ):
        assert run_folder("runs", config, another) != folder


def test_a_record_counts_only_for_its_configuration_and_code(config: dict[str, Any], tmp_path: Path) -> None:
    identity = identity_of(config)
    assert not is_recorded(tmp_path, identity)
    path = tmp_path / RECORD_FILE
    right = {
        **record_header(config),
        **record_provenance(config),
        **{"metrics": {}, "prompt_quality": {}, "images": [], "parameters": {}},
    }
    for changes, counts in [
        ({}, True),
        ({"config": config | {"seed": 99}}, False),
        ({"code_version": "other"}, False),
        ({"contents": {"data": {"test": "0" * 64}, "files": {}}}, False),
        ({"contents": {"data": {"test": ["no text"]}}}, False),
        ({"config_hash": "of a former way to hash"}, True),
        ({"config": config | {"folder": "elsewhere"}}, True),
    ]:
        write_record(path, right | changes)
        assert is_recorded(tmp_path, identity) == counts, changes
    path.write_text(json.dumps(right)[:-5])
    assert not is_recorded(tmp_path, identity), "half a record is none"
