"""Going on from another run's checkpoint: exactly, or with changes that take effect, or not at all."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer
from tests.commands import run
from torch.optim.lr_scheduler import ReduceLROnPlateau

from sac_lightning.core.configuration import compose_config, resolve_config
from sac_lightning.core.errors import UserError
from sac_lightning.model.checkpoint_file import KEY
from sac_lightning.runs.contents import Contents
from sac_lightning.training.changes import find_changes, with_contents
from sac_lightning.training.resuming import replay

# A network of a few hundred parameters.
SMALL = [
    "model=u_net",
    "recipe=shared",
    "model.init_features=2",
    "scheduler=one_cycle",
    "+optimizer.betas=[0.8,0.9]",
]


@pytest.fixture(scope="module")
def small(tiny: list[str]) -> list[str]:
    """Overrides of a training of a second; it has two steps an epoch, and a schedule over all of them."""
    return [*(option for option in tiny if not option.startswith(("backbone", "prompts"))), *SMALL]


@pytest.fixture(scope="module")
def two_epochs(small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two epochs."""
    folder = tmp_path_factory.mktemp("two_epochs")
    run(small, folder)
    return folder


def last_of(folder: Path) -> Path:
    return folder / "checkpoints" / "last.ckpt"


def content_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(last_of(folder), weights_only=True)
    return content


