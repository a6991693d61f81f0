"""Checkpoints as safetensors: small, read without running code, what they were but for the rounding of weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests.commands import settings_of
from torch import nn

from sac_lightning.core.errors import UserError
from sac_lightning.core.view import View
from sac_lightning.inference.predictor import load
from sac_lightning.inference.thresholds import Watershed
from sac_lightning.model.build import build_model
from sac_lightning.model.checkpoint import load_checkpoint, read_checkpoint
from sac_lightning.model.checkpoint_file import write_checkpoint
from sac_lightning.model.foreign.sam import read_sam
from sac_lightning.model.registered import find_checkpoint
from sac_lightning.training.task import SegmentationTask
from sac_lightning.training.tuning import store_thresholds


@pytest.fixture
def trained(tiny: list[str], tmp_path: Path) -> Path:
    """A checkpoint as a training writes it."""
    torch.manual_seed(0)
    settings = settings_of(*tiny, "model=sac")
    model = build_model(settings["model"])
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1)
    task = SegmentationTask(model.eval(), View(**settings["view"]), settings, None, batch_size=2)
    content: dict[str, Any] = {"epoch": 1, "state_dict": task.state_dict(), "optimizer_states": []}
    task.on_save_checkpoint(content)
    torch.save(content, tmp_path / "best.ckpt")
    return tmp_path / "best.ckpt"


@pytest.fixture
def passed_on(trained: Path) -> Path:
    """The same as safetensors."""
    path = trained.with_name("nuclei.safetensors")
    write_checkpoint(path, read_checkpoint(trained))
    return path


def test_it_is_the_model_but_for_the_rounding_of_weights(trained: Path, passed_on: Path) -> None:
    whole, rounded = load_checkpoint(trained), load_checkpoint(passed_on)
    assert (rounded.settings, rounded.base, rounded.scale) == (whole.settings, whole.base, whole.scale)
    tensors = rounded.model.state_dict()
    for name, tensor in whole.model.state_dict().items():
        assert tensors[name].dtype == tensor.dtype
        exact = tensor.dim() < 2 or not tensor.is_floating_point()
        torch.testing.assert_close(tensors[name], tensor, rtol=0 if exact else 1e-3, atol=0 if exact else 1e-7)
    assert passed_on.stat().st_size < 0.6 * trained.stat().st_size
    assert load(passed_on).view == load(trained).view


def test_it_keeps_its_form_when_thresholds_are_written_into_it(passed_on: Path) -> None:
    before = read_checkpoint(passed_on)["state_dict"]
    passed_on.chmod(0o640)
    store_thresholds(passed_on, Watershed(0.5, 0.52, 5))
    assert load(passed_on).separation == Watershed(0.5, 0.52, 5)
    assert passed_on.stat().st_mode & 0o777 == 0o640
    after = read_checkpoint(passed_on)["state_dict"]
    assert all(torch.equal(before[name], tensor) for name, tensor in after.items())


def test_the_same_content_is_the_same_file(passed_on: Path) -> None:
    other = passed_on.with_name("other.safetensors")
    write_checkpoint(other, read_checkpoint(passed_on))
    assert other.read_bytes() == passed_on.read_bytes()


def test_it_is_no_sam_to_start_from(passed_on: Path) -> None:
    with pytest.raises(UserError, match=r"nuclei\.safetensors is a checkpoint of this package, not SAM's weights"):
        read_sam(passed_on)


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sam.safetensors"
    save_file({"image_encoder.pos_embed": torch.ones(2)}, path)
    with pytest.raises(UserError, match=r"sam\.safetensors is not a checkpoint of sac_lightning"):
        read_checkpoint(path)
    path.write_bytes(b"no tensors")
    with pytest.raises(UserError, match="cannot be read as a checkpoint"):
        read_checkpoint(path)
    with pytest.raises(UserError, match=r"does not exist: .+ python -m sac_lightning.models lists"):
        read_checkpoint(find_checkpoint("nucle"))
