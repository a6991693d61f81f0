"""Training from end to end on a tiny SAM and synthetic nuclei: fit, test, reload, evaluate, resume."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer
from tests.commands import record_of, rerun, run
from tests.processes import Processes

from sac_lightning.core.configuration import compose_config
from sac_lightning.core.errors import UserError
from sac_lightning.model.checkpoint import load_checkpoint, read_checkpoint
from sac_lightning.training.run import train

METHODS = ("sam", "sam_ft", "msa", "lora", "sac")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_fits_tests_and_gives_the_same_figures_from_its_checkpoint(
    method: str, tiny: list[str], tmp_path: Path
) -> None:
    record = run(tiny, tmp_path / "train", f"model={method}", "prompts.points=1", "prompts.experts=1")
    assert record["method"] == method
    assert {"dice", "iou", "f1", "aji", "pq", "dq", "sq", "ap50", "generator_dice"} <= record["metrics"].keys()
    again = rerun(tmp_path / "again", tmp_path / "train" / "checkpoints" / "best.ckpt")
    assert again["metrics"] == record["metrics"]
    assert again["parameters"] == record["parameters"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("points", "experts"), [(0, 0), (3, 3)])
def test_every_method_takes_any_number_of_points(
    method: str, points: int, experts: int, tiny: list[str], tmp_path: Path
) -> None:
    record = run(tiny, tmp_path, f"model={method}", f"prompts.points={points}", f"prompts.experts={experts}")
    assert (record["points"], record["experts"]) == (points, experts)
    assert ("generator_dice" in record["metrics"]) == (points > 0)
    assert (tmp_path / "checkpoints" / "best.ckpt").is_file()


def test_the_record_tells_the_whole_story(tiny: list[str], tmp_path: Path) -> None:
    record = run(tiny, tmp_path, "seed=3")
    expected = {
        "method": "sac",
        "dataset": "synthetic",
        "backbone": "vit_t",
        "points": 1,
        "experts": 0,
        "selection": "O",
        "seed": 3,
        "epochs": 2,
        "base_weights": None,
    }
    assert {key: record[key] for key in expected} == expected
    assert [row["epoch"] for row in record["history"]] == [0, 1]
    assert {"train/loss", "train/mask_loss", "train/generator_loss", "val/dice", "val/iou"} <= record["history"][
        0
    ].keys()
    assert record["seconds_per_epoch"] > 0
    assert record["peak_memory_bytes"] > 10e6
    assert len(record["split_hash"]) == len(record["config_hash"]) == 64
    assert record["test_images"] == len(record["images"]) == 2
    mean = sum(image["dice"] for image in record["images"]) / 2
    assert record["metrics"]["dice"] == pytest.approx(mean, abs=1e-6)
    assert set(record["prompt_quality"]) == {
        "positives_on_nucleus",
        "negatives_off_nucleus",
        "nuclei_hit",
        "points_per_nucleus",
        *("precision", "recall", "exactly_once", "f1", "regions_per_nucleus"),
    }
    assert not [name for name in record["metrics"] if name.startswith("prompt")]
    assert (record["row"], record["experiment"]) == (None, None)
    assert len(record["code_version"]) == 64
    assert record["date"].startswith("20")
    assert record["date"].endswith("+00:00")
    assert record["parameters"]["total"] == record["parameters"]["trainable"] + record["parameters"]["frozen"]
    assert record["config"]["model"]["name"] == "sac"
    assert {"torch", "lightning", "segment-anything"} <= record["versions"].keys()
    for artefact in (
        "examples.png",
        "csv/version_0/metrics.csv",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        *(f"test/{image['name']}.{kind}" for image in record["images"] for kind in ("png", "json")),
    ):
        assert (tmp_path / artefact).stat().st_size > 0, artefact


def test_counting_writes_table_6_without_data_or_weights(tmp_path: Path) -> None:
    for method, trainable in (("sam_ft", 12_746_129), ("msa", 56_595_760), ("sac", 56_493_360)):
        folder = tmp_path / method
        counted = ["+experiment=table6_parameters", f"model={method}"]
        record = run(counted, folder, "data=glas", "data.root=nowhere")
        assert record["parameters"]["trainable"] == trainable
        assert record["metrics"] == {}
        assert [path.name for path in folder.iterdir()] == ["results.json"]


def test_what_table_6_does_not_have_is_not_counted(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="count_only counts sam, sam_ft, msa, lora, sac: not otsu"):
        train(compose_config("train", ["model=otsu", "count_only=true", f"output_dir={tmp_path}"]))


def test_a_run_in_a_folder_behind_a_link_is_recorded(tiny: list[str], tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    record = run(tiny, tmp_path / "link" / "run", "trainer.max_epochs=1")
    assert record["checkpoint"] == "checkpoints/best.ckpt"


def test_the_same_seed_gives_the_same_figures_and_another_seed_others(tiny: list[str], tmp_path: Path) -> None:
    first, same, other = (
        run(tiny, tmp_path / str(i), f"seed={seed}", *workers)
        for i, (seed, workers) in enumerate([(1, []), (1, ["data.workers=2"]), (2, [])])
    )
    assert same["metrics"] == first["metrics"], "the number of workers must not change the figures"
    curves = [[row["train/loss"] for row in record["history"]] for record in (first, same, other)]
    assert curves[0] == curves[1]
    assert curves[0] != curves[2]


@pytest.mark.parametrize("overrides", [[], ["model.dropout=0.3"]], ids=["plain", "dropout"])
def test_a_resumed_run_ends_like_an_undisturbed_one(
    overrides: list[str], tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ["trainer.max_epochs=3", *overrides]
    whole = run(tiny, tmp_path / "whole", *settings)
    stop_after(2, monkeypatch)
    run(tiny, tmp_path / "part", *settings)
    monkeypatch.undo()
    last = tmp_path / "part" / "checkpoints" / "last.ckpt"
    resumed = run(tiny, tmp_path / "part", *settings, f"resume={last}")
    assert resumed["metrics"] == whole["metrics"]
    assert [row["val/dice"] for row in resumed["history"]] == [row["val/dice"] for row in whole["history"]]


def stop_after(epochs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends a training early, as an interruption between two epochs would."""
    from sac_lightning.training.history import History

    on_train_epoch_end = History.on_train_epoch_end

    def stopping(self: History, trainer: Trainer, pl_module: Any) -> None:
        on_train_epoch_end(self, trainer, pl_module)
        trainer.should_stop = trainer.current_epoch + 1 >= epochs

    monkeypatch.setattr(History, "on_train_epoch_end", stopping)


