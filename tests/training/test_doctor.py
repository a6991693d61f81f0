"""The doctor: what will fail is said before it does, with its remedy and status 1."""

import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from tests.console import foreign_lines

from sac_lightning.core.configuration import compose_config
from sac_lightning.data.folder import Folder
from sac_lightning.training import doctor as examination
from sac_lightning.training.run import announce_oddities

Usage = namedtuple("Usage", "total used free")


def examined(capsys: pytest.CaptureFixture[str], *overrides: str) -> tuple[int, str]:
    """The doctor's exit status and what it said."""
    try:
        examination.examine(compose_config("doctor", [*overrides, "output_dir=x"]))
        status: Any = 0
    except SystemExit as ended:
        status = ended.code
    return int(status), capsys.readouterr().out


def line(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(name))


def test_the_default_training_has_nothing_to_fail_by(capsys: pytest.CaptureFixture[str]) -> None:
    status, told = examined(capsys)
    assert status == 0, told
    assert "Nothing found that would fail." in told
    assert " fault " not in told
    assert "200 train, 20 val, 40 test; 26 images read" in line(told, "data")
    assert "vit_t" in line(told, "weights")


def test_a_data_set_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAC_DATA", str(tmp_path))
    status, told = examined(capsys, "data=monuseg")
    assert status == 1
    assert "fault" in line(told, "data")
    assert "manifest.csv" in line(told, "data")
    assert told.rstrip().endswith("1 fault.")


def test_a_broken_image_of_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
        for i in range(10):
            (tmp_path / part / f"{i}.png").write_bytes(b"no image")
    status, told = examined(capsys, "data=folder", f"data.root={tmp_path}")
    assert status == 1
    assert "cannot be read as an image" in line(told, "data")


@pytest.fixture
def odd_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of which a bit of everything is odd."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    for i in range(10):
        image = Image.fromarray(random.integers(0, 256, (40, 44, 3), dtype=np.uint8))
        exif = image.getexif()
        if i == 2:
            exif[ExifTags.Base.Orientation] = 6
        if i == 4:
            image.save(tmp_path / "images" / "4.tif", save_all=True, append_images=[image])
        else:
            image.save(tmp_path / "images" / f"{i}.png", exif=exif)
        mask = np.zeros((40, 44), np.uint8)
        mask[5:15, 5:20] = 255 * (i != 3)
        Image.fromarray(mask).save(tmp_path / "masks" / f"{i}.png", exif=exif)
    for name in ("0", "7"):
        Image.open(tmp_path / "images" / "0.png").resize((88, 80)).save(tmp_path / "images" / f"{name}.png")
        Image.fromarray(np.eye(80, 88, dtype=np.uint8)).save(tmp_path / "masks" / f"{name}.png")
    Image.fromarray(mask).save(tmp_path / "masks" / "spare$.png")
    parts = ["train"] * 6 + ["val", "test"]
    (tmp_path / "split.csv").write_text("name,split\n" + "".join(f"{i},{p}\n" for i, p in enumerate(parts)))
    return tmp_path


