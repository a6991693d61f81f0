"""Separating heads of compared networks: four maps, their losses, their nuclei, and who cannot have them."""

from pathlib import Path

import pytest
import torch
from tests.baselines.test_every_network import TINY
from tests.commands import saved, settings_of
from torch.nn.functional import binary_cross_entropy_with_logits

from sac_lightning.baselines.network import Network
from sac_lightning.baselines.u_net import UNetNetwork
from sac_lightning.core.arguments import refuse_arguments
from sac_lightning.core.configuration import compose_config
from sac_lightning.core.errors import UserError
from sac_lightning.core.heads import WITH_HEADS
from sac_lightning.core.view import View
from sac_lightning.data.sample import TrainingBatch
from sac_lightning.inference.encoded_image import EncodedImage
from sac_lightning.inference.predictor import load
from sac_lightning.inference.thresholds import Watershed
from sac_lightning.inference.windows import run_model, segment
from sac_lightning.model.build import build_model
from sac_lightning.model.counting import parameter_counts
from sac_lightning.model.prompt_generator import SEPARATING
from sac_lightning.training.losses import separating_loss
from sac_lightning.training.task import SegmentationTask

SIDE = 64
HEADS = "model.heads=separating"
CANNOT = ("doubleu_net", "duat", "fanet", "mdm", "msrf_net")


def network(name: str, *options: str) -> Network:
    """A tiny network, from its configuration."""
    sides = [f"view.image_size={SIDE}", "view.crop=64"]
    settings = settings_of(f"model={name}", *TINY[name], *sides, *options)
    model = build_model(settings["model"]).eval()
    assert isinstance(model, Network)
    return model


def batch_of(instances: torch.Tensor) -> TrainingBatch:
    generator = torch.Generator().manual_seed(0)
    count = len(instances)
    return {
        "images": torch.rand(count, 3, *instances.shape[-2:], generator=generator) * 255,
        "masks": (instances > 0).float(),
        "instances": instances,
        "expert_coords": torch.zeros(count, 0, 2),
        "expert_labels": torch.zeros(count, 0, dtype=torch.long),
        "seeds": torch.zeros(count, dtype=torch.long),
        "names": ["a"] * count,
    }


def two_touching() -> torch.Tensor:
    labels = torch.zeros(2, 1, SIDE, SIDE, dtype=torch.int32)
    labels[:, :, 20:40, 10:30], labels[:, :, 20:40, 30:50] = 1, 2
    return labels


@pytest.mark.parametrize("name", WITH_HEADS)
def test_a_network_with_heads_gives_four_maps_and_learns_all_of_them(name: str) -> None:
    torch.manual_seed(0)
    plain, model = network(name), network(name, HEADS)
    images = torch.rand(1, 3, SIDE, SIDE) * 255
    with torch.no_grad():
        assert plain(images).shape == (1, 1, SIDE, SIDE)
        assert model(images).shape == (1, SEPARATING, SIDE, SIDE)
    more = parameter_counts(model)["total"] - parameter_counts(plain)["total"]
    assert 0 < more < 4000, "the heads are more than a layer"
    task = SegmentationTask(model, View(SIDE))
    losses = task.losses(batch_of(two_touching()))
    assert losses.keys() == {"mask", "generator"}
    assert {f"train/{part}_loss" for part in losses} <= set(task.training_figures())
    losses["generator"].backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_the_heads_are_null_in_every_networks_configuration() -> None:
    assert {*WITH_HEADS, *CANNOT} == TINY.keys()
    assert all(settings_of(f"model={name}")["model"]["heads"] is None for name in TINY)


def test_the_own_loss_is_of_the_mask_alone() -> None:
    torch.manual_seed(0)
    task = SegmentationTask(UNetNetwork(4, 2, "separating").eval(), View(SIDE))
    task.mask_loss = torch.nn.BCEWithLogitsLoss()
    batch = batch_of(two_touching())
    losses, logits = task.losses(batch), task.model(batch["images"])
    torch.testing.assert_close(losses["mask"], binary_cross_entropy_with_logits(logits[:, :1], batch["masks"]))
    torch.testing.assert_close(losses["generator"], separating_loss(logits, batch["instances"]))


@pytest.mark.parametrize("name", CANNOT)
def test_a_network_that_cannot_says_so_in_a_sentence(name: str) -> None:
    cfg = compose_config("train", [f"model={name}", HEADS, "output_dir=x"])
    with pytest.raises(
        UserError, match=rf"^model.heads=separating is not for {name}, .*: choose u_net,"
    ) as raised:
        refuse_arguments(cfg)
    assert "\n" not in str(raised.value)


def test_other_heads_are_refused() -> None:
    cfg = compose_config("train", ["model=u_net", "model.heads=edges", "output_dir=x"])
    with pytest.raises(UserError, match=r"^model\.heads is edges: choose separating, or null"):
        refuse_arguments(cfg)
    with pytest.raises(UserError, match=r"^model\.heads is edges"):
        UNetNetwork(heads="edges")  # type: ignore[arg-type]  # what a user may type


def test_a_prediction_has_the_networks_own_maps_and_no_points() -> None:
    torch.manual_seed(0)
    model = UNetNetwork(4, 2, "separating").eval()
    prediction = segment(model, torch.rand(3, 90, 70) * 255, View(SIDE, 64))
    assert prediction.generator_maps is not None
    assert prediction.generator_maps.shape == (3, 90, 70)
    torch.testing.assert_close(prediction.generator_maps[0], prediction.probability)
    assert len(prediction.point_coords) == 0
    assert segment(UNetNetwork(4, 2).eval(), torch.rand(3, 90, 70) * 255, View(SIDE, 64)).generator_maps is None


def test_a_network_with_other_channels_than_it_says_is_refused() -> None:
    model = UNetNetwork(4, 2, "separating").eval()
    model.maps = 1
    with pytest.raises(UserError, match=r"give logits \(1, 1, H, W\)"):
        run_model(model, torch.zeros(1, 3, SIDE, SIDE))


def test_a_checkpoint_with_heads_separates_touching_nuclei_everywhere(tmp_path: Path) -> None:
    torch.manual_seed(0)
    settings = settings_of("model=u_net", "model.init_features=4", HEADS, f"view.image_size={SIDE}")
    task = SegmentationTask(build_model(settings["model"]), View(**settings["view"]), settings)
    predictor = load(saved(task, tmp_path / "heads.ckpt"))
    assert predictor.model.maps == SEPARATING  # type: ignore[union-attr]  # a Network
    predictor.separation = Watershed(0.2, 0.5, 0)
    image = (torch.rand(80, 100, 3) * 255).byte().numpy()
    whole = predictor.segment(image)
    kept = EncodedImage(predictor, image).segment()
    assert (whole.instances == kept.instances).all()
    assert (whole.mask == kept.mask).all()
