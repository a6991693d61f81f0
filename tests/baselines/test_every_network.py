"""Every compared network, tiny, through a run's life: fit, kill, resume, test, predict; and learning an image."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from numpy.typing import NDArray
from PIL import Image
from tests.commands import rerun, run, saved, untrained
from tests.processes import Processes
from torch import Tensor

from sac_lightning.baselines.network import Network
from sac_lightning.core.configuration import compose_config, config_dir, resolve_config
from sac_lightning.inference.predictor import load
from sac_lightning.model.build import build_model
from sac_lightning.model.counting import count_network
from sac_lightning.model.warm_start import plan_warm_start
from sac_lightning.model.weights import read_weights
from sac_lightning.pretraining.run import pretrain
from sac_lightning.training.fitting import make_task
from sac_lightning.training.run import train
from sac_lightning.training.task import SegmentationTask

SIDE = 64
# What makes each of them tiny; the count of its parameters at its own width; options of the same network.
TINY: dict[str, list[str]] = {
    "u_net": ["model.init_features=4"],
    "uctransnet": ["model.width=4"],
    "medt": ["model.width=2", "model.groups=1", "+model.grid=2"],
    "duat": ["model.encoder=pvt_v2_b0"],
    "ssformer_l": ["model.encoder=mit_b0", "model.dim=16"],
    "ssformer_s": ["model.encoder=mit_b0", "model.dim=16"],
    "fanet": ["model.width=8", "model.feedback=3"],
    "doubleu_net": ["model.width=8"],
    "histoseg": ["model.width=0.35", "model.head_width=16"],
    "msrf_net": ["model.width=8"],
    "mdm": ["model.width=8", "model.units=[16,8]"],
    "smp": ["model.encoder=resnet18"],
}
# Trainable and frozen parameters. What never gets a gradient is left out, see the network's own test; FANet keeps
# its part, as its output depends on it.
COUNTS = {
    "u_net": (7_763_041, 0),
    "uctransnet": (66_430_657, 0),
    "medt": (1_560_140 - 35_570, 0),
    "duat": (24_968_265 - 17_385, 0),
    "ssformer_l": (66_218_945 - 262_656, 0),
    "ssformer_s": (29_572_545 - 262_656, 0),
    "fanet": (7_720_266 - 982_088, 982_088),
    "histoseg": (2_116_897, 0),
    "msrf_net": (18_592_397, 0),
    # The U-Net's 311,017,539 and the classifier's 225,826, without the part after the features.
    "mdm": (311_017_539 + 225_826 - 7_795_971, 0),
    "doubleu_net": (29_288_886, 0),
}


# Keras counts BatchNorm's running statistics too.
KERAS_COUNTS = {"histoseg": 2_149_985, "msrf_net": 18_595_607}


def overrides(name: str, folder: Path) -> list[str]:
    return [
        f"model={name}",
        *TINY[name],
        "data=folder",
        f"data.root={folder / 'nuclei'}",
        f"data.split={folder / 'nuclei' / 'split.csv'}",
        f"view.image_size={SIDE}",
        "view.crop=64",
        "data.batch_size=2",
        "data.crops_per_image=1",
        "trainer.max_epochs=3",
        "trainer.precision=32-true",
        "imagenet=false",
        "+trainer.enable_progress_bar=false",
    ]


def test_every_network_is_tested_here() -> None:
    of_sam = {"sac", "lora", "sam", "sam_ft", "msa", "otsu"}
    assert {file.stem for file in (config_dir() / "model").glob("*.yaml")} - of_sam == TINY.keys()
    assert {file.stem for file in (config_dir() / "recipe" / "own").glob("[a-z]*.yaml")} == TINY.keys() - {"smp"}


@pytest.mark.parametrize("name", COUNTS)
def test_the_number_of_parameters_is_the_official_codes(name: str) -> None:
    trainable, frozen = COUNTS[name]
    row = count_network(name)
    assert row.parameters == {"trainable": trainable, "frozen": frozen, "total": trainable + frozen}
    if name in KERAS_COUNTS:
        assert row.parameters["total"] + row.statistics == KERAS_COUNTS[name]


@pytest.fixture(scope="module")
def nuclei(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write seven images of discs, of which one in each part of the split is all background."""
    folder = tmp_path_factory.mktemp("data")
    root = folder / "nuclei"
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    parts = ["train", "train", "train", "val", "val", "test", "test"]
    lines = ["name,split"]
    for i, part in enumerate(parts):
        empty = i in (0, 3, 5)
        image, mask = discs(np.random.default_rng(i), 0 if empty else 4)
        Image.fromarray(image).save(root / "images" / f"{i}.png")
        Image.fromarray(mask).save(root / "masks" / f"{i}.png")
        lines.append(f"{i},{part}")
    (root / "split.csv").write_text("\n".join(lines) + "\n")
    return folder


