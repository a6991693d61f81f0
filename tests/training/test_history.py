"""The history of a training: a row per epoch, also across a resumed run."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sac_lightning.training.history import History


def live_through(history: History, epoch: int, batches: float, validation: float | None, **metrics: float) -> None:
    """Calls the hooks as Lightning does; times are in seconds, no validation where it is None."""
    values = {name.replace("__", "/"): torch.tensor(value) for name, value in metrics.items()}
    trainer: Any = SimpleNamespace(current_epoch=epoch, callback_metrics=values)
    module: Any = None
    history.on_train_epoch_start(trainer, module)
    time.sleep(batches)
    if validation is not None:
        history.on_validation_start(trainer, module)
        time.sleep(validation)
    history.on_train_epoch_end(trainer, module)


def test_a_row_holds_the_figures_of_its_epoch() -> None:
    history = History()
    live_through(history, 0, 0, 0, train__loss=0.5, val__dice=0.25, loss=9)
    live_through(history, 1, 0, 0, train__loss=0.125)
    for row in history.rows:
        row.pop("train_seconds")
    assert history.rows == [
        {"epoch": 0, "train/loss": 0.5, "val/dice": 0.25},
        {"epoch": 1, "train/loss": 0.125},
    ]
    assert all(type(value) in (int, float) for row in history.rows for value in row.values())


def test_validation_does_not_count_as_training_time() -> None:
    history = History()
    live_through(history, 0, batches=0.02, validation=0.3)
    live_through(history, 1, batches=0.06, validation=None)
    first, second = (row["train_seconds"] for row in history.rows)
    assert 0.02 <= first < 0.3
    assert second >= 0.06
    assert history.seconds_per_epoch == pytest.approx((first + second) / 2)


def test_without_an_epoch_there_is_no_time_per_epoch() -> None:
    assert History().seconds_per_epoch is None


def test_a_resumed_history_goes_on_where_it_was() -> None:
    history = History()
    live_through(history, 0, 0, 0, val__dice=0.5)
    resumed = History()
    resumed.load_state_dict(history.state_dict())
    live_through(resumed, 1, 0, 0, val__dice=0.75)
    assert [row["val/dice"] for row in resumed.rows] == [0.5, 0.75]
    assert len(history.rows) == 1, "the two must not share their rows"
