"""Settings that people change to switch things off, to try, or to choose their own; and those that cannot be."""

from pathlib import Path

import pytest
import torch
from lightning import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from tests.commands import rerun, run
from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    ExponentialLR,
    OneCycleLR,
    ReduceLROnPlateau,
    StepLR,
)

from sac_lightning.core.configuration import compose_config
from sac_lightning.core.errors import UserError
from sac_lightning.core.explanations import explain_error
from sac_lightning.training.schedulers import make_scheduler
from sac_lightning.training.trainer import make_callbacks

NET = ["model=u_net", "recipe=shared"]


@pytest.mark.parametrize(
    ("overrides", "checkpoint"),
    [
        (["callbacks=null"], "final"),
        (["callbacks.early_stopping=null"], "best"),
        (["callbacks.best=null"], "final"),
        (["+callbacks.best.save_top_k=0"], "final"),
        (["+trainer.check_val_every_n_epoch=5"], "final"),
        (["+trainer.fast_dev_run=true"], "final"),
        (["trainer.max_epochs=0"], "final"),
        (["+trainer.limit_val_batches=0", "callbacks=null"], "final"),
        (["logger=none"], "best"),
        (["logger.csv=null"], "best"),
        (["+trainer.overfit_batches=1"], "best"),
    ],
)
def test_a_training_leaves_a_checkpoint_and_its_record_whatever_is_switched_off(
    overrides: list[str], checkpoint: str, tiny: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = run(tiny, tmp_path, *NET, *overrides)
    assert record["checkpoint"] == f"checkpoints/{checkpoint}.ckpt"
    said = "No best epoch was chosen: the weights of the last step are tested."
    assert (said in capsys.readouterr().out) == (checkpoint == "final")
    again = rerun(tmp_path / "again", tmp_path / record["checkpoint"])
    assert again["metrics"] == pytest.approx(record["metrics"])


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["trainer.precision=16-true"], "trainer.precision=16-true is for a GPU: choose bf16-mixed or 32-true"),
        (["trainer.precision=bf16-true"], "trainer.precision=bf16-true is for a GPU"),
        (["trainer.precision=fp8"], "trainer cannot be made: Precision 'fp8' is invalid"),
        (["trainer=gpu"], "trainer.accelerator asks for a GPU and torch sees none: choose trainer=cpu"),
        (["trainer.strategy=nonsense"], "trainer cannot be made: You selected an invalid strategy name"),
        (["+trainer.nonsense=1"], "trainer cannot be made: Trainer.__init__() got an unexpected keyword"),
        (["+optimizer.nonsense=1"], "optimizer cannot be made: "),
        (["optimizer._target_=torch.optim.Nonsense"], "optimizer cannot be made: Error loading"),
        (
            ["~scheduler", "+scheduler={_target_:torch.optim.lr_scheduler.StepLR,_partial_:true}"],
            "scheduler cannot be made: StepLR.__init__() missing 1 required",
        ),
        (
            [
                "~scheduler",
                "+scheduler={_target_:torch.optim.lr_scheduler.CyclicLR,_partial_:true}",
            ],
            "scheduler cannot be made: ",
        ),
        (
            ["+callbacks.b={_target_:lightning.pytorch.callbacks.BatchSizeFinder}"],
            "BatchSizeFinder changes a",
        ),
        (["callbacks.best.dirpath=elsewhere"], "ModelCheckpoint would write into "),
        (["+trainer.max_time=5"], "trainer cannot be made: "),
        (["+logger.m={_target_:lightning.pytorch.loggers.MLFlowLogger}"], "a logger cannot be made: "),
        (["logger=wandb"], "logger=wandb has no login: run wandb login, or add logger.wandb.offline=true"),
    ],
)
def test_what_cannot_be_made_is_a_sentence_before_any_image_is_read(
    overrides: list[str], sentence: str, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("sac_lightning.training.run.prepare_training", lambda *_: pytest.fail("it began"))
    with pytest.raises(Exception, match=r".") as caught:
        run(tiny, tmp_path, *NET, *overrides)
    assert str(explain_error(caught.value)).startswith(sentence)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            ["callbacks.best.monitor=val/nonsense"],
            "ModelCheckpoint watches val/nonsense, which this training does ",
        ),
        (
            ["callbacks.early_stopping.monitor=dice"],
            "EarlyStopping watches dice, which this training does not have",
        ),
        (["+trainer.limit_val_batches=0"], "EarlyStopping watches val/dice, which this training does not have"),
        (
            ["+trainer.val_check_interval=99"],
            "the trainer refused its settings: `val_check_interval` (99) must be",
        ),
    ],
)
def test_a_figure_that_is_not_there_is_a_sentence_before_the_first_step(
    overrides: list[str], sentence: str, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SGD, "step", lambda *_: pytest.fail("it began"))
    with pytest.raises(Exception, match=r".") as caught:
        run(tiny, tmp_path, *NET, *overrides)
    assert str(explain_error(caught.value)).startswith(sentence)


