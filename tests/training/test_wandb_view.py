"""Weights & Biases, offline: what the run file holds is what a sync will upload."""

import csv
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import wandb
from lightning.pytorch.loggers import WandbLogger
from omegaconf import OmegaConf
from PIL import Image
from tests.commands import record_of, rerun
from tests.conftest import TINY
from wandb.proto.wandb_internal_pb2 import Record

import sac_lightning.training.wandb_view
from sac_lightning.core.configuration import compose_config
from sac_lightning.data.sample import WholeImage
from sac_lightning.data.windows import WindowPoints
from sac_lightning.inference.drawing import NEGATIVE_RGB, POSITIVE_RGB
from sac_lightning.inference.windows import Prediction
from sac_lightning.training.loggers import make_loggers
from sac_lightning.training.run import train
from sac_lightning.training.task import PICTURES, SegmentationTask
from sac_lightning.training.wandb_view import SIDE, overlays

ROW = "SAC O, 1 point"
Runs = list[tuple[Path, dict[str, Any]]]
WANDB = ["logger=wandb", "logger.wandb.offline=true"]


@dataclass
class RunFile:
    """What a .wandb file holds."""

    path: Path
    run: Any = None
    config: dict[str, Any] = field(default_factory=dict)
    definitions: list[Any] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None

    def rows(self, key: str) -> list[dict[str, Any]]:
        return [row for row in self.history if key in row]

    def media(self, path: str) -> np.ndarray:
        with Image.open(self.path.parent / "files" / path) as image:
            return np.array(image)


def records(path: Path) -> Iterator[Record]:
    """The records of a run file: LevelDB's log, in blocks of 32 KiB, behind a header of seven bytes."""
    data, position, parts = path.read_bytes(), 7, b""
    while position < len(data):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        parts += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


def read_run_file(output_dir: Path) -> RunFile:
    wandb.teardown()  # W&B's own process may still be writing the end of the file.
    (path,) = (output_dir / "wandb").glob("offline-run-*/run-*.wandb")
    file = RunFile(path)
    for record in records(path):
        match record.WhichOneof("record_type"):
            case "run":
                file.run = record.run
                file.config = {item.key: json.loads(item.value_json) for item in record.run.config.update}
            case "metric":
                file.definitions.append(record.metric)
            case "history":
                file.history.append(nested(record.history.item))
            case "summary":
                file.summary |= nested(record.summary.update)
            case "exit":
                file.exit_code = record.exit.exit_code
    return file