def test_training_lowers_the_loss_and_leaves_what_is_frozen_as_it_was(
    tiny: list[str], tiny_weights: Path, tmp_path: Path
) -> None:
    record = run(
        tiny,
        tmp_path,
        f"backbone.weights={tiny_weights}",
        "trainer.max_epochs=15",
        "data.train=8",
        "optimizer.lr=2e-3",
    )
    losses = [row["train/loss"] for row in record["history"]]
    assert losses[-1] < 0.9 * losses[0]
    assert record["base_weights"]["name"] == str(tiny_weights)
    state = read_checkpoint(tmp_path / "checkpoints" / "best.ckpt")["state_dict"]
    assert not [name for name in state if ".base." in name or "patch_embed" in name or "prompt_encoder" in name]
    base = torch.load(tiny_weights, weights_only=True)
    model = load_checkpoint(tmp_path / "checkpoints" / "best.ckpt").model.state_dict()
    frozen = [name for name in model if name.startswith(("image_encoder.", "prompt_encoder."))]
    frozen = [name for name in frozen if not name.endswith(("q_a", "q_b", "v_a", "v_b"))]
    assert len(frozen) > 20
    for name in frozen:
        assert torch.equal(model[name], base[name.replace(".base.", ".")]), f"{name} has changed"


def test_evaluation_takes_other_prompts_and_other_data(tiny: list[str], tmp_path: Path) -> None:
    record = run(tiny, tmp_path / "train")
    checkpoint = tmp_path / "train" / "checkpoints" / "best.ckpt"
    experts = rerun(tmp_path / "a", checkpoint, "prompts.experts=3", "prompts.selection=R", "prompts.points=5")
    assert (experts["experts"], experts["selection"], experts["points"]) == (3, "R", 5)
    other = ["data=synthetic", "data.side=80", "data.train=1", "data.val=1", "data.test=3"]
    elsewhere = rerun(tmp_path / "b", checkpoint, *other)
    assert elsewhere["test_images"] == 3
    assert elsewhere["split_hash"] != record["split_hash"]


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["prompts.map_size=30"], "prompts.map_size is 30: choose a multiple of 4"),
        (["prompts.selection=X"], "prompts.selection is X"),
        (["prompts.points=-1"], "prompts.points is -1"),
        (["view.image_size=70"], "view.image_size is 70: choose a multiple of the patch"),
        (["callbacks.best.monitor=test/dice"], "would monitor test/dice"),
        (["callbacks.early_stopping.monitor=test/loss"], "would monitor test/loss"),
        (["resume=nothing.ckpt"], "nothing.ckpt does not exist"),
        (["backbone.weights=no_such_file.pth"], "no_such_file.pth"),
        (["model.rank=0"], "model.rank is 0"),
        (["model.blocks=[7]"], "block 7"),
    ],
)
def test_bad_input_is_refused_in_one_sentence_before_training(
    overrides: list[str], sentence: str, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "fit", lambda *_, **__: pytest.fail("the training started"))
    with pytest.raises(Exception, match=sentence) as caught:
        run(tiny, tmp_path, *overrides)
    causes = [caught.value, caught.value.__cause__]
    assert any(isinstance(cause, UserError) for cause in causes)
    assert not (tmp_path / "results.json").exists()


