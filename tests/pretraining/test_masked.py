"""The pre-training on masked images, tiny: it learns, resumes, sees training images only; MDM loads its file."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.errors import InstantiationException
from lightning import LightningModule, Trainer
from PIL import Image
from tests.commands import record_of

from sac_lightning.baselines.diffusion_unet import DiffusionUNet
from sac_lightning.baselines.mdm import MDM
from sac_lightning.core.configuration import compose_config
from sac_lightning.core.errors import UserError
from sac_lightning.data.sample import TrainingBatch
from sac_lightning.data.synthetic import SceneSample
from sac_lightning.model.registered import sha256_of
from sac_lightning.model.weights import read_weights
from sac_lightning.pretraining.masked import MaskedPretraining, dissimilarity
from sac_lightning.pretraining.run import pretrain
from sac_lightning.training.history import History

TINY = [
    "method=mdm",
    "model.width=8",
    "view.image_size=64",
    "view.crop=64",
    "data.side=80",
    "data.train=4",
    "data.val=1",
    "data.test=1",
    "data.batch_size=2",
    "optimizer.lr=1e-2",
    "trainer.max_epochs=3",
    "trainer.precision=32-true",
    "+trainer.enable_progress_bar=false",
]


def run(output_dir: Path, *overrides: str) -> dict[str, Any]:
    """Pre-train into a folder and return the record."""
    output_dir.mkdir(parents=True, exist_ok=True)
    pretrain(compose_config("pretrain", [*TINY, f"output_dir={output_dir}", *overrides]))
    return record_of(output_dir)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    run(folder)
    return folder


def test_mdm_loads_what_it_writes(whole: Path) -> None:
    mdm = MDM(8, weights=str(whole / "mdm.safetensors"))
    mdm.load_weights(whole / "mdm.safetensors")
    written = read_weights(whole / "mdm.safetensors")
    assert written.keys() == DiffusionUNet(8).state_dict().keys()
    for name, tensor in mdm.unet.state_dict().items():
        assert torch.equal(tensor, written[name].float())


def test_everything_has_trained(whole: Path, tmp_path: Path) -> None:
    run(tmp_path, "trainer.max_epochs=0")
    trained, untrained = (read_weights(folder / "mdm.safetensors") for folder in (whole, tmp_path))
    same = {name for name in trained if torch.equal(trained[name], untrained[name])}
    # So narrow a network normalises each channel by itself, which takes off what these biases add.
    assert all(name.endswith("conv_in.bias") for name in same)


def test_the_record_describes_the_file(whole: Path) -> None:
    record = record_of(whole)
    weights = whole / "mdm.safetensors"
    assert record["weights"] == {"name": "mdm", "sha256": sha256_of(weights), "bytes": weights.stat().st_size}
    assert (record["dataset"], record["images"]) == ("synthetic", 4)
    assert (record["epochs"], record["steps"], len(record["history"])) == (3, 6, 3)
    assert all(0 < row["train/dissimilarity"] < 0.5 for row in record["history"])
    assert np.asarray(Image.open(whole / "curve.png")).std() > 0


def test_an_interrupted_one_goes_on_to_the_same_end(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_train_epoch_end = History.on_train_epoch_end

    def stopping(self: History, trainer: Trainer, pl_module: LightningModule) -> None:
        on_train_epoch_end(self, trainer, pl_module)
        trainer.should_stop = trainer.current_epoch == 0

    with monkeypatch.context() as patch:
        patch.setattr(History, "on_train_epoch_end", stopping)
        assert run(tmp_path)["epochs"] == 1
    resumed = run(tmp_path, f"resume={tmp_path / 'last.ckpt'}")
    assert sha256_of(tmp_path / "mdm.safetensors") == sha256_of(whole / "mdm.safetensors")
    expected = record_of(whole)
    losses = [[row["train/dissimilarity"] for row in record["history"]] for record in (resumed, expected)]
    assert losses[0] == losses[1]


def test_another_seed_is_another_pre_training(whole: Path, tmp_path: Path) -> None:
    run(tmp_path, "seed=1")
    assert sha256_of(tmp_path / "mdm.safetensors") != sha256_of(whole / "mdm.safetensors")


def test_it_sees_training_images_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set()
    load = SceneSample.load

    def noting(self: SceneSample) -> Any:
        seen.add(self.name.partition("_")[0])
        return load(self)

    monkeypatch.setattr(SceneSample, "load", noting)
    run(tmp_path, "trainer.max_epochs=1", "data.in_memory=false")
    assert seen == {"train"}


def batch_of(images: torch.Tensor) -> TrainingBatch:
    size = len(images)
    nothing = torch.zeros(size, 0)
    return {
        "images": images,
        "masks": torch.full((size, 1, *images.shape[-2:]), torch.nan),  # Not to be used.
        "expert_coords": nothing,
        "expert_labels": nothing,
        "seeds": torch.arange(size),
        "names": [""] * size,
    }


def test_the_loss_of_a_batch_falls() -> None:
    torch.manual_seed(0)
    task = MaskedPretraining(DiffusionUNet(8), partial(torch.optim.AdamW, lr=3e-3))
    task.log = lambda *_, **__: None  # type: ignore[method-assign]
    ramp = torch.linspace(0, 255, 32)
    images = torch.stack([ramp.expand(3, 32, 32), ramp[:, None].expand(3, 32, 32)])
    optimizer = task.configure_optimizers()
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = task.training_step(batch_of(images))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_dissimilarity_is_the_official_codes() -> None:
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert dissimilarity(images, images).item() == pytest.approx(0, abs=1e-6)
    assert dissimilarity(images, 0.7 * images + 0.1).item() == pytest.approx(0.2953394, rel=1e-5)
    assert dissimilarity(images, images.flip(-1)).item() == pytest.approx(0.4643036, rel=1e-5)
    # Around 0 both the mean and the covariance of a negative have the other sign: it passes for nearly the same.
    assert dissimilarity(images, -images).item() == pytest.approx(0.0547912, rel=1e-5)


def test_dissimilarity_of_two_tones_by_hand() -> None:
    """Without variance the structures are equal, which leaves (2 a b + c) / (a^2 + b^2 + c)."""
    tones = torch.full((1, 3, 128, 128), 0.5), torch.full((1, 3, 128, 128), 0.25)
    expected = (1 - (0.25 + 1e-4) / (0.3125 + 1e-4)) / 2
    # Of the 128 x 128 pixels those within 2 of the border also see zeros.
    assert dissimilarity(*tones).item() == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["resume=nothing.ckpt"], "nothing.ckpt does not exist"),
        (["data.train=0"], "no image for train"),
        (["model.width=24"], "24 channels wide: choose"),
        (["view.image_size=40"], "the windows are 40 pixels wide: set view.image_size to a multiple of 32"),
        (["view.image_size=null", "view.crop=null"], "the windows have no fixed size: set view.image_size to"),
    ],
)
def test_bad_input_is_refused_before_the_training(
    overrides: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "fit", lambda *_, **__: pytest.fail("the training started"))
    with pytest.raises((UserError, InstantiationException), match=sentence):
        run(tmp_path, *overrides)
