"""Which runs are the same: a hash over what changes the numbers, and over nothing else."""

import json
from functools import cache

import pytest

from sac_lightning.core.configuration import compose_config, resolve_config
from sac_lightning.runs.identity import config_hash, row_hash


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
