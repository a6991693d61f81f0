"""The prompt generator learns at a rate of its own, whatever the schedule."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from sac_lightning.core.configuration import compose_config, resolve_config
from sac_lightning.core.errors import UserError
from sac_lightning.core.prompts import Generator
from sac_lightning.model.build import build_model
from sac_lightning.training.fitting import make_task
from sac_lightning.training.task import SegmentationTask

STEPS = 40


@pytest.fixture(autouse=True)
def trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that a task asks of its trainer here."""
    monkeypatch.setattr(SegmentationTask, "trainer", SimpleNamespace(estimated_stepping_batches=STEPS))


def rates(tiny: list[str], *overrides: str, steps: int = STEPS) -> tuple[nn.Module, list[dict[int, float]]]:
    """A model, and step by step the learning rate of each of its parameters, by the parameter's id."""
    cfg = compose_config("train", [*tiny, *overrides, "output_dir=x"])
    config = resolve_config(cfg)
    model = build_model(config["model"])
    made: Any = make_task(cfg, model, config, None).configure_optimizers()
    optimizer = made["optimizer"] if isinstance(made, dict) else made
    seen = []
    for _ in range(steps):
        seen.append({id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]})
        optimizer.step()
        if isinstance(made, dict):
            made["lr_scheduler"]["scheduler"].step()
    return model, seen


@pytest.mark.parametrize("schedule", ["one_cycle", "constant"])
def test_the_generators_rate_is_a_multiple_of_the_others(schedule: str, tiny: list[str]) -> None:
    model, seen = rates(tiny, f"scheduler={schedule}", "prompts.generator.lr_factor=10")
    own = {id(p) for p in model.get_submodule("prompt_generator").parameters()}
    trained = {id(p) for p in model.parameters() if p.requires_grad}
    assert seen[0].keys() == trained
    for step in seen:
        (rate,) = {value for key, value in step.items() if key not in own}
        assert [step[key] for key in own] == pytest.approx([10 * rate] * len(own))
    assert len({step[next(iter(own))] for step in seen}) == (STEPS if schedule == "one_cycle" else 1)


def test_a_factor_of_1_is_one_rate_for_everything(tiny: list[str]) -> None:
    _, seen = rates(tiny, "scheduler=one_cycle", "prompts.generator.lr_factor=1", "optimizer.lr=1e-3")
    reference = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=1e-3)
    cycle = torch.optim.lr_scheduler.OneCycleLR(reference, max_lr=1e-3, total_steps=STEPS, pct_start=0.05)
    for step in seen:
        assert set(step.values()) == {reference.param_groups[0]["lr"]}
        reference.step()
        cycle.step()


@pytest.mark.parametrize("overrides", [["model=lora"], ["model=u_net", "model.init_features=4"]], ids=" ".join)
def test_models_without_a_generator_have_one_rate(overrides: list[str], tiny: list[str]) -> None:
    _, seen = rates(tiny, *overrides, "prompts.generator.lr_factor=10")
    assert all(len(set(step.values())) == 1 for step in seen)


def test_sam_itself_trains_its_generator_alone(tiny: list[str]) -> None:
    factor = ("prompts.generator.lr_factor=10", "optimizer.lr=1e-3", "scheduler=constant")
    model, seen = rates(tiny, "model=sam", "prompts.points=1", *factor)
    assert seen[0] == {id(p): pytest.approx(1e-2) for p in model.get_submodule("prompt_generator").parameters()}


def test_a_training_of_20_steps_has_a_schedule(tiny: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SegmentationTask, "trainer", SimpleNamespace(estimated_stepping_batches=20))
    _, seen = rates(tiny, "scheduler=one_cycle", steps=20)
    assert len(seen) == 20


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan")])
def test_a_factor_that_is_none_is_refused(factor: float) -> None:
    with pytest.raises(UserError, match="lr_factor"):
        Generator(lr_factor=factor)
