"""The record: written whole, tied to its commit."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sac_lightning.core.errors import UserError
from sac_lightning.model.counting import parameter_counts
from sac_lightning.runs import environment as module
from sac_lightning.runs.environment import environment, git_commit, peak_memory_bytes
from sac_lightning.runs.record import (
    RECORD_FILE,
    REQUIRED_KEYS,
    PretrainingRecord,
    RunRecord,
    find_record,
    read_record,
    record_header,
    write_record,
)

CPU = torch.device("cpu")


# Writing


def make_record(**others: Any) -> dict[str, Any]:
    """Return the smallest record, with what is given in it."""
    return {
        **record_header({"model": {"name": "sac"}, "data": {"name": "glas"}, "seed": 1}),
        **dict.fromkeys(("row", "experiment", "config_hash", "code_version", "date")),
        **{"config": {}, "metrics": {}, "prompt_quality": {}, "images": [], "parameters": {}},
        **others,
    }


def test_a_record_can_be_read_back(tmp_path: Path) -> None:
    record = make_record(metrics={"dice": 0.1 + 0.2}, history=[{"epoch": 0}])
    path = tmp_path / RECORD_FILE
    write_record(path, record)
    assert read_record(path) == find_record(tmp_path) == record
    assert os.listdir(tmp_path) == [RECORD_FILE]


def test_a_number_that_json_does_not_know_becomes_null(tmp_path: Path) -> None:
    nan, infinite = float("nan"), float("inf")
    path = tmp_path / RECORD_FILE
    history = [{"loss": infinite}, (1, -infinite)]
    write_record(path, make_record(metrics={"dice": nan, "iou": 0.5}, history=history))
    read = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert read["metrics"] == {"dice": None, "iou": 0.5}
    assert read["history"] == [{"loss": None}, [1, None]]


@pytest.mark.parametrize("schema", [RunRecord, PretrainingRecord])
def test_a_record_with_other_keys_than_its_schemas_is_not_written(schema: type, tmp_path: Path) -> None:
    record = dict.fromkeys(REQUIRED_KEYS[schema])
    path = tmp_path / RECORD_FILE
    for wrong, key in (
        (record | {"nonsense": 1}, "nonsense"),
        (dict(list(record.items())[1:]), next(iter(record))),
    ):
        with pytest.raises(ValueError, match=key):
            write_record(path, wrong, schema)
    assert not path.exists()
    write_record(path, record, schema)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"config": {}}', json.dumps(make_record(config=1)), "{"])
def test_what_is_no_record_is_refused_by_its_name(text: str, tmp_path: Path) -> None:
    (tmp_path / RECORD_FILE).write_text(text)
    with pytest.raises(UserError, match=rf"{RECORD_FILE} is no record of a training run: remove it"):
        read_record(tmp_path / RECORD_FILE)
    assert find_record(tmp_path) is None


def full_disk(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def half_written(path: Path, text: str, **_: Any) -> None:
    with path.open("w") as file:
        file.write(text[: len(text) // 2])
    full_disk()


FAILURES: dict[str, Callable[[pytest.MonkeyPatch], Any]] = {
    "while writing": lambda patch: patch.setattr(Path, "write_text", half_written),
    "while replacing": lambda patch: patch.setattr(os, "replace", full_disk),
}


@pytest.mark.parametrize("fail", FAILURES.values(), ids=FAILURES)
def test_a_failing_write_leaves_the_old_record_and_nothing_else(
    fail: Callable[[pytest.MonkeyPatch], Any], tmp_path: Path
) -> None:
    path = tmp_path / RECORD_FILE
    write_record(path, make_record())
    with pytest.MonkeyPatch.context() as patch:
        fail(patch)
        with pytest.raises(OSError, match="No space left"):
            write_record(path, make_record(seed=2))
    assert os.listdir(tmp_path) == [RECORD_FILE]
    assert read_record(path) == make_record()


def test_a_record_that_is_no_json_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / RECORD_FILE
    write_record(path, make_record())
    with pytest.raises(TypeError):
        write_record(path, make_record(seed=object()))
    assert os.listdir(tmp_path) == [RECORD_FILE]
    assert read_record(path) == make_record()


# What a run was


def test_parameters_are_counted_by_whether_they_train() -> None:
    frozen = nn.Linear(3, 2).requires_grad_(False)
    model = nn.Sequential(frozen, nn.Linear(2, 1, bias=False), nn.BatchNorm1d(1))
    assert parameter_counts(model) == {"trainable": 2 + 2, "frozen": 3 * 2 + 2, "total": 12}
    assert parameter_counts(nn.ReLU()) == {"trainable": 0, "frozen": 0, "total": 0}


def test_the_environment_names_device_versions_and_memory() -> None:
    found = environment(CPU)
    assert found["device"].startswith("CPU")
    assert found["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert {"python", "sac-lightning", "lightning", "segment-anything"} <= found["versions"].keys()
    assert found["peak_memory_bytes"] > 0
    json.dumps(found)


def test_peak_memory_is_in_bytes() -> None:
    assert 50e6 < peak_memory_bytes(CPU) < 1e12, "torch alone takes more than 50 MB"


# The commit


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source tree that is no checkout, with the module in it."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    for variable in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(variable, raising=False)
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "results.py").write_text("one\n")
    monkeypatch.setattr(module, "__file__", str(folder / "results.py"))
    return folder


def git(tree: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"]
    answer = subprocess.run(["git", *identity, *arguments], cwd=tree, check=True, capture_output=True, text=True)
    return answer.stdout.strip()


def test_outside_a_checkout_there_is_no_commit(tree: Path) -> None:
    assert git_commit() is None


def test_in_a_checkout_it_is_the_commit_whatever_its_tags(tree: Path) -> None:
    git(tree, "init", "--quiet")
    git(tree, "add", "results.py")
    git(tree, "commit", "--quiet", "--message", "first")
    commit = git(tree, "rev-parse", "HEAD")
    assert len(commit) == 40
    assert git_commit() == commit
    git(tree, "tag", "--annotate", "v1", "--message", "v1")
    assert git_commit() == commit


def test_changes_are_marked(tree: Path) -> None:
    git(tree, "init", "--quiet")
    git(tree, "add", "results.py")
    git(tree, "commit", "--quiet", "--message", "first")
    (tree / "results.py").write_text("two\n")
    assert git_commit() == git(tree, "rev-parse", "HEAD") + "+changes"


def test_somebody_elses_checkout_is_not_ours(tree: Path) -> None:
    (tree / "theirs.py").write_text("theirs\n")
    git(tree, "init", "--quiet")
    git(tree, "add", "theirs.py")
    git(tree, "commit", "--quiet", "--message", "theirs")
    assert git_commit() is None, "an installed copy lies in the folder, but git does not know it"


def test_without_git_there_is_no_commit(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tree))
    assert shutil.which("git") is None
    assert git_commit() is None
