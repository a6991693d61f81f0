"""Which runs are the same: a hash over what changes the numbers, and over nothing else."""

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sac_lightning.core.configuration import compose_config, resolve_config
from sac_lightning.data.split import PARTS
from sac_lightning.runs import identity
from sac_lightning.runs.code_version import code_version
from sac_lightning.runs.contents import Contents
from sac_lightning.runs.identity import NeutralOption, config_hash, make_identity, row_hash
from sac_lightning.runs.record import RECORD_FILE, read_record, write_record
from sac_lightning.runs.sweep import is_recorded, run_folder


@cache
def hash_of(*overrides: str) -> str:
    """Of the configuration that train would get with these overrides."""
    given = {override.split("=")[0] for override in overrides}
    folder = [] if "output_dir" in given else ["output_dir=here"]
    return config_hash(resolve_config(compose_config("train", [*overrides, *folder])))


@pytest.mark.parametrize(
    "overrides",
    [
        ("output_dir=elsewhere",),
        ("logger=wandb",),
        ("logger=tensorboard",),
        ("data.workers=7",),
        ("data.in_memory=false",),
        ("features=somewhere",),
        ("activation_checkpointing=true",),
    ],
    ids=" ".join,
)
def test_the_hash_is_the_same_for_the_same_numbers(overrides: tuple[str, ...]) -> None:
    assert hash_of(*overrides) == hash_of()


def test_the_hash_does_not_depend_on_where_the_data_are() -> None:
    assert hash_of("data=glas", "data.root=here") == hash_of("data=glas", "data.root=there")


@pytest.mark.parametrize(
    "overrides",
    [
        ("seed=1",),
        ("model=lora",),
        ("model.rank=8",),
        ("data.batch_size=2",),
        ("data.scene_seed=1",),
        ("data.crops_per_image=2",),
        ("data.augment=false",),
        ("data.augment=strong",),
        ("prompts.generator.alone=0.5",),
        ("prompts.refine=true",),
        ("prompts.experts=1",),
        ("prompts.selection=R",),
        ("prompts.generator.lr_factor=2",),
        ("view.stretch=false",),
        ("optimizer.lr=1e-3",),
        ("scheduler=constant",),
        ("loss=dice_ce",),
        ("trainer.max_epochs=50",),
        ("trainer.precision=32-true",),
        ("callbacks.early_stopping.patience=5",),
        ("callbacks.best.monitor=val/iou",),
        ("backbone=vit_b",),
    ],
    ids=" ".join,
)
def test_the_hash_sees_what_changes_the_numbers(overrides: tuple[str, ...]) -> None:
    assert hash_of(*overrides) != hash_of()


def test_the_hash_does_not_depend_on_a_scales_choices_for_other_data_sets() -> None:
    assert hash_of("scale.epochs.glas=99") == hash_of()
    assert hash_of("scale.epochs.synthetic=99") != hash_of()
    assert hash_of("scale.name=smoke") != hash_of(), "a smoke test is nothing else"


@pytest.mark.parametrize("model", ["lora", "msa", "sam", "u_net"])
def test_settings_of_a_generator_that_is_not_there_do_not_count(model: str) -> None:
    own = (f"model={model}", "data=monuseg", "data.root=x")
    assert hash_of(*own, "prompts.generator.lr_factor=2", "prompts.generator.depth=3") == hash_of(*own)
    assert hash_of(*own, "prompts.map_size=128") != hash_of(*own)


def row_of(*overrides: str) -> str:
    return row_hash(resolve_config(compose_config("train", ["output_dir=x", *overrides])))


def test_runs_of_a_row_share_its_hash_whatever_their_seed_and_machine() -> None:
    other_place = ("trainer.accelerator=gpu", "trainer.devices=8", "trainer.strategy=ddp", "logger=wandb")
    assert row_of("seed=3") == row_of() == row_of(*other_place) == row_of("row=sac")
    for other in ("prompts.points=3", "trainer.max_epochs=50", "optimizer.lr=1e-3", "trainer.precision=32-true"):
        assert row_of(other) != row_of(), other