def test_what_is_odd_in_the_data_is_named_and_drawn(odd_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, told = examined(capsys, "data=folder", "data.root=.", "data.split=split.csv")
    assert status == 0, told
    notes = [
        line.split("note", 1)[1].strip()
        for line in told.splitlines()
        if line.startswith("data") and " note " in line
    ]
    pictures = [Path(note.rsplit(": ", 1)[1]) for note in notes]
    assert [note.rsplit(": ", 1)[0] for note in notes] == [
        "1 mask without an image (spare$)",
        "2 images left out by the split (8, 9)",
        "1 truth without a nucleus (3)",
        "1 image with an EXIF orientation, which is not applied (2)",
        "1 image of which page 1 of 2 is read (4)",
        "2 images with a copy in another part (0, 7)",
    ]
    for picture in pictures:
        with Image.open(picture) as drawn:
            assert drawn.width > drawn.height / 2.5
    assert sorted(pictures) == sorted(path for path in Path("outputs/doctor").iterdir())


def test_a_truth_that_cannot_be_drawn_has_its_reason_in_the_picture(
    odd_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (odd_folder / "masks" / "spare$.png").write_bytes(b"none")
    status, told = examined(capsys, "data=folder", "data.root=.")
    assert status == 0, told
    assert "1 mask without an image (spare$): outputs/doctor/masks_without_an_image.png" in told


def test_a_training_says_in_one_line_what_is_odd(odd_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = Folder(odd_folder, odd_folder / "split.csv")
    _ = data.samples
    announce_oddities(data.oddities)
    said = capsys.readouterr().out
    assert said.startswith(
        "The data set has 1 mask without an image, 2 images left out by the split, 1 truth without a"
    )
    assert foreign_lines(said) == []
    announce_oddities([])
    assert not capsys.readouterr().out


def test_a_gpu_that_is_not_there(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    status, told = examined(capsys, "trainer=gpu")
    assert status == 1
    assert "choose trainer=cpu" in line(told, "device")


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("view.image_size=500", "choose a multiple of the patch"),
        ("prompts.threshold=2", "threshold"),
        ("callbacks.best.monitor=test/dice", "choose a validation metric"),
    ],
)
def test_a_setting_that_no_training_takes(
    override: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, told = examined(capsys, override)
    assert status == 1
    assert sentence in line(told, "configuration")


def test_weights_that_would_be_downloaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAC_WEIGHTS", str(tmp_path))
    status, told = examined(capsys, "backbone=vit_b")
    assert status == 0
    assert "0.4 GB will be downloaded" in line(told, "weights")
    assert not list(tmp_path.iterdir())
    (tmp_path / "sam_vit_b_01ec64.pth").write_bytes(b"half of it")
    status, told = examined(capsys, "backbone=vit_b")
    assert status == 1
    assert "has 10 bytes instead of 375042383" in line(told, "weights")


def test_weights_of_another_project(
    tiny_weights: Path, tiny: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state, path = torch.load(tiny_weights, weights_only=True), tmp_path / "best.pt"
    beside = {"decoder_state": {"decoder.weight": torch.zeros(2)}}
    torch.save({"model_state": {f"sam.{name}": tensor for name, tensor in state.items()}} | beside, path)
    status, told = examined(capsys, *tiny, f"backbone.weights={path}")
    assert status == 0, told
    assert f"{len(state)} tensors in best.pt" in line(told, "weights")
    assert "holds more than SAM: decoder_state (1 tensor), left out" in told
    torch.save(state | {"mask_decoder.hf_token.weight": torch.zeros(1, 256)}, path)
    status, told = examined(capsys, *tiny, f"backbone.weights={path}")
    assert status == 1
    assert "hf_token (1 tensor)" in line(told, "weights")


def test_a_disk_that_is_full(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(2**40, 2**40, 2**20))
    status, told = examined(capsys)
    assert status == 1
    assert "make room" in line(told, "output")


def test_a_folder_that_cannot_be_written_to(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    status, told = examined(capsys)
    assert status == 1
    assert "cannot be written to (Permission denied)" in line(told, "output")


def test_wandb_without_a_login(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    status, told = examined(capsys, "logger=wandb")
    assert status == 1
    assert "wandb login" in line(told, "logging")
    assert examined(capsys, "logger=wandb", "logger.wandb.offline=true")[0] == 0
    monkeypatch.setenv("WANDB_API_KEY", "x")
    assert examined(capsys, "logger=wandb")[0] == 0


def test_a_dependency_of_another_version(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examination, "requires", lambda package: ["torch<1", "nonsense-that-is-missing"])
    status, told = examined(capsys)
    assert status == 1
    assert "torch is" in told
    assert "nonsense-that-is-missing is missing" in told
    assert "2 faults." in told
