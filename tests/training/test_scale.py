"""What a checkpoint says of the size of pixels and nuclei, and evaluations of images of other sizes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from lightning import Trainer
from PIL import Image
from tests.commands import rerun, saved, untrained

from sac_lightning.core.errors import UserError
from sac_lightning.core.scale import Scale
from sac_lightning.core.view import View
from sac_lightning.data.folder import Folder
from sac_lightning.data.scene import render_scene
from sac_lightning.inference.predictor import load
from sac_lightning.model.checkpoint import load_checkpoint

NAMES = ("a", "b", "c", "d")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of four images with label maps; the last is said to have pixels twice as large as the others'."""
    root = tmp_path / "pictures"
    for kind in ("images", "instances"):
        (root / kind).mkdir(parents=True)
    for number, name in enumerate(NAMES):
        image, instances = render_scene(np.random.default_rng(number), 64, 64, "histology")
        per_centimetre = 1e4 / (0.5 if name == "d" else 0.25)
        tifffile.imwrite(
            root / "images" / f"{name}.tif",
            image,
            photometric="rgb",
            resolution=(per_centimetre, per_centimetre),
            resolutionunit="CENTIMETER",
        )
        Image.fromarray(instances.astype(np.uint16)).save(root / "instances" / f"{name}.png")
    (root / "split.csv").write_text("name,split\na,train\nb,train\nc,val\nd,test\n")
    return root


def folder(root: Path, **settings: Any) -> Folder:
    return Folder(root, split=root / "split.csv", view=View(64, 32), **settings)


@pytest.fixture
def checkpoint(tiny: list[str], tmp_path: Path) -> Path:
    """A checkpoint of a training at 0.25 micrometres per pixel."""
    torch.manual_seed(0)
    task = untrained(*tiny, "model=lora", "view.crop=32")
    task.scale = Scale(0.25, 12.0, 9.0, 0.5)
    return saved(task, tmp_path / "best.ckpt")


def test_a_folder_is_as_large_as_its_files_say(pictures: Path) -> None:
    data = folder(pictures)
    assert data.own_micrometres == pytest.approx(0.25)
    assert data.factors_by_name("test") == {"d": pytest.approx(0.5)}, "it is brought to the others"
    given = folder(pictures, micrometres=0.4)
    assert given.own_micrometres == 0.4
    assert given.factors_by_name("test") == {}
    assert given.settings is not None
    assert given.settings["micrometres"] == 0.4


def test_a_folder_of_files_that_do_not_say_it_has_no_size(pictures: Path) -> None:
    for path in (pictures / "images").iterdir():
        Image.fromarray(tifffile.imread(path)).save(path.with_suffix(".png"), dpi=(72, 72))
        path.unlink()
    data = folder(pictures)
    assert data.own_micrometres is None
    scale = data.measure_scale()
    assert scale.micrometres is None
    assert scale.diameter is not None
    assert scale.diameter > 3


def test_a_training_notes_the_size_in_its_checkpoints(pictures: Path, tiny: list[str], tmp_path: Path) -> None:
    task, data = untrained(*tiny, "model=lora", "view.crop=32"), folder(pictures, batch_size=2)
    data = Folder(pictures, split=pictures / "split.csv", batch_size=2)
    trainer = Trainer(
        max_steps=1,
        limit_val_batches=0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        accelerator="cpu",
    )
    trainer.fit(task, datamodule=data)
    trainer.save_checkpoint(tmp_path / "of_trainer.ckpt")
    scale = load_checkpoint(tmp_path / "of_trainer.ckpt").scale
    assert scale.micrometres == pytest.approx(0.25)
    assert scale == data.measure_scale()


def test_a_checkpoint_of_before_is_loaded_and_takes_every_image_as_it_is(tiny: list[str], tmp_path: Path) -> None:
    path = saved(untrained(*tiny, "model=lora", "view.crop=32"), tmp_path / "old.ckpt")
    assert load(path).scale == Scale()
    with pytest.raises(UserError, match="leave mpp out"):
        load(path, mpp=0.5)


def test_an_evaluation_brings_images_to_the_checkpoints_size(
    checkpoint: Path, pictures: Path, tmp_path: Path
) -> None:
    data = (
        "data=folder",
        f"data.root={pictures}",
        f"data.split={pictures}/split.csv",
        "trainer.precision=32-true",
    )
    records = {
        name: rerun(tmp_path / name, checkpoint, *data, *options)
        for name, options in (("files", ()), ("same", ("mpp=0.25",)), ("off", ("mpp=off",)))
    }
    assert records["files"]["factors"] == {"d": pytest.approx(0.5)}
    assert "factors" not in records["same"]
    assert records["same"]["metrics"] == records["off"]["metrics"]
    assert records["files"]["metrics"] != records["off"]["metrics"]
    assert len({record["config_hash"] for record in records.values()}) == 3


def test_an_evaluation_that_cannot_use_a_size_is_refused(tiny: list[str], tmp_path: Path) -> None:
    path = saved(untrained(*tiny, "model=lora", "view.crop=32"), tmp_path / "old.ckpt")
    with pytest.raises(UserError, match="leave mpp out"):
        rerun(tmp_path / "evaluation", path, "mpp=0.5")
