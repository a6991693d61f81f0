"""A full disk, a folder that may not be written to: one sentence, status 1, and what was there before is whole."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.commands import run

from sac_lightning.core import command
from sac_lightning.core.command_line import read_flags
from sac_lightning.core.configuration import compose_config
from sac_lightning.model.checkpoint import read_checkpoint
from sac_lightning.slides.run import predict
from sac_lightning.training.evaluation import evaluate
from sac_lightning.training.run import train

FULL, READ_ONLY, FORBIDDEN = errno.ENOSPC, errno.EROFS, errno.EACCES
FAULTS = {"full": FULL, "read-only": READ_ONLY, "forbidden": FORBIDDEN}


def failing(fault: int) -> Callable[..., Any]:
    """Stands for a call to the operating system. As root, under whom tests may run, one is never forbidden any."""

    def call(*arguments: Any, **options: Any) -> Any:
        raise OSError(fault, os.strerror(fault))

    return call


def sentence_of(work: Callable[[], object], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says at its end, which must be one sentence, and status 1."""
    with pytest.raises(SystemExit) as ended, command._report_user_errors():
        work()
    assert ended.value.code == 1
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(said) == 1, said
    return said[0]


def check_arguments(name: str, arguments: list[str]) -> None:
    """What a command does with its arguments before its work."""
    command._prepare(name, read_flags(arguments), None, None, None)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def finished(tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that has come to its end."""
    folder = tmp_path_factory.mktemp("finished")
    run(tiny, folder, "trainer.max_epochs=1")
    return folder


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_training_that_cannot_write_its_checkpoint_keeps_the_one_before(
    fault: int, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    cfg = compose_config("train", [*tiny, f"output_dir={tmp_path}"])
    save = torch.save

    def saving(content: Any, path: Any) -> None:
        if content["epoch"] == 1:
            Path(path).write_bytes(b"half")
            if fault == FULL:  # Of which torch says no more.
                raise RuntimeError("PytorchStreamWriter failed writing file")
            raise OSError(fault, os.strerror(fault))
        save(content, path)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", saving)
        said = sentence_of(lambda: train(cfg), capsys)
    assert "checkpoints/" in said
    assert "make room and start the same command again" in said
    assert read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["epoch"] == 0
    assert not list(tmp_path.rglob("*.part"))
    assert run(tiny, tmp_path)["epochs"] == 2, "it goes on"


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_an_evaluation_that_cannot_write_leaves_the_older_record_whole(
    fault: int, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    best = finished / "checkpoints" / "best.ckpt"
    cfg = compose_config("evaluate", [f"checkpoint={best}", f"output_dir={tmp_path}", "logger=none"])
    evaluate(cfg)
    before = contents(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", failing(fault))
        said = sentence_of(lambda: evaluate(cfg), capsys)
    assert os.strerror(fault) in said
    assert str(tmp_path) in said
    assert {name: content for name, content in contents(tmp_path).items() if name in before} == before
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_prediction_that_cannot_write_leaves_the_older_results_whole(
    fault: int, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    images, output = tmp_path / "images", tmp_path / "output"
    images.mkdir()
    for name in ("a", "b"):
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)).save(
            images / f"{name}.png"
        )
    cfg = compose_config("predict", [f"checkpoint={finished / 'checkpoints' / 'best.ckpt'}", f"images={images}"])
    cfg.output, cfg.overwrite = str(output), True
    predict(cfg)
    before = contents(output)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", failing(fault))
        said = sentence_of(lambda: predict(cfg), capsys)
    assert os.strerror(fault) in said
    assert str(output) in said
    assert contents(output) == before


def test_a_file_in_place_of_the_folder_is_told_before_the_training(
    tiny: list[str], tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "outputs").write_text("mine")
    said = sentence_of(
        lambda: train(compose_config("train", [*tiny, f"output_dir={tmp_path / 'outputs' / 'a'}"])), capsys
    )
    assert str(tmp_path / "outputs" / "a") in said
    assert "name a folder that can be" in said
    assert (tmp_path / "outputs").read_text() == "mine"


@pytest.mark.parametrize("fault", [READ_ONLY, FORBIDDEN], ids=["read-only", "forbidden"])
def test_a_folder_that_may_not_be_written_to_is_told_before_the_training(
    fault: int, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(os, "open", failing(fault))
    said = sentence_of(lambda: train(compose_config("train", [*tiny, f"output_dir={tmp_path}"])), capsys)
    assert str(tmp_path) in said
    assert os.strerror(fault) in said
    assert "name a folder that can be" in said


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("train", []),
        ("train", ["hydra.run.dir=outputs/here"]),
        ("train", ["+experiment=table5_selection"]),
        ("train", ["-m", "seed=0,1"]),
        ("evaluate", ["checkpoint=x"]),
        ("benchmark", []),
        ("pretrain", []),
    ],
)
def test_what_hydra_would_say_in_a_page_is_told_before_it_makes_its_folder(
    name: str, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    check_arguments(name, arguments)
    shutil.rmtree("outputs", ignore_errors=True)  # A run named by the time has claimed its folder.
    (tmp_path / "outputs").write_text("mine")
    said = sentence_of(lambda: check_arguments(name, arguments), capsys)
    assert f"{tmp_path}/outputs" in said
    assert "name a folder that can be" in said


def test_a_command_that_writes_nothing_may_run_where_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "open", failing(FORBIDDEN))
    check_arguments("parameters", [])


def test_a_folder_that_may_only_be_read_has_no_run_to_go_on_with(tmp_path: Path, monkeypatch: Any) -> None:
    from sac_lightning.runs.identity import identity_of
    from sac_lightning.runs.unfinished import is_unfinished

    identity = identity_of({"a": 1})
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(b"whole")
    (tmp_path / "run.json").write_text(json.dumps(identity))
    assert is_unfinished(tmp_path, identity)
    monkeypatch.setattr(os, "open", failing(FORBIDDEN))
    assert not is_unfinished(tmp_path, identity)


def test_the_command_as_one_types_it(tiny: list[str], tmp_path: Path, trainings: Any) -> None:
    (tmp_path / "outputs").write_text("mine")
    finished = trainings.run(tmp_path, tiny)
    assert finished.status == 1
    assert "error: " in finished.text
    assert "Traceback" not in finished.text, finished.text
