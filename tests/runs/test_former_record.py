"""A folder that is given twice: no record stands beside another run's files, and none is lost."""

from pathlib import Path

import pytest
from tests.commands import record_of, rerun, run

from sac_lightning.core.configuration import compose_config, resolve_config
from sac_lightning.core.errors import UserError
from sac_lightning.runs.former_record import move_former_record
from sac_lightning.runs.identity import identity_of
from sac_lightning.runs.unfinished import claim_run_folder, is_unfinished


def test_records_are_numbered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    move_former_record(tmp_path)
    for content in ("first", "second"):
        (tmp_path / "results.json").write_text(content)
        move_former_record(tmp_path)
    assert [(tmp_path / f"results.{n}.json").read_text() for n in (1, 2)] == ["first", "second"]
    assert not (tmp_path / "results.json").exists()
    assert f"{tmp_path} held a record of another run, which is kept as results.2.json." in capsys.readouterr().out


def test_a_run_that_is_killed_in_a_folder_with_a_record_goes_on_and_leaves_none(tmp_path: Path) -> None:
    identity = identity_of(resolve_config(compose_config("train", ["scale=smoke", "output_dir=x"])))
    last = tmp_path / "checkpoints" / "last.ckpt"
    last.parent.mkdir()
    last.write_text("of the former run")
    (tmp_path / "results.json").write_text("{}")
    with claim_run_folder(tmp_path, identity) as begun:
        assert begun is None
        assert not (tmp_path / "results.json").exists()
    assert not is_unfinished(tmp_path, identity), "the former run's checkpoint is none of this run's"
    last.unlink()
    last.write_text("of this run")
    assert is_unfinished(tmp_path, identity)
    with claim_run_folder(tmp_path, identity) as interrupted:
        assert interrupted == last


def test_an_evaluation_does_not_replace_the_record_of_a_training(tiny: list[str], tmp_path: Path) -> None:
    trained = run(tiny, tmp_path, "model=u_net", "trainer.max_epochs=1")
    with pytest.raises(UserError, match=r"holds the record of a training: choose another hydra\.run\.dir"):
        rerun(tmp_path, tmp_path / "checkpoints" / "best.ckpt")
    assert record_of(tmp_path) == trained
