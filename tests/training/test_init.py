"""``init=``: a training that starts from another run's weights, and says so."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule, Trainer
from tests.commands import record_of, rerun, run

from sac_lightning.baselines.network import Network
from sac_lightning.model.checkpoint import read_checkpoint
from sac_lightning.training import fitting
from sac_lightning.training.history import History


@pytest.fixture(scope="module")
def former(tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The best checkpoint of a run of SAC."""
    folder = tmp_path_factory.mktemp("former")
    run(tiny, folder, "trainer.max_epochs=1")
    return folder / "checkpoints" / "best.ckpt"


def test_a_run_takes_over_what_fits_and_records_it(
    former: Path, tiny: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A step too small to show: what is tested is what was taken over.
    options = [
        "data.scene_seed=5",
        "prompts.generator.init_features=6",
        "optimizer.lr=1e-12",
        "trainer.max_epochs=1",
    ]
    record = run(tiny, tmp_path / "on", *options, f"init={former}")
    assert f"Starts from {former}, tensors taken over: " in capsys.readouterr().out
    init = record["init"]
    assert (init["from"], init["model"], init["dataset"]) == (str(former), "sac", "synthetic")
    assert init["taken"]["prompt generator"] == [0, 66]
    assert init["taken"]["mask decoder"] == [120, 120]
    assert record["epochs"] == 1
    best = tmp_path / "on" / "checkpoints" / "best.ckpt"
    theirs, ours = (read_checkpoint(path)["state_dict"] for path in (former, best))
    name = "model.mask_decoder.iou_token.weight"
    assert torch.allclose(ours[name], theirs[name], atol=1e-6)
    assert rerun(tmp_path / "again", best)["metrics"] == record["metrics"]


def test_an_interrupted_run_goes_on_from_its_own_checkpoint(
    former: Path, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(tiny, tmp_path / "whole", f"init={former}")
    on_train_batch_start = History.on_train_batch_start

    def interrupted(self: History, trainer: Trainer, task: LightningModule, batch: Any, index: int) -> None:
        if trainer.current_epoch == 1:
            raise ValueError("the power went")

    monkeypatch.setattr(History, "on_train_batch_start", interrupted)
    with pytest.raises(ValueError, match="the power went"):
        run(tiny, tmp_path / "part", f"init={former}")
    monkeypatch.setattr(History, "on_train_batch_start", on_train_batch_start)
    monkeypatch.setattr(fitting, "plan_warm_start", lambda *_: pytest.fail("it began again"))
    part = run(tiny, tmp_path / "part", f"init={former}")
    assert part["metrics"] == whole["metrics"]
    assert part["init"] == whole["init"]
    assert "resumed" not in part


def test_a_run_that_is_killed_after_it_was_resumed_goes_on_from_its_own_checkpoint(
    tiny: list[str], tmp_path: Path
) -> None:
    run(tiny, tmp_path / "a", "trainer.max_epochs=1")
    resume = f"resume={tmp_path / 'a' / 'checkpoints' / 'last.ckpt'}"
    whole = run(tiny, tmp_path / "b", resume)
    (tmp_path / "b" / "results.json").unlink()  # As if it was killed in the test.
    run(tiny, tmp_path / "b", resume)
    again = record_of(tmp_path / "b")
    assert again["metrics"] == whole["metrics"]
    assert again["resumed"] == whole["resumed"]
    assert len(again["history"]) == 2


def test_imagenet_weights_are_only_loaded_for_what_begins_anew(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = ["model=u_net", "recipe=shared", "model.init_features=2", "trainer.max_epochs=1"]
    options = [*(option for option in tiny if not option.startswith(("backbone", "prompts"))), *small]
    run(options, tmp_path / "a", "imagenet=false")
    init = f"init={tmp_path / 'a' / 'checkpoints' / 'best.ckpt'}"
    monkeypatch.setattr(Network, "load_imagenet", lambda _: pytest.fail("it was asked for"))
    assert run(options, tmp_path / "b", init)["imagenet_weights"] is None
    content = read_checkpoint(tmp_path / "a" / "checkpoints" / "best.ckpt")
    content["state_dict"].popitem()
    torch.save(content, tmp_path / "less.ckpt")
    monkeypatch.setattr(Network, "load_imagenet", lambda _: "somebody's")
    assert run(options, tmp_path / "c", f"init={tmp_path / 'less.ckpt'}")["imagenet_weights"] == "somebody's"