def test_a_run_cannot_go_on_from_a_checkpoint_of_another_backbone(tiny: list[str], tmp_path: Path) -> None:
    run(tiny, tmp_path / "a")
    last = tmp_path / "a" / "checkpoints" / "last.ckpt"
    with pytest.raises(UserError, match=r"last.ckpt was trained with model.backbone.name vit_t, not vit_b"):
        run(tiny, tmp_path / "b", "backbone.name=vit_b", f"resume={last}")


def test_two_processes_train_and_test_every_image_once(
    tiny: list[str], tmp_path: Path, processes: Processes
) -> None:
    """DDP on the CPU, started as a person starts it."""
    arguments = [*tiny, "data.test=3", "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
    arguments += ["trainer.precision=32-true", f"hydra.run.dir={tmp_path / 'ddp'}"]
    finished = processes.run("sac_lightning.train", *arguments, folder=tmp_path)
    assert finished.returncode == 0, finished.stderr
    both = record_of(tmp_path / "ddp")
    checkpoint = tmp_path / "ddp" / "checkpoints" / "best.ckpt"
    alone = rerun(tmp_path / "alone", checkpoint)
    # Every image counted once, on whichever process: the same figures as one process gives.
    assert both["metrics"] == pytest.approx(alone["metrics"], abs=1e-5)


def test_tensorboard_and_wandb_stand_beside_the_csv(tiny: list[str], tmp_path: Path) -> None:
    run(tiny, tmp_path / "t", "logger=tensorboard")
    assert list((tmp_path / "t").rglob("events.out.tfevents.*"))
    run(tiny, tmp_path / "w", "logger=wandb", "logger.wandb.offline=true")
    assert list((tmp_path / "w" / "wandb").glob("offline-run-*/run-*.wandb"))
    for folder in ("t", "w"):
        rows = (tmp_path / folder / "csv" / "version_0" / "metrics.csv").read_text()
        assert "val/dice" in rows.splitlines()[0]
