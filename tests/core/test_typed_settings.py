"""Wrong types and ranges of settings: one sentence each, before the work."""

from pathlib import Path
from typing import Any

import pytest
from tests.processes import Processes

from sac_lightning.core.configuration import compose_config, config_dir, resolve_config
from sac_lightning.core.errors import UserError
from sac_lightning.core.typed_settings import check_settings


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"seed": -1}, "seed is -1: choose a number of at least 0"),
        ({"seed": 2**32}, "seed is 4294967296: choose a number of at most 4294967295"),
        ({"seed": 1.5}, "seed is 1.5: choose a whole number"),
        ({"seed": True}, "seed is True: choose a whole number"),
        ({"seed": "abc"}, "seed is abc: choose a whole number"),
        ({"data": {"batch_size": 0}}, "data.batch_size is 0: choose a number of at least 1"),
        ({"data": {"batch_size": "two"}}, "data.batch_size is two: choose a whole number"),
        ({"data": {"workers": -1}}, "data.workers is -1: choose a number of at least 0"),
        ({"data": {"crops_per_image": 0}}, "data.crops_per_image is 0: choose a number of at least 1"),
        ({"data": {"augment": "yes"}}, "data.augment is yes: choose true or false, or choose one of 'strong'"),
        ({"data": {"val_ratio": 1.5}}, "data.val_ratio is 1.5: choose a number below 1"),
        (
            {"data": {"val_ratio": 0.5, "test_ratio": 0.5}},
            "data.val_ratio and data.test_ratio are 0.5 and 0.5: leave images for the training",
        ),
        ({"backbone": {"depth": 0}}, "backbone.depth is 0: choose a number of at least 1"),
        ({"optimizer": {"lr": "fast"}}, "optimizer.lr is fast: choose a number"),
        ({"optimizer": {"lr": -1}}, "optimizer.lr is -1: choose a number of at least 0"),
        ({"trainer": 3}, "trainer is 3: choose one of its group's settings"),
        ({"trainer": {"max_epochs": "two"}}, "trainer.max_epochs is two: choose a whole number"),
        ({"trainer": {"devices": 0}}, "trainer.devices is 0: choose a number of devices of at least 1, or auto"),
        ({"trainer": {"limit_train_batches": 1.5}}, "trainer.limit_train_batches is 1.5: choose a share"),
        ({"trainer": {"overfit_batches": -1}}, "trainer.overfit_batches is -1: choose a number of batches"),
        ({"trainer": {"gradient_clip_val": -1}}, "trainer.gradient_clip_val is -1: choose a number of at least 0"),
        ({"trainer": {"accumulate_grad_batches": 0}}, "trainer.accumulate_grad_batches is 0: choose a number of"),
        ({"trainer": {"deterministic": "no"}}, "trainer.deterministic is no: choose true or false, or choose one"),
        ({"callbacks": {"best": 3}}, "callbacks.best is 3: choose"),
        ({"callbacks": {"lr": {"x": 1}}}, "callbacks.lr lacks _target_: name what is to be made"),
        ({"callbacks": {"a": {"_target_": "x", "mode": "most"}}}, "callbacks.a.mode is most: choose one of 'min'"),
        (
            {"callbacks": {"a": {"_target_": "x", "patience": -1}}},
            "callbacks.a.patience is -1: choose a number of",
        ),
        (
            {"callbacks": {"a": {"_target_": "x", "train_time_interval": 5}}},
            "callbacks.a.train_time_interval is 5: choose every_n_epochs or every_n_train_steps instead",
        ),
        ({"logger": {"x": {"y": 1}}}, "logger.x lacks _target_"),
    ],
)
def test_a_wrong_value_is_one_sentence(config: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        check_settings(config)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "config",
    [
        {"seed": None, "data": None, "callbacks": None, "logger": None},
        {"callbacks": {"best": None}, "logger": {"csv": None}},
        {"trainer": {"devices": [0, 1], "max_epochs": -1, "limit_val_batches": 0, "fast_dev_run": True}},
        {"trainer": {"devices": "0,1", "gradient_clip_val": 1, "fast_dev_run": 2, "val_check_interval": 0.5}},
        {"unknown": object(), "data": {"of_ones_own": object()}},
    ],
)
def test_what_is_right_or_not_ours_to_judge_passes(config: dict[str, Any]) -> None:
    check_settings(config)


@pytest.mark.parametrize("name", sorted(path.stem for path in config_dir().glob("*.yaml") if path.stem != "rows"))
def test_the_defaults_of_every_command_pass(name: str) -> None:
    check_settings(resolve_config(compose_config(name)))


@pytest.mark.parametrize(
    ("command", "argument", "sentence"),
    [
        ("train", "seed=-1", "error: seed is -1: choose a number of at least 0\n"),
        ("evaluate", "trainer.devices=0", "error: trainer.devices is 0: choose a number of devices of at least 1"),
        (
            "train",
            "logger=null",
            "error: logger=null chooses nothing: choose among csv, none, tensorboard, wandb\n",
        ),
        ("train", "model=null", "error: model=null chooses nothing: choose among "),
    ],
)
def test_every_command_says_so_before_it_begins(
    command: str, argument: str, sentence: str, light_processes: Processes, tmp_path: Path
) -> None:
    arguments = [argument] if command == "train" else [argument, "checkpoint=x"]
    finished = light_processes.run(f"sac_lightning.{command}", *arguments, folder=tmp_path)
    assert finished.returncode == 1
    assert finished.stderr.startswith(sentence)
    assert finished.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
