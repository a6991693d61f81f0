"""The pre-training from end to end, tiny: it learns, resumes, and writes what segment-anything can load."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Trainer
from PIL import Image
from segment_anything.modeling import Sam
from tests.commands import record_of

from sac_lightning.core.configuration import compose_config
from sac_lightning.core.errors import UserError
from sac_lightning.data.synthetic import SceneSample
from sac_lightning.model.registered import sha256_of
from sac_lightning.model.weights import read_weights
from sac_lightning.pretraining.run import pretrain
from sac_lightning.training.history import History

TINY = [
    "scenes.batch_size=2",
    "scenes.steps_per_epoch=2",
    "scenes.questions=4",
    "scenes.smallest=20",
    "scenes.watched=2",
    "scenes.workers=0",
    "tested_scenes=3",
    "trainer.max_epochs=3",
    "trainer.precision=32-true",
    "+trainer.enable_progress_bar=false",
]


Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def run(tiny_backbone: list[str]) -> Run:
    """Pre-train into a folder with some overrides and return the record."""

    def run(output_dir: Path, *overrides: str) -> dict[str, Any]:
        output_dir.mkdir(parents=True, exist_ok=True)
        pretrain(compose_config("pretrain", [*tiny_backbone, *TINY, f"output_dir={output_dir}", *overrides]))
        return record_of(output_dir)

    return run


@pytest.fixture(scope="module")
def whole(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    run(folder)
    return folder


def test_segment_anything_loads_what_it_writes(whole: Path, official_sam: Callable[..., Sam]) -> None:
    sam = official_sam()
    state = read_weights(whole / "vit_t.safetensors")
    assert all(tensor.dtype == torch.float16 for tensor in state.values())
    sam.load_state_dict(state, strict=True)


def test_everything_has_trained(run: Run, whole: Path, tmp_path: Path) -> None:
    run(tmp_path, "trainer.max_epochs=0")
    trained, untrained = (read_weights(folder / "vit_t.safetensors") for folder in (whole, tmp_path))
    same = {name for name in trained if torch.equal(trained[name], untrained[name])}
    # Which Fourier frequencies encode a position is random and stays; no step of these few began with a box.
    allowed = {"prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"}
    allowed |= {f"prompt_encoder.point_embeddings.{i}.weight" for i in (2, 3)}
    assert same <= allowed


def test_boxes_train_their_corners(run: Run, whole: Path, tmp_path: Path) -> None:
    run(tmp_path, "box_share=1")
    boxes, clicks = (read_weights(folder / "vit_t.safetensors") for folder in (tmp_path, whole))
    for i in (2, 3):
        name = f"prompt_encoder.point_embeddings.{i}.weight"
        assert not torch.equal(boxes[name], clicks[name])


def test_the_record_and_the_card_describe_the_file(whole: Path) -> None:
    record = record_of(whole)
    weights = whole / "vit_t.safetensors"
    assert record["weights"] == {"name": "vit_t", "sha256": sha256_of(weights), "bytes": weights.stat().st_size}
    assert record["metrics"].keys() == {"scenes", "scenes_untrained"}
    for metrics in record["metrics"].values():
        assert metrics["objects"] >= 3
        assert all(0 <= value <= 1 for name, value in metrics.items() if name != "objects")
    assert len(record["history"]) == 3
    card = (whole / "vit_t.md").read_text()
    assert record["weights"]["sha256"] in card
    assert f"{record['metrics']['scenes']['one_click']:.3f}" in card
    for picture in ("curves.png", "scenes.png", "scenes_untrained.png"):
        assert np.asarray(Image.open(whole / picture)).std() > 0


def test_an_interrupted_one_goes_on_to_the_same_end(
    run: Run, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_train_epoch_end = History.on_train_epoch_end

    def stopping(self: History, trainer: Trainer, pl_module: Any) -> None:
        on_train_epoch_end(self, trainer, pl_module)
        trainer.should_stop = trainer.current_epoch == 0

    with monkeypatch.context() as patch:
        patch.setattr(History, "on_train_epoch_end", stopping)
        run(tmp_path)
    assert sha256_of(tmp_path / "vit_t.safetensors") != sha256_of(whole / "vit_t.safetensors")
    resumed = run(tmp_path, f"resume={tmp_path / 'last.ckpt'}")
    assert len(resumed["history"]) == 3
    assert sha256_of(tmp_path / "vit_t.safetensors") == sha256_of(whole / "vit_t.safetensors")


def test_more_epochs_end_where_a_pre_training_of_that_length_ends(run: Run, whole: Path, tmp_path: Path) -> None:
    resume = f"resume={whole / 'last.ckpt'}"
    record = run(tmp_path / "on", "trainer.max_epochs=4", "optimizer.lr=1e-3", resume)
    assert record["resumed"][0]["changes"] == {
        "optimizer.lr": [8e-4, 1e-3],
        "scheduler.max_lr": [8e-4, 1e-3],
        "trainer.max_epochs": [3, 4],
    }
    run(tmp_path / "whole", "trainer.max_epochs=4", "optimizer.lr=1e-3")
    groups = [
        torch.load(tmp_path / name / "last.ckpt", weights_only=True)["optimizer_states"][0]["param_groups"]
        for name in ("on", "whole")
    ]
    assert groups[0] == groups[1]


def test_it_does_not_go_on_as_another(run: Run, whole: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"last.ckpt was trained with backbone.depth 2, not 3: make them the same"):
        run(tmp_path, "backbone.depth=3", f"resume={whole / 'last.ckpt'}")


def test_it_goes_on_from_weights_at_a_finer_size(run: Run, whole: Path, tmp_path: Path) -> None:
    weights = whole / "vit_t.safetensors"
    record = run(tmp_path / "as_is", f"backbone.weights={weights}", "view.image_size=128", "trainer.max_epochs=0")
    assert sha256_of(tmp_path / "as_is" / "vit_t.safetensors") == sha256_of(weights)
    assert record["metrics"]["scenes"] != record["metrics"]["scenes_untrained"]
    card, earlier = ((folder / "vit_t.md").read_text() for folder in (tmp_path / "as_is", whole))
    own, repeated = card.split("\n## What it went on from\n\n#")
    assert f"from weights with the SHA-256 `{sha256_of(weights)}`" in own
    assert repeated.replace("\n##", "\n#") == earlier
    run(tmp_path / "on", f"backbone.weights={weights}", "view.image_size=128", "trainer.max_epochs=1")
    finer, before = (read_weights(path) for path in (tmp_path / "on" / "vit_t.safetensors", weights))
    assert {name: t.shape for name, t in finer.items()} == {name: t.shape for name, t in before.items()}


def test_it_learns(run: Run, tmp_path: Path) -> None:
    """After some twenty steps on small scenes, the losses that train the embedding directly have fallen."""
    record = run(
        tmp_path, "scenes.steps_per_epoch=6", "trainer.max_epochs=4", "optimizer.lr=2e-3", "tested_scenes=1"
    )
    first, last = record["history"][0], record["history"][-1]
    for name in ("train/reconstruction", "train/similarity_of_objects", "train/first_answer"):
        assert last[name] < first[name]


def test_the_nuclei_of_a_data_set_are_clicked_on(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    for kind in ("images", "instances"):
        (folder / kind).mkdir(parents=True)
    nuclei = 0
    for i in range(10):
        sample = SceneSample(f"scene_{i}", seed=(0, i), side=80, stain="fluorescence")
        image, instances = sample.load()
        Image.fromarray(image).save(folder / "images" / f"{sample.name}.png")
        Image.fromarray(instances.astype(np.uint16)).save(folder / "instances" / f"{sample.name}.png")
        nuclei = max(nuclei, int(instances.max()))
    record = run(tmp_path / "out", "data=folder", f"data.root={folder}", "trainer.max_epochs=1")
    assert record["metrics"].keys() == {"scenes", "scenes_untrained", "folder", "folder_untrained"}
    assert 1 <= record["metrics"]["folder"]["objects"] <= nuclei
    assert (tmp_path / "out" / "folder.png").is_file()


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["resume=nothing.ckpt"], "nothing.ckpt does not exist"),
        (["data=folder", "data.root=nowhere"], "nowhere"),
        (["backbone.weights=nowhere.pth"], "nowhere.pth"),
        (["view.image_size=70"], "view.image_size is 70: choose a multiple of the patch"),
    ],
)
def test_bad_input_is_refused_before_the_training(
    run: Run, overrides: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "fit", lambda *_, **__: pytest.fail("the training started"))
    with pytest.raises(UserError, match=sentence):
        run(tmp_path, *overrides)