def discs(random: np.random.Generator, count: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw an image (64, 64, 3) of bright discs on noise, and its mask (64, 64) in {0, 255}."""
    y, x = np.mgrid[:SIDE, :SIDE]
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    for _ in range(count):
        row, column = random.integers(8, SIDE - 8, 2)
        mask |= (y - row) ** 2 + (x - column) ** 2 < random.integers(64, 144)
    grey = random.integers(20, 60, (SIDE, SIDE)) + 140 * mask
    image = np.stack([grey, grey // 2, grey], axis=-1).astype(np.uint8)
    return image, mask.astype(np.uint8) * 255


def curves(record: dict[str, Any]) -> list[dict[str, float]]:
    """Return the history without its times."""
    return [{k: v for k, v in row.items() if k.startswith(("train/", "val/"))} for row in record["history"]]


@pytest.mark.parametrize("name", TINY)
def test_a_network_starts_from_its_own_checkpoint(name: str, nuclei: Path, tmp_path: Path) -> None:
    theirs, ours = (untrained(*overrides(name, nuclei), f"seed={seed}") for seed in (0, 1))
    warm = plan_warm_start(saved(theirs, tmp_path / "theirs.ckpt"), ours.model, name, None)
    warm.apply(ours.model)
    wanted = theirs.model.state_dict()
    assert warm.is_whole
    assert all(torch.equal(tensor, wanted[key]) for key, tensor in ours.model.state_dict().items())


@pytest.mark.parametrize("name", TINY)
def test_fit_kill_resume_test_predict(name: str, nuclei: Path, tmp_path: Path, processes: Processes) -> None:
    whole = run(overrides(name, nuclei), tmp_path / "whole")
    assert whole["method"] == name
    assert len(whole["images"]) == 2
    assert all(np.isfinite(list(row.values())).all() for row in curves(whole))

    (tmp_path / "killed").mkdir()
    arguments = [*overrides(name, nuclei), f"output_dir={tmp_path / 'killed'}"]
    die = "tests.baselines.test_every_network:train_and_die_in_second_epoch"
    killed = processes.run(die, *arguments, folder=tmp_path)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "killed" / "results.json").exists()
    last = tmp_path / "killed" / "checkpoints" / "last.ckpt"
    resumed = run(overrides(name, nuclei), tmp_path / "killed", f"resume={last}")
    assert curves(resumed) == curves(whole)
    assert resumed["metrics"] == whole["metrics"]

    checkpoint = tmp_path / "whole" / "checkpoints" / "best.ckpt"
    assert rerun(tmp_path / "again", checkpoint)["metrics"] == whole["metrics"]

    image = np.asarray(Image.open(nuclei / "nuclei" / "images" / "6.png"))
    found = load(checkpoint).segment(np.pad(image, ((0, 10), (0, 30), (0, 0))))
    assert found.mask.shape == (74, 94)
    assert 0 <= found.probability.min() <= found.probability.max() <= 1


def train_and_die_in_second_epoch(*arguments: str) -> None:
    """In a process of its own: train, and die at the end of the second epoch's first batch."""

    def die(self: ModelCheckpoint, trainer: Trainer, *_: Any) -> None:
        if trainer.current_epoch == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    ModelCheckpoint.on_train_batch_end = die  # type: ignore[method-assign]
    train(compose_config("train", list(arguments)))


def test_mdm_trains_its_classifier_on_the_frozen_network_of_its_pretraining(nuclei: Path, tmp_path: Path) -> None:
    options = ["method=mdm", "model.width=8", "data=folder", "view.image_size=64", "view.crop=64"]
    where = [option for option in overrides("mdm", nuclei) if option.startswith("data.")]
    (tmp_path / "unet").mkdir()
    short = ["trainer.max_epochs=1", "trainer.precision=32-true", "+trainer.enable_progress_bar=false"]
    pretrain(compose_config("pretrain", [*options, *where, *short, f"output_dir={tmp_path / 'unet'}"]))
    weights = tmp_path / "unet" / "mdm.safetensors"
    assert run(overrides("mdm", nuclei), tmp_path / "run", f"model.weights={weights}")["parameters"]["frozen"] > 0
    weights.rename(tmp_path / "elsewhere.safetensors")  # A checkpoint is complete without it.
    network = load(tmp_path / "run" / "checkpoints" / "best.ckpt").model
    for name, tensor in read_weights(tmp_path / "elsewhere.safetensors").items():
        if name in network.unet.state_dict():
            torch.testing.assert_close(network.unet.state_dict()[name], tensor.float(), rtol=0, atol=0)


@pytest.mark.parametrize("name", TINY)
def test_one_image_is_learnt(name: str, nuclei: Path) -> None:
    cfg = compose_config("train", [*overrides(name, nuclei), "optimizer.lr=3e-3", "output_dir=x"])
    config = resolve_config(cfg)
    torch.manual_seed(0)
    network = build_model(config["model"])
    assert isinstance(network, Network)
    task = make_task(cfg, network, {key: config[key] for key in ("model", "view", "data", "seed")}, None)
    batch = batch_of(nuclei, 1, 2)
    dice = 0.0
    optimizer = task.make_optimizer(network.parameter_groups())  # type: ignore[misc]
    for step in range(200):
        network.train()
        network.start_epoch(step)
        optimizer.zero_grad()
        torch.stack(list(task.losses(batch).values())).sum().backward()
        if step == 0:
            without = [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None]
            assert not without, f"these get no gradient: {without}"
        optimizer.step()
        if step % 20 == 19:
            dice = dice_of(task, batch)
            if dice > 0.9:
                break
    assert dice > 0.9


def batch_of(nuclei: Path, *names: int) -> Any:
    """Make a training batch of the folder's images."""
    images = [np.asarray(Image.open(nuclei / "nuclei" / "images" / f"{name}.png")) for name in names]
    masks = [np.asarray(Image.open(nuclei / "nuclei" / "masks" / f"{name}.png")) > 0 for name in names]
    return {
        "images": torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float(),
        "masks": torch.from_numpy(np.stack(masks))[:, None].float(),
        "seeds": torch.arange(len(names)),
    }


def dice_of(task: SegmentationTask, batch: dict[str, Tensor]) -> float:
    """Return the Dice of the predictions in eval mode."""
    with torch.no_grad():
        predicted = (task.model.eval()(batch["images"]) > 0).float()
    truth = batch["masks"]
    return float(2 * (predicted * truth).sum() / (predicted.sum() + truth.sum()))