def nested(items: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for item in items:
        first, *rest = list(item.nested_key) or [item.key]
        if rest:
            values.setdefault(first, {})[".".join(rest)] = json.loads(item.value_json)
        else:
            values[first] = json.loads(item.value_json)
    return values


def run(output_dir: Path, *overrides: str, row: str | None = None) -> dict[str, Any]:
    output_dir.mkdir(parents=True)
    cfg = compose_config("train", [*TINY, *WANDB, f"output_dir={output_dir}", *overrides])
    OmegaConf.update(cfg, "row", row, force_add=True)
    train(cfg)
    return record_of(output_dir)


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """A run of an experiment and one outside of any, one after the other in this process."""
    folders = [tmp_path_factory.mktemp("wandb") / name for name in ("first", "second")]
    first = run(
        folders[0],
        "++experiment.name=table5_selection",
        "seed=3",
        "prompts.experts=1",
        f"data.val={PICTURES + 1}",
        "logger.wandb.tags=[mine]",
        row=ROW,
    )
    second = run(folders[1], "seed=4", "trainer.max_epochs=1")
    return [(folders[0], first), (folders[1], second)]


@pytest.fixture(scope="module")
def record(two_runs: Runs) -> dict[str, Any]:
    return two_runs[0][1]


@pytest.fixture(scope="module")
def file(two_runs: Runs) -> RunFile:
    return read_run_file(two_runs[0][0])


# What is known at the start


def test_a_run_stands_in_its_experiment_under_its_row(file: RunFile) -> None:
    assert (file.run.project, file.run.run_group, file.run.job_type) == (
        "sac_lightning",
        "table5_selection",
        "sac",
    )
    assert file.run.display_name == ROW
    assert set(file.run.tags) == {"mine", "synthetic", "vit_t", "cpu", "seed 3"}


def test_outside_of_an_experiment_the_data_set_is_the_group_and_the_method_the_name(two_runs: Runs) -> None:
    second = read_run_file(two_runs[1][0])
    assert (second.run.run_group, second.run.display_name) == ("synthetic", "sac")


def test_the_whole_configuration_is_there_from_the_start(file: RunFile, record: dict[str, Any]) -> None:
    config = {key: value for key, value in file.config.items() if key != "_wandb"}
    assert config == record["config"]
    assert config["model"]["prompts"]["generator"]["init_features"] == 4
    assert config["callbacks"]["best"]["_target_"].endswith("ModelCheckpoint")


def test_a_method_without_a_backbone_has_no_tag_for_it() -> None:
    cfg = compose_config("train", [*WANDB, "model=otsu", "output_dir=x"])
    config = {"data": {"name": "dsb2018"}, "model": {"name": "otsu"}, "scale": {"name": "paper"}, "seed": 0}
    _, logger = make_loggers(cfg.logger, config)
    assert isinstance(logger, WandbLogger)
    assert logger._wandb_init["tags"] == ["dsb2018", "paper", "seed 0"]
    assert logger._wandb_init["job_type"] == "otsu"


# Curves


def test_the_epoch_is_the_x_axis_of_every_curve(file: RunFile) -> None:
    everything = [metric.step_metric for metric in file.definitions if metric.glob_name == "*"]
    assert everything[-1] == "epoch"
    # W&B completes a row with the x axis of its keys: Lightning's global step where the definition did not win.
    for key in ("val/overlays", "test/overlays"):
        assert file.rows(key)
        assert not [row for row in file.rows(key) if "trainer/global_step" in row]


@pytest.mark.parametrize("key", ["val/dice", "val/iou", "train/loss", "train/mask_loss", "train/generator_loss"])
def test_the_curves_are_those_of_the_record_and_of_the_csv(
    key: str, file: RunFile, record: dict[str, Any], two_runs: Runs
) -> None:
    curve = [(row["epoch"], row[key]) for row in file.rows(key)]
    assert [epoch for epoch, _ in curve] == [0, 1]
    assert curve == [(row["epoch"], row[key]) for row in record["history"]]
    with (two_runs[0][0] / "csv" / "version_0" / "metrics.csv").open(newline="") as lines:
        in_csv = {int(row["epoch"]): float(row[key]) for row in csv.DictReader(lines) if row[key]}
    assert in_csv == pytest.approx(dict(curve))


# Overlays


def test_every_epoch_shows_the_first_validation_images_and_the_test_its_own(
    file: RunFile, record: dict[str, Any]
) -> None:
    shown = file.rows("val/overlays")
    assert [row["epoch"] for row in shown] == [0, 1]
    captions = [row["val/overlays"]["captions"] for row in shown]
    assert captions[0] == captions[1]
    assert len(captions[0]) == PICTURES
    (tested,) = file.rows("test/overlays")
    names = [image["name"] for image in record["images"]]
    assert tested["test/overlays"]["captions"] == names[:PICTURES]
    assert not set(names) & set(captions[0])


def test_every_epoch_shows_its_own_predictions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[list[Prediction]] = []
    monkeypatch.setattr(
        sac_lightning.training.wandb_view,
        "overlays",
        lambda given: shown.append([told for _, told in given]) or [],
    )
    run(tmp_path / "run")
    first, second, _ = shown
    assert len(first) == len(second) == 2
    assert not torch.equal(first[0].probability, second[0].probability)


def test_an_overlay_has_its_points_and_both_masks_in_files(file: RunFile) -> None:
    (shown,) = file.rows("test/overlays")
    images, masks = shown["test/overlays"]["filenames"], shown["test/overlays"]["all_masks"]
    assert len(images) == len(masks) > 0
    for image, both in zip(images, masks, strict=True):
        picture = file.media(image)
        assert picture.shape == (64, 64, 3)
        assert (picture == POSITIVE_RGB).all(axis=2).sum() >= 9, "no expert point is on the picture"
        assert both.keys() == {"prediction", "truth"}
        truth = file.media(both["truth"]["path"])
        assert truth.dtype == np.uint8
        assert set(np.unique(truth)) == {0, 1}


def example(
    name: str, height: int, width: int, points: tuple[tuple[float, float, int], ...] = ()
) -> tuple[WholeImage, Prediction]:
    """A grey image whose left half is nucleus, and whose upper half is predicted."""
    truth, predicted = torch.zeros(height, width, dtype=torch.int32), torch.zeros(height, width)
    truth[:, : width // 2] = 7
    predicted[: height // 2] = 0.9
    given = torch.tensor(points).reshape(-1, 3)
    expert_points = WindowPoints(torch.zeros(1, 0, 2), torch.zeros(1, 0, dtype=torch.long))
    image = WholeImage(name, torch.full((3, height, width), 100.0), truth, expert_points, seed=0)
    return image, Prediction(predicted, None, given[:, :2].float(), given[:, 2].long())


def picture_and_masks(image: wandb.Image) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    assert image.image is not None
    assert image._masks is not None
    return np.array(image.image), {name: mask._val["mask_data"] for name, mask in image._masks.items()}


def test_points_are_blue_on_nuclei_and_pink_beside_and_stay_within_the_picture() -> None:
    (shown,) = overlays([example("a", 40, 60, ((10, 20, 1), (45, 30, 0), (0, 0, 1)))])
    picture, masks = picture_and_masks(shown)
    assert tuple(picture[20, 10]) == POSITIVE_RGB
    assert tuple(picture[30, 45]) == NEGATIVE_RGB
    assert tuple(picture[0, 0]) == POSITIVE_RGB
    assert (picture[:, 20:35] == 100).all()
    assert (masks["truth"][:, :30] == 1).all()
    assert masks["truth"].sum() == 40 * 30
    assert (masks["prediction"][:20] == 1).all()
    assert masks["prediction"].sum() == 20 * 60
    assert shown._caption == "a"


def test_a_large_image_is_shrunk_with_its_masks_and_points() -> None:
    (shown,) = overlays([example("a", 2 * SIDE, 4 * SIDE, ((2000, 403, 1),))])
    picture, masks = picture_and_masks(shown)
    assert picture.shape == (SIDE // 2, SIDE, 3)
    assert tuple(picture[100, 500]) == POSITIVE_RGB
    assert (picture[100, :490] == 100).all()
    assert masks["truth"].dtype == np.uint8
    assert masks["truth"].sum() == SIDE // 2 * SIDE // 2


def test_images_of_different_sizes_are_filled_up_to_one() -> None:
    shown = [picture_and_masks(image) for image in overlays([example("a", 40, 60), example("b", 50, 30)])]
    assert {picture.shape for picture, _ in shown} == {(50, 60, 3)}
    assert {mask.shape for _, masks in shown for mask in masks.values()} == {(50, 60)}
    picture, masks = shown[1]
    assert (picture[:, :30] == 100).all()
    assert not picture[:, 30:].any()
    assert not masks["prediction"][:, 30:].any()


# The end


def test_the_summary_is_the_record_without_history_and_images(file: RunFile, record: dict[str, Any]) -> None:
    assert file.exit_code == 0
    assert {f"test/{name}": value for name, value in record["metrics"].items()}.items() <= file.summary.items()
    assert {"dice", "iou", "f1", "aji", "pq"} <= record["metrics"].keys()
    for key in ("parameters", "versions", "prompt_quality"):
        for name, value in record[key].items():
            assert file.summary[f"{key}/{name}"] == value
    for key in ("method", "dataset", "seed", "row", "seconds_per_epoch", "epochs", "device", "config_hash"):
        assert file.summary[key] == record[key]
    assert (record["row"], record["experiment"]) == (ROW, "table5_selection")
    assert not {"history", "images", "config", "metrics"} & file.summary.keys()


def test_two_runs_of_one_process_do_not_mix(two_runs: Runs, file: RunFile, record: dict[str, Any]) -> None:
    folder, second = two_runs[1]
    other = read_run_file(folder)
    assert other.run.run_id != file.run.run_id
    assert (file.config["seed"], other.config["seed"]) == (3, 4)
    assert (len(file.rows("val/dice")), len(other.rows("val/dice"))) == (2, 1)
    assert file.summary["config_hash"] == record["config_hash"] != second["config_hash"]
    assert other.summary["config_hash"] == second["config_hash"]
    assert wandb.run is None


def test_a_run_that_fails_is_ended_as_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(SegmentationTask, "training_step", fail)
    with pytest.raises(RuntimeError, match="out of luck"):
        run(tmp_path / "failed")
    assert wandb.run is None
    assert read_run_file(tmp_path / "failed").exit_code == 1


# Other loggers, other commands


def test_without_wandb_nothing_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sac_lightning.training.wandb_view, "overlays", lambda _: pytest.fail("pictures were made"))
    train(compose_config("train", [*TINY, f"output_dir={tmp_path}", "trainer.max_epochs=1"]))
    assert (tmp_path / "results.json").is_file()
    assert not (tmp_path / "wandb").exists()


def test_an_evaluation_is_a_run_of_its_own_kind(two_runs: Runs, tmp_path: Path) -> None:
    checkpoint = two_runs[1][0] / "checkpoints" / "best.ckpt"
    record = rerun(tmp_path, checkpoint, *WANDB)
    file = read_run_file(tmp_path)
    assert file.run.job_type == "evaluate"
    assert file.summary["test/dice"] == record["metrics"]["dice"]
    assert file.exit_code == 0
