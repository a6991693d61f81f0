"""The history of a training: a row per epoch, also across a resumed run."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sac_lightning.training.history import History


def live_through(history: History, epoch: int, is_validated: bool = True, **metrics: float) -> None:
    """Call the hooks as Lightning does."""
    values = {name.replace("__", "/"): torch.tensor(value) for name, value in metrics.items()}
    trainer: Any = SimpleNamespace(current_epoch=epoch, callback_metrics=values)
    module: Any = None
    history.on_train_epoch_start(trainer, module)
    if is_validated:
        history.on_validation_start(trainer, module)
    history.on_train_epoch_end(trainer, module)


def test_a_row_holds_the_figures_of_its_epoch() -> None:
    history = History()
    live_through(history, 0, train__loss=0.5, val__dice=0.25, loss=9)
    live_through(history, 1, train__loss=0.125)
    for row in history.rows:
        row.pop("train_seconds")
    assert history.rows == [
        {"epoch": 0, "train/loss": 0.5, "val/dice": 0.25},
        {"epoch": 1, "train/loss": 0.125},
    ]
    assert all(type(value) in (int, float) for row in history.rows for value in row.values())


def test_validation_does_not_count_as_training_time(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter((0, 2, 10, 16))  # The second epoch, which is not validated, ends with its last batch.
    monkeypatch.setattr(time, "perf_counter", lambda: next(times))
    history = History()
    live_through(history, 0, is_validated=True)
    live_through(history, 1, is_validated=False)
    assert [row["train_seconds"] for row in history.rows] == [2, 6]
    assert history.seconds_per_epoch == 4


def test_without_an_epoch_there_is_no_time_per_epoch() -> None:
    assert History().seconds_per_epoch is None


def test_a_resumed_history_goes_on_where_it_was() -> None:
    history = History()
    live_through(history, 0, val__dice=0.5)
    resumed = History()
    resumed.load_state_dict(history.state_dict())
    live_through(resumed, 1, val__dice=0.75)
    assert [row["val/dice"] for row in resumed.rows] == [0.5, 0.75]
    assert len(history.rows) == 1, "the two must not share their rows"