@pytest.mark.parametrize(
    "monitor", ["val/iou", "val/generator_dice", "val_dice", "loss", "train/loss", "train/iou_loss"]
)
def test_every_figure_that_is_told_can_be_watched(monitor: str, tiny: list[str], tmp_path: Path) -> None:
    record = run(tiny, tmp_path, "model=sac", f"callbacks.best.monitor={monitor}", "callbacks.early_stopping=null")
    assert record["checkpoint"] == "checkpoints/best.ckpt"


def optimizer() -> Optimizer:
    """One with a learning rate of 1."""
    return SGD([nn.Parameter(torch.zeros(1))], lr=1.0)


def test_a_schedule_over_the_whole_training_is_told_its_length_and_others_count_epochs() -> None:
    cosine = make_scheduler(CosineAnnealingLR, optimizer(), 50, [1.0])
    assert (cosine["interval"], cosine["scheduler"].T_max) == ("step", 50)
    one_cycle = make_scheduler(
        lambda *a, total_steps, **k: OneCycleLR(*a, 1.0, total_steps), optimizer(), 50, [1.0]
    )
    assert (one_cycle["interval"], one_cycle["scheduler"].total_steps) == ("step", 50)
    steps = make_scheduler(lambda given: StepLR(given, step_size=10), optimizer(), 50, [1.0])
    assert (steps["interval"], steps["scheduler"].step_size) == ("epoch", 10)
    assert (
        make_scheduler(lambda given: ExponentialLR(given, gamma=0.9), optimizer(), 50, [1.0])["interval"]
        == "epoch"
    )
    plateau = make_scheduler(ReduceLROnPlateau, optimizer(), 50, [1.0])
    assert (plateau["interval"], plateau["monitor"], plateau["scheduler"].mode) == ("epoch", "val/dice", "max")


@pytest.mark.parametrize("scheduler", ["CosineAnnealingLR", "ReduceLROnPlateau"])
def test_any_scheduler_of_torch_trains(scheduler: str, tiny: list[str], tmp_path: Path) -> None:
    made = f"+scheduler={{_target_:torch.optim.lr_scheduler.{scheduler},_partial_:true}}"
    assert run(tiny, tmp_path, *NET, "~scheduler", made)["epochs"] == 2
    with pytest.raises(
        UserError, match=f"scheduler: {scheduler} takes no max_lr, pct_start: replace the one that"
    ):
        run(tiny, tmp_path, *NET, "scheduler=one_cycle", made.removeprefix("+"))


def test_lightning_adds_no_checkpoint_of_its_own(tiny: list[str], tmp_path: Path) -> None:
    run(tiny, tmp_path, *NET, "callbacks=null")
    assert [path.name for path in tmp_path.rglob("*.ckpt")] == ["final.ckpt"]


def test_an_average_that_the_best_epoch_would_replace_is_refused(tiny: list[str]) -> None:
    swa = "+callbacks.swa={_target_:lightning.pytorch.callbacks.StochasticWeightAveraging,swa_lrs:0.1}"
    with pytest.raises(UserError, match=r"add callbacks\.best=null"):
        make_callbacks(compose_config("train", [*tiny, swa, "output_dir=x"]))
    callbacks = make_callbacks(compose_config("train", [*tiny, swa, "callbacks.best=null", "output_dir=x"]))
    assert not any(isinstance(callback, ModelCheckpoint) for callback in callbacks)
    assert Trainer(callbacks=callbacks, logger=False, enable_checkpointing=False, enable_progress_bar=False)
