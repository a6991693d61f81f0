"""Averaged weights: validated, kept in every checkpoint, and gone on with."""

from pathlib import Path

import pytest
import torch
from tests.commands import rerun, run

from sac_lightning.model.checkpoint import read_checkpoint
from sac_lightning.training.averaging import CURRENT

EMA = "+callbacks.ema={_target_:lightning.pytorch.callbacks.EMAWeightAveraging,decay:0.5}"
HIGH = ["scheduler=constant", "optimizer.lr=0.05", "callbacks.early_stopping=null"]


@pytest.mark.parametrize("weights_only", [False, True])
@pytest.mark.parametrize("model", ["sac", "u_net"])
def test_the_figures_of_the_best_checkpoint_are_those_that_chose_it(
    weights_only: bool, model: str, tiny: list[str], tmp_path: Path
) -> None:
    """Of weights alone, Lightning would keep the last step's, which the validation did not see."""
    overrides = [f"model={model}", EMA, *HIGH, f"+callbacks.best.save_weights_only={weights_only}"]
    if model == "u_net":
        overrides.append("recipe=shared")
    record = run(tiny, tmp_path, *overrides, "callbacks.best.mode=max", "callbacks.best.monitor=val/dice")
    best = read_checkpoint(tmp_path / "checkpoints" / "best.ckpt")
    assert (CURRENT in best) != weights_only
    if not weights_only:
        assert any(not torch.equal(best["state_dict"][name], best[CURRENT][name]) for name in best[CURRENT])
    again = rerun(tmp_path / "again", tmp_path / "checkpoints" / "best.ckpt")
    assert again["metrics"] == record["metrics"]


def test_a_training_with_averaged_weights_goes_on_as_if_nothing_had_been(tiny: list[str], tmp_path: Path) -> None:
    whole = run(tiny, tmp_path / "whole", EMA, *HIGH, "trainer.max_epochs=3")
    run(tiny, tmp_path / "first", EMA, *HIGH, "trainer.max_epochs=2")
    last = tmp_path / "first" / "checkpoints" / "last.ckpt"
    rest = run(tiny, tmp_path / "rest", EMA, *HIGH, "trainer.max_epochs=3", f"resume={last}")
    assert rest["metrics"] == whole["metrics"]
    states = [read_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt") for name in ("whole", "rest")]
    for part in ("state_dict", CURRENT):
        assert all(torch.equal(states[0][part][name], states[1][part][name]) for name in states[0][part])