def rates_of(folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The settings of the optimiser and the schedule in a run's last checkpoint."""
    content = content_of(folder)
    groups = [dict(group) for group in content["optimizer_states"][0]["param_groups"]]
    return groups, content["lr_schedulers"]


def test_more_epochs_under_a_schedule_end_where_a_run_of_that_length_ends(
    small: list[str], two_epochs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = run(small, tmp_path / "on", "trainer.max_epochs=4", f"resume={last_of(two_epochs)}")
    assert "after epoch 2 with trainer.max_epochs 2 -> 4.\n" in capsys.readouterr().out
    run(small, tmp_path / "whole", "trainer.max_epochs=4")
    assert rates_of(tmp_path / "on") == rates_of(tmp_path / "whole")
    (resumed,) = record["resumed"]
    assert resumed["from"] == str(last_of(two_epochs))
    assert (resumed["epochs"], resumed["changes"]) == (2, {"trainer.max_epochs": [2, 4]})
    assert [row["epoch"] for row in record["history"]] == [0, 1, 2, 3]
    assert record["epochs"] == 4
    assert record["checkpoint"] == "checkpoints/best.ckpt"


def test_other_batches_and_rates_take_effect(small: list[str], two_epochs: Path, tmp_path: Path) -> None:
    options = ["trainer.max_epochs=3", "data.batch_size=1", "optimizer.lr=0.5", "+optimizer.weight_decay=0.1"]
    options += ["optimizer.betas=[0.7,0.9]", "scheduler.pct_start=0.5", "seed=1"]
    record = run(small, tmp_path / "on", *options, f"resume={last_of(two_epochs)}")
    assert content_of(tmp_path / "on")["global_step"] == 2 * 2 + 4, "an epoch of four batches of one image"
    run(small, tmp_path / "whole", *options)
    assert rates_of(tmp_path / "on") == rates_of(tmp_path / "whole")
    assert record["resumed"][0]["changes"].keys() == {
        "trainer.max_epochs",
        "data.batch_size",
        "optimizer.lr",
        "optimizer.weight_decay",
        "optimizer.betas",
        "scheduler.max_lr",
        "scheduler.pct_start",
        "seed",
    }


def test_a_schedule_can_be_left_and_the_next_run_tells_of_both(
    small: list[str], two_epochs: Path, tmp_path: Path
) -> None:
    run(small, tmp_path / "a", "trainer.max_epochs=3", f"resume={last_of(two_epochs)}")
    options = ["trainer.max_epochs=4", "scheduler=constant", "optimizer.lr=0.5"]
    record = run(small, tmp_path / "b", *options, f"resume={last_of(tmp_path / 'a')}")
    groups, schedules = rates_of(tmp_path / "b")
    assert (groups[0]["lr"], schedules) == (0.5, [])
    assert "max_lr" not in groups[0]
    assert [resumed["epochs"] for resumed in record["resumed"]] == [2, 3]
    assert record["resumed"][1]["changes"]["scheduler._target_"] == [
        "torch.optim.lr_scheduler.OneCycleLR",
        None,
    ]


def edited(folder: Path, source: Path, edit: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a run's checkpoints whose last one was changed."""
    shutil.copytree(source / "checkpoints", folder / "checkpoints")
    content = content_of(folder)
    edit(content)
    torch.save(content, last_of(folder))
    return last_of(folder)


def state_of(content: dict[str, Any], callback: str) -> dict[str, Any]:
    (key,) = (key for key in content["callbacks"] if key.startswith(callback))
    state: dict[str, Any] = content["callbacks"][key]
    return state


def test_the_best_epoch_so_far_stays_the_one_to_beat(small: list[str], two_epochs: Path, tmp_path: Path) -> None:
    def praise(content: dict[str, Any]) -> None:
        best = state_of(content, "ModelCheckpoint")
        best["best_k_models"] = dict.fromkeys(best["best_k_models"], torch.tensor(2.0))
        best["kth_value"] = best["best_model_score"] = torch.tensor(2.0)

    last = edited(tmp_path / "a", two_epochs, praise)
    run(small, tmp_path / "b", "trainer.max_epochs=3", f"resume={last}")
    best = tmp_path / "b" / "checkpoints" / "best.ckpt"
    assert torch.load(best, weights_only=True)["epoch"] < 2
    assert state_of(content_of(tmp_path / "b"), "ModelCheckpoint")["best_model_path"] == str(best)


def test_a_best_checkpoint_of_a_later_epoch_is_not_taken(
    small: list[str], two_epochs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def tell_earlier(content: dict[str, Any]) -> None:
        content["epoch"] = -1

    last = edited(tmp_path / "a", two_epochs, tell_earlier)
    run(small, tmp_path / "b", "trainer.max_epochs=3", f"resume={last}")
    assert "The best epoch so far is not beside" in capsys.readouterr().out
    best = tmp_path / "b" / "checkpoints" / "best.ckpt"
    assert torch.load(best, weights_only=True)["epoch"] == 2


def stop(content: dict[str, Any]) -> None:
    state_of(content, "EarlyStopping").update(wait_count=10, stopped_epoch=1, stopping_reason=3)


def test_more_patience_takes_effect(small: list[str], two_epochs: Path, tmp_path: Path) -> None:
    last = edited(tmp_path / "a", two_epochs, stop)
    options = ["trainer.max_epochs=4", "callbacks.early_stopping.patience=11", f"resume={last}"]
    # So that no epoch counts as better.
    record = run(small, tmp_path / "b", *options, "+callbacks.early_stopping.min_delta=9")
    assert record["epochs"] == 3, "the eleventh epoch without a better one"


def test_a_checkpoint_of_a_former_version_goes_on(small: list[str], two_epochs: Path, tmp_path: Path) -> None:
    last = edited(tmp_path / "a", two_epochs, lambda content: content["callbacks"].pop("Resuming"))
    run(small, tmp_path / "b", "trainer.max_epochs=3", "optimizer.lr=0.5", f"resume={last}")
    run(small, tmp_path / "whole", "trainer.max_epochs=3", "optimizer.lr=0.5")
    assert rates_of(tmp_path / "b") == rates_of(tmp_path / "whole")


def pop(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda content: content.pop(key)


def put(value: Any, *keys: str) -> Callable[[dict[str, Any]], None]:
    def edit(content: dict[str, Any]) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return edit


NOTHING = put(None, "nothing")
TO_INIT = "init= instead of resume="


@pytest.mark.parametrize(
    ("overrides", "edit", "sentence"),
    [
        (["model.init_features=3"], NOTHING, f"with model.init_features 2, not 3: .*{TO_INIT}"),
        (["optimizer._target_=torch.optim.AdamW"], NOTHING, "with optimizer._target_ Adam, not AdamW"),
        (["+optimizer.amsgrad=true"], NOTHING, r"state of another optimiser \(no max_exp_avg_sq\)"),
        (["loss=dice_ce"], NOTHING, "with loss._target_ FocalDice, not DiceCE"),
        (["data.scene_seed=1"], NOTHING, "with data.scene_seed 0, not 1"),
        (["view.stretch=false"], NOTHING, "with view.stretch true, not false"),
        (["trainer.max_epochs=2"], NOTHING, "2 epochs behind it .* nothing to do: raise trainer.max_epochs"),
        (["+trainer.max_steps=4"], NOTHING, "4 steps behind it .* nothing to do: raise trainer.max_steps"),
        ([], stop, "early stopping ended after 10 validations .* raise callbacks.early_stopping.patience"),
        ([], pop("optimizer_states"), f"holds weights alone, .*{TO_INIT}"),
        ([], put("x", "callbacks"), "holds weights alone"),
        ([], put(None, "callbacks", "Resuming", "config"), None),
        ([], put("x", "callbacks", "Resuming", "config"), "damaged"),
        ([], put(3, "loops", "fit_loop", "epoch_progress", "current", "ready"), "was written within epoch 3"),
        ([], put({"name": "x", "sha256": "0"}, KEY, "base"), "on the base weights x, and this run has none"),
        ([], put({}, "state_dict"), "lacks"),
        ([], pop(KEY), "is not a checkpoint of sac_lightning"),
    ],
)
def test_what_cannot_go_on_is_refused_before_the_first_step(
    overrides: list[str],
    edit: Callable[[dict[str, Any]], None],
    sentence: str | None,
    small: list[str],
    two_epochs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Trainer, "fit", lambda *_, **__: pytest.fail("the training started"))
    last = edited(tmp_path / "a", two_epochs, edit)
    with pytest.raises(UserError if sentence else pytest.fail.Exception, match=sentence):
        run(small, tmp_path / "b", "trainer.max_epochs=3", f"resume={last}", *overrides)


def test_a_schedule_that_waits_for_a_plateau_is_told_what_was_reached() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = ReduceLROnPlateau(optimizer, mode="max", patience=1, factor=0.5)
    replay(scheduler, "val/dice", [{"val/dice": value} for value in (0.5, 0.4, 0.4, 0.3)] + [{"train/loss": 1.0}])
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert (scheduler.best, scheduler.num_bad_epochs) == (0.5, 1)


def test_another_model_is_told_by_its_name(tmp_path: Path) -> None:
    one, other = (
        resolve_config(compose_config("train", [f"model={name}", "output_dir=x"])) for name in ("sac", "mdm")
    )
    with pytest.raises(UserError, match=r"with model.name sac, not mdm, .*and [0-9]+ more differences: make them"):
        find_changes(one, other, tmp_path)


def test_other_images_under_the_same_name_are_another_training(tmp_path: Path) -> None:
    config = resolve_config(compose_config("train", ["data=folder", "data.root=x", "output_dir=x"]))
    one, other = (with_contents(config, {"data": {"train": digest * 64}, "files": {}}) for digest in "ab")
    elsewhere = {**one, "data": {**config["data"], "root": "y"}}
    assert find_changes(one, elsewhere, tmp_path) == []
    with pytest.raises(UserError, match=r"with images.train aaaaaaaaaaaa, not bbbbbbbbbbbb: make them the same"):
        find_changes(one, other, tmp_path)


def test_other_code_is_a_change_that_is_named(tmp_path: Path) -> None:
    config = resolve_config(compose_config("train", ["output_dir=x"]))
    nothing: Contents = {"data": {}, "files": {}}
    silent, one, other = (with_contents(config, nothing, code) for code in (None, "a" * 64, "b" * 64))
    assert find_changes(one, one, tmp_path) == []
    assert list(map(str, find_changes(one, other, tmp_path))) == ["code aaaaaaaaaaaa -> bbbbbbbbbbbb"]
    assert find_changes(silent, other, tmp_path) == [], "of a former version"


def test_a_checkpoint_says_by_which_code(two_epochs: Path) -> None:
    record = json.loads((two_epochs / "results.json").read_text())
    stored = state_of(content_of(two_epochs), "Resuming")["config"]
    assert record["code_version"].startswith(stored["code"])


def test_what_changes_no_number_may_be_anything(tmp_path: Path) -> None:
    one, other = (
        resolve_config(compose_config("train", [*overrides, "output_dir=x"]))
        for overrides in ([], ["data.workers=2", "logger=wandb", "folder=x", "row=sac"])
    )
    assert find_changes(one, other, tmp_path) == []
    assert find_changes({key: one[key] for key in one if key != "init"}, one, tmp_path) == [], "init is newer"


def test_the_best_checkpoint_is_not_where_a_run_stopped(
    small: list[str], two_epochs: Path, tmp_path: Path
) -> None:
    best = two_epochs / "checkpoints" / "best.ckpt"
    with pytest.raises(
        UserError, match=f"best epoch of its run, and not where it stopped: .*last.ckpt, .*{TO_INIT}"
    ):
        run(small, tmp_path, "trainer.max_epochs=3", f"resume={best}")
