"""The doctor: what will fail is said before it does, with its remedy and status 1."""

import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
import torch

from sac_lightning.core.configuration import compose_config
from sac_lightning.training import doctor as examination

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