def test_the_hash_does_not_depend_on_the_order_of_keys() -> None:
    config = {"seed": 1, "data": {"root": "a", "name": "glas"}}
    assert config_hash(config) == config_hash({"data": {"name": "glas", "root": "b"}, "seed": 1})


def test_hashing_leaves_the_configuration_as_it_is() -> None:
    config = resolve_config(compose_config("train", ["output_dir=here"]))
    before = json.dumps(config)
    config_hash(config)
    assert json.dumps(config) == before


# Configurations of former times


RECORDS = sorted((Path(__file__).parents[2] / "experiments" / "records").glob("*.json"))


def test_every_committed_record_holds_the_hash_of_its_own_configuration() -> None:
    assert len(RECORDS) >= 173
    records = [read_record(path) for path in RECORDS]
    assert [r["config_hash"] for r in records] == [config_hash(r["config"]) for r in records]


def test_a_former_name_is_its_public_name() -> None:
    former = {
        "data": {"_target_": "sac_lightning.data.glas.GlaS", "name": "glas"},
        "losses": [{"_target_": "other"}],
    }
    public = {"data": {"_target_": "sac_lightning.data.GlaS", "name": "glas"}, "losses": [{"_target_": "other"}]}
    assert config_hash(former) == config_hash(public)


@pytest.fixture
def new_option(monkeypatch: pytest.MonkeyPatch) -> None:
    """An option ``prompts.jitter`` that came with a later version."""
    new = [NeutralOption(path, 0.0, since="9.0.0") for path in ("prompts.jitter", "model.prompts.jitter")]
    monkeypatch.setattr(identity, "NEUTRAL_OPTIONS", (*identity.NEUTRAL_OPTIONS, *new))


def with_option(config: dict[str, Any], value: float) -> dict[str, Any]:
    """Return a configuration as it is once its file has the new option."""
    grown = copy.deepcopy(config)
    for part in (grown, grown["model"]):
        if "prompts" in part:
            part["prompts"]["jitter"] = value
    return grown


@pytest.mark.usefixtures("new_option")
def test_a_new_option_at_its_neutral_value_orphans_no_record() -> None:
    configs = [read_record(path)["config"] for path in RECORDS]
    assert sum("prompts" in config["model"] for config in configs) > 100
    for config in configs:
        assert config_hash(with_option(config, 0.0)) == config_hash(config)
        assert row_hash(with_option(config, 0.0)) == row_hash(config)
        if "prompts" in config["model"]:
            assert config_hash(with_option(config, 0.5)) != config_hash(config)


def test_an_option_that_is_not_listed_is_another_run() -> None:
    config = read_record(RECORDS[-1])["config"]
    assert config_hash({**config, "other": 0.0}) != config_hash(config)


@pytest.mark.usefixtures("new_option")
def test_a_new_option_makes_no_job_of_a_finished_sweep_run_again(tmp_path: Path) -> None:
    for number, path in enumerate(RECORDS[::20]):
        record = read_record(path)
        folder = tmp_path / str(number)
        folder.mkdir()
        of_record, grown = record["config"], with_option(record["config"], 0.0)
        contents: Contents = {"data": dict.fromkeys(PARTS, "0" * 64), "files": {}}
        before, after = (make_identity(config, code_version(config), contents) for config in (of_record, grown))
        found = {"code_version": before["code_version"], "contents": contents}
        write_record(folder / RECORD_FILE, {**record, **found})
        assert run_folder("runs", grown, after) == run_folder("runs", of_record, before)
        assert is_recorded(folder, after)


@pytest.mark.parametrize("value", [1, True, "0", None, 0])
def test_a_neutral_value_is_of_its_own_type(value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "NEUTRAL_OPTIONS", (NeutralOption("a.b", 1.0),))
    assert config_hash({"a": {"b": 1.0}}) == config_hash({"a": {}})
    assert config_hash({"a": {"b": value}}) != config_hash({"a": {}})
