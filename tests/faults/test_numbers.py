"""A loss that is no number ends the run, its last good checkpoint stays; a collapsed prediction is flagged."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.commands import run
from torch import Tensor

from sac_lightning.core.errors import UserError
from sac_lightning.model.checkpoint import read_checkpoint
from sac_lightning.training.metrics.scores import COLLAPSED, find_collapse
from sac_lightning.training.task import SegmentationTask

MIXED = "lightning.pytorch.plugins.precision.MixedPrecision"


def spoilt(epoch: int, value: float) -> Callable[[SegmentationTask, Any], Mapping[str, Tensor]]:
    """Losses that are some other number from an epoch on."""
    losses = SegmentationTask.losses

    def spoiling(self: SegmentationTask, batch: Any) -> Mapping[str, Tensor]:
        factor = value if self.current_epoch == epoch else 1.0
        return {name: loss * factor for name, loss in losses(self, batch).items()}

    return spoiling


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_names_the_images_and_keeps_the_last_good_checkpoint(
    value: float, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(SegmentationTask, "losses", spoilt(1, value))
        with pytest.raises(UserError) as stopped:
            run(tiny, tmp_path)
    sentence = str(stopped.value)
    last = tmp_path / "checkpoints" / "last.ckpt"
    assert "\n" not in sentence
    assert "in epoch 2" in sentence
    assert "train_" in sentence, "the images of the batch"
    assert f"the last good checkpoint is {last}" in sentence
    assert not (tmp_path / "results.json").exists()
    content = read_checkpoint(last)
    assert content["epoch"] == 0
    assert all(torch.isfinite(tensor).all() for tensor in content["state_dict"].values())
    assert run(tiny, tmp_path)["epochs"] == 2, "without the fault the same run goes on"


def test_weights_that_are_no_numbers_are_not_saved(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step after the last loss of an epoch may spoil them, and no loss tells."""
    on_validation_epoch_start = SegmentationTask.on_validation_epoch_start

    def spoiling(self: SegmentationTask) -> None:
        on_validation_epoch_start(self)
        if self.current_epoch == 1:
            next(self.model.parameters()).data.view(-1)[0] = float("inf")

    monkeypatch.setattr(SegmentationTask, "on_validation_epoch_start", spoiling)
    with pytest.raises(UserError, match=r"after epoch 2 .* are no finite numbers.*last good checkpoint is .*last"):
        run(tiny, tmp_path)
    for path in tmp_path.rglob("*.ckpt"):
        content = read_checkpoint(path)
        assert content["epoch"] == 0
        assert all(torch.isfinite(tensor).all() for tensor in content["state_dict"].values())


# The schedule goes on by batches, whether they made a step or not.
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step:UserWarning")
def test_gradients_beyond_what_16_bits_hold_cost_their_steps_and_nothing_else(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half precision as on a GPU, with a scale of the loss that makes the first gradients infinite."""
    steps = []
    step = torch.optim.Adam.step

    def counted(self: torch.optim.Adam, *arguments: Any, **options: Any) -> Any:
        gradients = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        if gradients:  # The rehearsal before the training has none.
            steps.append(all(gradient.isfinite().all() for gradient in gradients))
        return step(self, *arguments, **options)

    monkeypatch.setattr(torch.optim.Adam, "step", counted)
    scaler = "{_target_:torch.amp.GradScaler,device:cpu,init_scale:1.0e+34,backoff_factor:1.0e-32}"
    plugin = f"{{_target_:{MIXED},precision:16-mixed,device:cpu,scaler:{scaler}}}"
    record = run(tiny, tmp_path, "trainer.precision=null", f"+trainer.plugins=[{plugin}]")
    assert record["epochs"] == 2
    assert steps == [True, True, True], "of four batches the first had gradients that were no numbers"
    content = read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")
    assert all(torch.isfinite(tensor).all() for tensor in content["state_dict"].values())


def test_the_command_ends_with_that_sentence(tiny: list[str], tmp_path: Path, trainings: Any) -> None:
    finished = trainings.run(tmp_path, [*tiny, "optimizer.lr=1e30"])
    assert finished.status == 1
    assert "error: the loss is no finite number (" in finished.text
    assert "Traceback" not in finished.text


@pytest.mark.parametrize(("probability", "told"), [(0.0, "background"), (1.0, "nucleus")])
def test_a_prediction_that_has_collapsed_is_flagged_in_log_and_record(
    probability: float,
    told: str,
    tiny: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    predicted = SegmentationTask.predict_image

    def constant(self: SegmentationTask, *arguments: Any, **options: Any) -> Any:
        prediction = predicted(self, *arguments, **options)
        return replace(prediction, probability=torch.full_like(prediction.probability, probability))

    monkeypatch.setattr(SegmentationTask, "predict_image", constant)
    with caplog.at_level(logging.WARNING):
        record = run(tiny, tmp_path, "trainer.max_epochs=1")
    assert record["collapsed"] == told
    assert f"the prediction has collapsed: nearly every test pixel is {told}" in caplog.text


def image(hits: int, false: int, missed: int, pixels: int = 100_000) -> dict[str, int]:
    names = ("true_positives", "false_positives", "false_negatives", "pixels")
    return dict(zip(names, (hits, false, missed, pixels), strict=True))


@pytest.mark.parametrize(
    ("images", "told"),
    [
        ([image(0, 0, 20_000)], "background"),
        ([image(0, 99, 20_000)], "background"),
        ([image(0, 100, 20_000)], None),  # A thousandth is something.
        ([image(20_000, 80_000, 0)], "nucleus"),
        ([image(20_000, 79_000, 0)], None),
        ([image(0, 0, 0)], None),  # And so is the truth.
        ([image(100_000, 0, 0)], None),
        ([image(0, 0, 20_000), image(20_000, 0, 0)], None),  # All images count together.
        ([], None),
    ],
)
def test_collapsed_is_what_says_nothing_though_the_truth_does(images: list[dict[str, int]], told: str) -> None:
    assert COLLAPSED == 0.001
    assert find_collapse(images) == told
