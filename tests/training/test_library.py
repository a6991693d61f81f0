"""In a notebook: a method by its name, data, a task, Lightning's trainer, and the checkpoint that it writes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

import sac_lightning
from sac_lightning import View
from sac_lightning.core.configuration import compose_config, read_choice, resolve_config
from sac_lightning.core.errors import UserError
from sac_lightning.data import DSB2018, Folder, GlaS, MoNuSeg, NucleiDataModule, Synthetic
from sac_lightning.data.build import make_data
from sac_lightning.data.experts import ExpertPoints
from sac_lightning.evaluate import main as evaluate_command
from sac_lightning.model import SAC, Backbone, Generator, Prompts, load_checkpoint, msa, sac, sam, sam_ft
from sac_lightning.model.build import build_model
from sac_lightning.model.register import REGISTER
from sac_lightning.model.weights import locate, read_weights
from sac_lightning.training import SegmentationTask
from sac_lightning.training.evaluation import evaluate

SIZE = 64
METHODS: dict[str, Callable[..., SAC]] = {"sam": sam, "sam_ft": sam_ft, "msa": msa, "sac": sac}
BACKBONE = Backbone("tiny", dim=16, depth=2, heads=2, global_blocks=(1,), window=2, native_size=SIZE)
PROMPTS = Prompts(experts=1, map_size=32, generator=Generator(init_features=2, depth=2))

pytestmark = [
    # Lightning's advice to whoever trains for more than a step.
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*is smaller than the logging interval.*"),
    # Each trainer writes into a folder of its own.
    pytest.mark.filterwarnings("ignore:The dirpath has changed from"),
]


class OwnNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 1, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        answer: Tensor = self.layer(images / 255)
        return answer


def scenes(**loading: Any) -> Synthetic:
    return Synthetic(SIZE, train=2, val=1, test=1, batch_size=2, **loading)


def trainer_in(folder: Path, **options: Any) -> Trainer:
    """A trainer with its default callbacks and logger."""
    quiet = {"enable_progress_bar": False, "enable_model_summary": False}
    return Trainer(max_epochs=1, accelerator="cpu", default_root_dir=folder, **quiet, **options)


def written_checkpoint(trainer: Trainer) -> Path:
    assert trainer.checkpoint_callback is not None
    return Path(str(trainer.checkpoint_callback.best_model_path))


def paper_model(method: str, backbone: str = "vit_t") -> dict[str, Any]:
    overrides = [f"model={method}", "scale=paper", f"backbone={backbone}", "output_dir=."]
    settings: dict[str, Any] = resolve_config(compose_config("train", overrides))["model"]
    return settings


def test_a_backbone_by_its_name_brings_its_weights() -> None:
    model = sac(backbone="vit_t")
    file = read_weights(locate("vit_t"))
    state = model.state_dict()
    assert torch.equal(state["image_encoder.pos_embed"], file["image_encoder.pos_embed"].float())
    assert model.base == {"name": "vit_t", "sha256": REGISTER["vit_t"].sha256}
    assert not model.image_encoder.pos_embed.requires_grad


def test_without_weights_the_encoder_starts_random_and_trains() -> None:
    model = sac(backbone="vit_t", weights=None)
    assert model.base is None
    assert model.image_encoder.pos_embed.requires_grad
    assert model.image_encoder.pos_embed.std().item() == pytest.approx(0.02, rel=0.3)


def test_weights_of_another_file_go_with_the_name(tmp_path: Path) -> None:
    state = {name: tensor + 1 for name, tensor in read_weights(locate("vit_t")).items()}
    torch.save(state, tmp_path / "other.pth")
    model = sam(backbone="vit_t", weights=str(tmp_path / "other.pth"))
    assert model.base is not None
    assert model.base["name"] == str(tmp_path / "other.pth")
    assert torch.equal(model.image_encoder.pos_embed, state["image_encoder.pos_embed"].float())


def test_an_unknown_backbone_and_weights_beside_sizes_are_refused() -> None:
    with pytest.raises(UserError, match=r"there is no backbone vit_x: choose one of vit_b, vit_h, vit_l, vit_t"):
        sac(backbone="vit_x")
    with pytest.raises(UserError, match=r"set Backbone\.weights"):
        sac(BACKBONE, weights="vit_t")


@pytest.mark.parametrize("method", METHODS)
def test_defaults_and_notes_are_those_of_the_configuration(method: str) -> None:
    with torch.device("meta"):
        assert METHODS[method]("vit_t", image_size=1024).settings == paper_model(method)


@pytest.mark.parametrize("backbone", ["vit_t", "vit_b", "vit_l", "vit_h"])
def test_a_configured_model_notes_its_configuration(backbone: str) -> None:
    with torch.device("meta"):
        model = build_model(paper_model("sac", backbone))
    assert isinstance(model, SAC)
    assert model.settings == paper_model("sac", backbone)


@pytest.mark.parametrize("make", [DSB2018, MoNuSeg, GlaS, Synthetic])
def test_defaults_of_data_modules_are_those_of_the_configuration(make: Callable[[], NucleiDataModule]) -> None:
    data = make()
    assert data.name is not None
    assert data.settings == read_choice("data", data.name)


def test_defaults_of_a_folder_are_those_of_the_configuration() -> None:
    assert Folder("mine").settings == read_choice("data", "folder") | {"root": "mine"}


def test_a_root_may_be_a_path_and_makes_the_same_module_again(tmp_path: Path) -> None:
    data = DSB2018(tmp_path, workers=1)
    again = make_data({"data": data.settings, "model": {}, "view": {"image_size": SIZE}, "seed": 0})
    assert isinstance(again, DSB2018)
    assert (again.folder, again.workers) == (tmp_path / "dsb2018", 1)


def test_a_data_set_of_one_s_own_has_no_settings() -> None:
    class Mine(NucleiDataModule):
        def splits(self) -> Any:
            raise NotImplementedError

    assert Mine().settings is None


def test_what_a_trainer_fits_is_loaded_evaluated_and_tested_again(tmp_path: Path) -> None:
    torch.manual_seed(0)
    task, data = SegmentationTask(sac(BACKBONE, PROMPTS), seed=3), scenes()
    assert task.view == View(SIZE)
    trainer = trainer_in(tmp_path)
    trainer.fit(task, datamodule=data)
    assert (data.view, data.expert_points, data.seed) == (View(SIZE), ExpertPoints(1), 3)
    path = written_checkpoint(trainer)

    loaded = load_checkpoint(path)
    assert loaded.settings == task.settings
    assert loaded.settings["data"] == data.settings
    assert loaded.settings["precision"] == "32-true"
    image = np.full((SIZE, SIZE, 3), 40, dtype=np.uint8)
    pixels = torch.from_numpy(image).permute(2, 0, 1).float()
    fitted = task.eval().model(pixels[None]).logits.sigmoid()[0, 0]
    found = sac_lightning.load(path, precision="32-true").segment(image)
    assert np.allclose(found.probability, fitted.detach().numpy(), atol=1e-6)

    (tested,) = trainer.test(task, datamodule=data, ckpt_path="best", verbose=False)
    overrides = [f"checkpoint='{path}'", f"output_dir={tmp_path}", "+trainer.enable_progress_bar=false"]
    evaluate(compose_config("evaluate", [*overrides, "instances=components"]))
    record = (tmp_path / "results.json").read_text()
    assert f'"dice": {tested["test/dice"]}' in record


def test_the_name_of_lightning_s_checkpoint_asks_for_quotes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["evaluate", "checkpoint=runs/epoch=0-step=1.ckpt"])
    with pytest.raises(SystemExit):
        evaluate_command()
    assert "put it in quotes of its own, \"checkpoint='runs/epoch=0-step=1.ckpt'\"" in capsys.readouterr().err


def test_a_checkpoint_keeps_no_frozen_weights_of_a_named_backbone(tmp_path: Path) -> None:
    task = SegmentationTask(sac(backbone="vit_t", prompts=Prompts(points=0), image_size=SIZE))
    trainer = trainer_in(tmp_path, limit_train_batches=1, limit_val_batches=0)
    trainer.fit(task, datamodule=scenes())
    path = written_checkpoint(trainer)
    loaded = load_checkpoint(path)
    assert loaded.base == task.base == {"name": "vit_t", "sha256": REGISTER["vit_t"].sha256}
    kept = torch.load(path, weights_only=True)["state_dict"]
    assert not any(name.endswith("pos_embed") for name in kept)
    for name, tensor in task.model.state_dict().items():
        assert torch.equal(tensor.cpu(), loaded.model.state_dict()[name]), name


def test_own_network_trains_and_its_checkpoint_names_the_way_back(tmp_path: Path) -> None:
    task = SegmentationTask(OwnNetwork(), View(SIZE))
    trainer = trainer_in(tmp_path)
    trainer.fit(task, datamodule=scenes())
    (fitted,) = trainer.test(task, datamodule=scenes(), verbose=False)
    assert {"test/dice", "test/aji", "test/pq"} <= fitted.keys()
    path = written_checkpoint(trainer)
    with pytest.raises(UserError, match=r"one's own network OwnNetwork, which only its own code can build: make"):
        sac_lightning.load(path)
    (again,) = trainer_in(tmp_path).test(
        SegmentationTask(OwnNetwork(), View(SIZE)), datamodule=scenes(), ckpt_path=path, verbose=False
    )
    assert again == fitted


def test_attributes_of_one_s_own_network_are_not_ours(tmp_path: Path) -> None:
    network = OwnNetwork()
    network.settings = {"width": 3}  # type: ignore[assignment] # torch types attributes as tensors
    network.base = nn.Conv2d(1, 1, 1).requires_grad_(False)
    task = SegmentationTask(network, View(SIZE))
    assert task.settings["model"] == {"name": "OwnNetwork"}
    trainer = trainer_in(tmp_path)
    trainer.fit(task, datamodule=scenes())
    kept = torch.load(written_checkpoint(trainer), weights_only=True)
    assert "model.base.weight" in kept["state_dict"]
    assert kept["sac_lightning"]["base"] is None


def test_images_of_unknown_origin_are_asked_for(tmp_path: Path) -> None:
    task = SegmentationTask(sac(BACKBONE, Prompts(points=0)))
    data = scenes(view=task.view)
    trainer = trainer_in(tmp_path, limit_train_batches=1)
    items = DataLoader(data.train_dataloader().dataset, sampler=[(0, 0), (0, 1)])
    trainer.fit(task, items, data.val_dataloader())
    path = written_checkpoint(trainer)
    with pytest.raises(UserError, match=r"does not say on which data it was trained: set data"):
        evaluate(compose_config("evaluate", [f"checkpoint='{path}'", f"output_dir={tmp_path}"]))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"view": View(32)}, r"Synthetic was given the view View\(image_size=32.*leave view out"),
        ({"expert_points": ExpertPoints(2)}, r"was given the expert_points .*leave expert_points out"),
        ({"seed": 4}, r"was given the seed 4, but the task has 0: leave seed out"),
    ],
)
def test_data_that_differ_from_the_task_are_refused(given: Any, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence):
        trainer_in(tmp_path).fit(SegmentationTask(OwnNetwork(), View(SIZE)), datamodule=scenes(**given))


def test_one_data_module_serves_tasks_of_several_views(tmp_path: Path) -> None:
    data = scenes()
    for side in (32, SIZE):
        trainer_in(tmp_path, logger=False).test(
            SegmentationTask(OwnNetwork(), View(side)), datamodule=data, verbose=False
        )
        assert data.view == View(side)


def test_another_lightning_module_gets_whole_images(tmp_path: Path) -> None:
    class Other(LightningModule):
        def test_step(self, batch: Any) -> None:
            assert batch.image.shape == (3, SIZE, SIZE)

    data = scenes()
    trainer_in(tmp_path, logger=False).test(Other(), datamodule=data, verbose=False)
    assert data.view == View(256)


def test_a_model_of_another_side_than_the_view_is_refused() -> None:
    with pytest.raises(UserError, match=r"the model sac takes 64 pixels, but view\.image_size is 32: make them"):
        SegmentationTask(sac(BACKBONE, PROMPTS), View(32))


def test_nothing_to_train_is_told(tmp_path: Path) -> None:
    task = SegmentationTask(sam("vit_t", image_size=SIZE))
    with pytest.raises(UserError, match=r"sam has nothing to train: test it by Trainer\.test"):
        trainer_in(tmp_path).fit(task, datamodule=scenes())


def test_settings_of_a_task_survive_another_data_module(tmp_path: Path) -> None:
    task = SegmentationTask(OwnNetwork(), View(SIZE))
    for seed in (0, 1):
        data = scenes()
        data.scene_seed = seed
        trainer_in(tmp_path, logger=False).test(task, datamodule=data, verbose=False)
        assert task.settings["data"]["scene_seed"] == seed
