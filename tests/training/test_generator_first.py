"""The prompt generator learns by itself in the first part of a training, if it is told to."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tests.commands import run, untrained

from sac_lightning.core.errors import UserError
from sac_lightning.core.prompts import Generator
from sac_lightning.data.sample import TrainingBatch
from sac_lightning.model.segment_any_cell import SAC
from sac_lightning.training.task import SegmentationTask

STEPS = 8


def batch(side: int = 64) -> TrainingBatch:
    instances = torch.zeros(2, 1, side, side, dtype=torch.int32)
    instances[:, :, 8:24, 8:24] = 1
    return {
        "images": torch.rand(2, 3, side, side) * 255,
        "masks": (instances > 0).float(),
        "instances": instances,
        "expert_coords": torch.zeros(2, 0, 2),
        "expert_labels": torch.zeros(2, 0, dtype=torch.long),
        "seeds": torch.arange(2),
        "names": ["a", "b"],
    }


def parts_of(task: SegmentationTask, step: int, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of the losses of a step; their gradients are left in the model."""
    trainer = SimpleNamespace(global_step=step, estimated_stepping_batches=STEPS)
    monkeypatch.setattr(SegmentationTask, "trainer", trainer)
    task.model.zero_grad()
    losses = task.losses(batch())
    torch.stack(list(losses.values())).sum().backward()
    return set(losses)


def has_gradient(task: SegmentationTask) -> set[str]:
    """The parts of the model that learn in a step."""
    return {name.split(".")[0] for name, p in task.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("separating", [True, False])
def test_the_generator_learns_alone_for_its_share_of_the_steps_and_all_parts_after_it(
    separating: bool, tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("prompts.generator.alone=0.5", f"prompts.generator.separating={separating}")
    task = untrained(*tiny, *options)
    for step in (0, STEPS // 2 - 1):
        assert parts_of(task, step, monkeypatch) == {"generator"}
        assert has_gradient(task) == {"prompt_generator"}
    for step in (STEPS // 2, STEPS - 1):
        assert parts_of(task, step, monkeypatch) == {"mask", "generator", "iou"}
        assert has_gradient(task) > {"prompt_generator", "mask_decoder"}


def test_alone_the_generator_has_the_loss_that_it_has_beside_the_others(
    tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = untrained(*tiny, "prompts.generator.alone=0.5", "prompts.generator.norm=group")
    monkeypatch.setattr(
        SegmentationTask, "trainer", SimpleNamespace(global_step=0, estimated_stepping_batches=STEPS)
    )
    same = batch()
    alone = task.losses(same)["generator"]
    task.trainer.global_step = STEPS  # type: ignore[misc]
    torch.testing.assert_close(task.losses(same)["generator"], alone)


def test_among_several_processes_every_parameter_has_a_gradient(
    tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They wait for each other's."""
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    task = untrained(*tiny, "prompts.generator.alone=0.5")
    parts_of(task, 0, monkeypatch)
    for name, parameter in task.model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
        if parameter.grad is not None and not name.startswith("prompt_generator."):
            assert not parameter.grad.any(), name


def test_by_default_all_parts_learn_from_the_first_step(tiny: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    task = untrained(*tiny)
    assert parts_of(task, 0, monkeypatch) == {"mask", "generator", "iou"}
    assert isinstance(task.model, SAC)


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_that_leaves_nothing_to_the_others_is_refused(share: float) -> None:
    with pytest.raises(UserError, match=r"prompts\.generator\.alone is"):
        Generator(alone=share)


def test_a_training_with_a_generator_that_is_alone_at_first_has_a_record_and_all_its_losses(
    tiny: list[str], tmp_path: Path
) -> None:
    record = run(tiny, tmp_path / "out", "prompts.generator.alone=0.5", "trainer.max_epochs=2", "logger=csv")
    assert record["config"]["prompts"]["generator"]["alone"] == 0.5
    first, last = record["history"]
    assert "train/generator_loss" in first
    assert "train/mask_loss" not in first
    assert {"train/generator_loss", "train/mask_loss"} <= last.keys()
    json.dumps(record)
