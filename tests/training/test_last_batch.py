"""A last batch of one window."""

from pathlib import Path

import pytest
import torch
from tests.commands import run, untrained

from sac_lightning.core.errors import UserError
from sac_lightning.data.epoch_sampler import EpochSampler
from sac_lightning.training.last_batch import can_train_on_one

POOLED = ["model=smp", "model.arch=DeepLabV3Plus", "model.encoder=resnet18", "recipe=shared"]
SAID = "The last batch of an epoch would be one window, on which smp cannot train: it is left out."


def test_a_window_alone_is_left_out_where_the_network_cannot_train_on_it(
    tiny: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = run(tiny, tmp_path, *POOLED, "data.train=3", "data.batch_size=2", "+trainer.limit_train_batches=1.0")
    assert record["epochs"] == 2
    assert SAID in capsys.readouterr().out


def test_batches_of_one_window_alone_are_refused(tiny: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot train on one window: choose a data\.batch_size of at least 2"):
        run(tiny, tmp_path, *POOLED, "data.train=3", "data.batch_size=1")


def test_trying_leaves_the_model_and_the_random_numbers_as_they_were() -> None:
    task, other = (untrained(*model, "data=synthetic", "scale=smoke") for model in (POOLED, ["model=u_net"]))
    before = {name: tensor.clone() for name, tensor in task.model.state_dict().items()}
    state = torch.get_rng_state()
    assert not can_train_on_one(task)
    assert can_train_on_one(other)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], tensor) for name, tensor in task.model.state_dict().items())


@pytest.mark.parametrize(("length", "kept"), [(9, 8), (8, 8), (10, 10), (1, 0)])
def test_only_an_index_alone_is_left_out(length: int, kept: int) -> None:
    assert len(EpochSampler(length, shuffle=True, seed=0, batch_size=4)) == kept
