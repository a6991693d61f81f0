"""train, evaluate and predict tell nuclei apart by the method asked for, with the checkpoint's thresholds."""

import csv
import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from tests.commands import record_of, rerun, run, saved, untrained

from sac_lightning.core.configuration import compose_config
from sac_lightning.core.errors import UserError
from sac_lightning.inference import every_prompt
from sac_lightning.inference.predictor import load
from sac_lightning.inference.thresholds import EveryPrompt, Watershed
from sac_lightning.model.checkpoint import load_checkpoint
from sac_lightning.model.registered import sha256_of
from sac_lightning.model.segment_any_cell import SAC
from sac_lightning.slides import segmentation
from sac_lightning.slides.run import predict
from sac_lightning.training.task import SegmentationTask
from sac_lightning.training.tuning import store_thresholds

INSTANCE_METRICS = ("aji", "pq", "dq", "sq", "ap50")
EVERY = EveryPrompt(0.0, 0.5, 0)


@cache
def trained_once(tiny: tuple[str, ...], folder: Path) -> Path:
    """The output folder of a short training."""
    run(tiny, folder, "view.crop=40")
    return folder


@pytest.fixture
def trained(tiny: list[str], tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    """The folder, a copy for each test."""
    folder = trained_once(tuple(tiny), tmp_path_factory.getbasetemp() / "separation")
    return Path(shutil.copytree(folder, tmp_path / "trained"))


@pytest.fixture
def checkpoint(trained: Path) -> Path:
    """Its best checkpoint."""
    return trained / "checkpoints" / "best.ckpt"


# train


def test_a_training_leaves_the_watersheds_thresholds_in_its_best_checkpoint(trained: Path) -> None:
    best, last = (
        load_checkpoint(trained / "checkpoints" / f"{name}.ckpt").thresholds for name in ("best", "last")
    )
    assert best.keys() == {"watershed"}
    assert Watershed(**best["watershed"]).mask in (0.4, 0.5, 0.6)
    assert last == {}
    assert "instances" not in record_of(trained), "a training's figures are by components, as ever"


# evaluate


def test_components_are_what_the_training_recorded(trained: Path, checkpoint: Path, tmp_path: Path) -> None:
    record = rerun(tmp_path / "out", checkpoint)
    assert record["metrics"] == record_of(trained)["metrics"]
    assert record["instances"] == {"method": "components"}


@pytest.mark.parametrize("separation", [Watershed(0.5, 0.5, 0), Watershed(0.999, 0.999, 0), EVERY])
def test_the_checkpoints_thresholds_are_used(
    separation: Watershed | EveryPrompt, trained: Path, checkpoint: Path, tmp_path: Path
) -> None:
    store_thresholds(checkpoint, separation)
    method = "prompts" if isinstance(separation, EveryPrompt) else "watershed"
    record, before = rerun(tmp_path / "out", checkpoint, f"instances={method}"), record_of(trained)
    assert record["instances"]["method"] == method
    assert Watershed(0.999, 0.999, 0) != separation or record["metrics"]["pq"] == 0, "nothing is found"
    for name, value in record["metrics"].items():
        assert name in INSTANCE_METRICS or value == before["metrics"][name], "the mask is the same"
    assert record["config_hash"] != rerun(tmp_path / "other", checkpoint)["config_hash"]


@pytest.mark.parametrize("method", ["watershed", "prompts"])
def test_tuning_writes_the_thresholds_that_the_test_goes_by(method: str, checkpoint: Path, tmp_path: Path) -> None:
    store_thresholds(checkpoint, Watershed(0.999, 0.999, 0))
    record = rerun(tmp_path / "out", checkpoint, f"instances={method}", "tune=true")
    stored = load_checkpoint(checkpoint).thresholds
    assert record["instances"] == {"method": method, **stored[method]}
    again = rerun(tmp_path / "again", checkpoint, f"instances={method}")
    assert again["metrics"] == record["metrics"]
    assert again["config_hash"] == record["config_hash"], "it is the same test"
    assert again["contents"] == record["contents"] == {"data": {}, "files": {"checkpoint": sha256_of(checkpoint)}}


def test_tuning_is_done_before_a_test_image_is_predicted(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    predicted = SegmentationTask.predict_image

    def noted(task: SegmentationTask, image: Any, keep_embeddings: bool = False) -> Any:
        seen.append(image.name)
        return predicted(task, image, keep_embeddings)

    monkeypatch.setattr(SegmentationTask, "predict_image", noted)
    record = rerun(tmp_path / "out", checkpoint, "instances=watershed", "tune=true")
    test_names = [image["name"] for image in record["images"]]
    assert sorted(seen[2:]) == test_names
    assert not set(seen[:2]) & set(test_names)


def test_a_method_without_thresholds_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no thresholds for instances=prompts: .*tune=true"):
        rerun(tmp_path / "out", checkpoint, "instances=prompts")
    with pytest.raises(UserError, match="no expert points"):
        rerun(tmp_path / "experts", checkpoint, "instances=prompts", "tune=true", "prompts.experts=1")


def test_pictures_of_test_images_are_drawn_where_they_are_asked_for(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = rerun(tmp_path / "all", checkpoint, "instances=watershed", "pictures=all")
    drawn = sorted(path.stem for path in (tmp_path / "all" / "pictures").iterdir())
    assert drawn == [image["name"] for image in record["images"]]
    assert f"pictures   {tmp_path / 'all' / 'pictures'}: true nuclei cyan" in capsys.readouterr().out
    plain = rerun(tmp_path / "plain", checkpoint, "instances=watershed")
    assert not (tmp_path / "plain" / "pictures").exists()
    assert plain["config_hash"] == record["config_hash"], "pictures change no number"


def test_a_training_can_be_tested_by_the_watershed(tiny: list[str], checkpoint: Path, tmp_path: Path) -> None:
    record = run(tiny, tmp_path / "run", "view.crop=40", "instances=watershed")
    stored = load_checkpoint(tmp_path / "run" / "checkpoints" / "best.ckpt").thresholds["watershed"]
    assert record["instances"] == {"method": "watershed", **stored}
    before = record_of(checkpoint.parent.parent)
    assert "instances" not in before
    assert record["metrics"]["dice"] == before["metrics"]["dice"]
    assert record["config_hash"] != before["config_hash"]


# predict


@pytest.fixture
def lively(tiny: list[str], tmp_path: Path) -> Path:
    """A checkpoint whose model, untrained and without a generator, sees something everywhere and likes it."""
    torch.manual_seed(3)
    task = untrained(*tiny, "model=lora", "view.crop=40")
    assert isinstance(task.model, SAC)
    with torch.no_grad():
        task.model.mask_decoder.iou_prediction_head.layers[-1].bias += 0.8
    return saved(task, tmp_path / "lively.ckpt")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two images, one of them wider than the model's window."""
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, size in (("a.png", (40, 50)), ("b.tif", (70, 90))):
        coarse = rng.integers(0, 256, (size[0] // 10, size[1] // 10, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize(size[::-1]).save(folder / name)
    return folder


def predict_folder(checkpoint: Path, images: Path, output: Path, *overrides: str) -> None:
    predict(
        compose_config("predict", [f"checkpoint={checkpoint}", f"images={images}", f"output={output}", *overrides])
    )


@pytest.mark.parametrize("method", ["components", "watershed", "prompts", None])
def test_the_label_map_is_the_predictors(method: str | None, lively: Path, images: Path, tmp_path: Path) -> None:
    store_thresholds(lively, Watershed(0.5, 0.52, 5))
    store_thresholds(lively, EVERY)
    output = tmp_path / "out"
    predict_folder(lively, images, output, *([] if method is None else [f"instances={method}"]))
    predictor = load(lively, instances=method)
    found = 0
    for name in ("a.png", "b.tif"):
        nuclei = predictor.segment(np.array(Image.open(images / name)))
        stem = name.split(".")[0]
        assert np.array_equal(tifffile.imread(output / "labels" / f"{stem}.tif"), nuclei.instances)
        assert np.array_equal(np.array(Image.open(output / "masks" / f"{stem}.png")) > 0, nuclei.mask)
        with (output / "measurements" / f"{stem}.csv").open() as lines:
            assert len(list(csv.DictReader(lines))) == nuclei.instances.max()
        features = json.loads((output / "geojson" / f"{stem}.geojson").read_text())["features"]
        assert len(features) == nuclei.instances.max()
        found += nuclei.instances.max()
    assert found, "a model that finds nothing tests nothing"


def test_a_large_image_has_the_nuclei_of_the_whole(
    lively: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_thresholds(lively, Watershed(0.5, 0.52, 5))
    coarse = np.random.default_rng(1).integers(0, 256, (30, 10, 3), dtype=np.uint8)
    image = np.array(Image.fromarray(coarse).resize((90, 270)))
    (tmp_path / "images").mkdir()
    Image.fromarray(image).save(tmp_path / "images" / "long.png")
    monkeypatch.setattr(segmentation, "BAND_PIXELS", 1)
    predict_folder(lively, tmp_path / "images", tmp_path / "out")
    whole, parts = load(lively).segment(image).instances, tifffile.imread(tmp_path / "out/labels/long.tif")
    pairs = np.unique(np.stack([whole.ravel(), parts.ravel()]), axis=1)
    assert pairs.shape[1] == whole.max() + 1 == parts.max() + 1 > 2, "the numbers may differ, no more"


def test_prompts_refuse_what_they_cannot_do(
    lively: Path,
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store_thresholds(lively, EVERY)
    points = tmp_path / "points.csv"
    points.write_text("image,x,y,label\na.png,3,4,1\n")
    monkeypatch.setattr(every_prompt, "MAX_PIXELS", 50 * 60)
    with pytest.raises(SystemExit):
        predict_folder(lively, images, tmp_path / "out", "instances=prompts", f"points={points}")
    with_points, large = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "a.png" in with_points
    assert "no expert points" in with_points
    assert "b.tif" in large
    assert "up to 3,000 pixels, not 6,300" in large
    assert not list((tmp_path / "out" / "labels").iterdir())
