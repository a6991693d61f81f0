"""The predictor: images of any size in, masks out; expert points arrive where the person clicked."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage.filters import threshold_otsu
from tests.commands import saved, settings_of
from torch import nn

import sac_lightning
from sac_lightning.baselines.otsu import Otsu
from sac_lightning.core.errors import UserError
from sac_lightning.core.view import View
from sac_lightning.images.tone import prepare_image
from sac_lightning.inference.predictor import Nuclei, Predictor, load
from sac_lightning.inference.windows import segment
from sac_lightning.model.build import build_model
from sac_lightning.model.lora import lora_layers
from sac_lightning.model.register import FOLDER
from sac_lightning.training.task import SegmentationTask

SIZE, CROP = 64, 32
WHOLE, WINDOWS = View(SIZE), View(SIZE, CROP, overlap=0.25)
IMAGES = {"square": (64, 64), "wide": (40, 90), "small": (20, 25), "large": (70, 100)}


def make_model(tiny: list[str], *overrides: str) -> nn.Module:
    """A model whose every parameter counts, LoRA's B and the positions included."""
    torch.manual_seed(0)
    model = build_model(settings_of(*tiny, *overrides)["model"])
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return model


@pytest.fixture
def lora(tiny: list[str]) -> nn.Module:
    """A model without points of its own."""
    return make_model(tiny, "model=lora")


@pytest.fixture
def sac(tiny: list[str]) -> nn.Module:
    """A model with one pair of points of its own, drawn at random."""
    return make_model(tiny, "model=sac", "prompts.selection=R")


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


every_size = pytest.mark.parametrize(("height", "width"), IMAGES.values(), ids=IMAGES)
every_view = pytest.mark.parametrize("view", [WHOLE, WINDOWS], ids=["whole", "windows"])


# The answer


@every_view
@every_size
def test_the_mask_has_the_size_of_the_image(height: int, width: int, view: View, sac: nn.Module) -> None:
    nuclei = Predictor(sac, view).segment(picture(height, width))
    assert nuclei.mask.shape == nuclei.probability.shape == (height, width)
    assert nuclei.mask.dtype == bool
    assert nuclei.probability.dtype == np.float32
    assert np.isfinite(nuclei.probability).all()
    assert nuclei.probability.min() >= 0
    assert nuclei.probability.max() <= 1
    assert np.array_equal(nuclei.mask, nuclei.probability > 0.5)


@every_view
@every_size
def test_automatic_points_are_told_in_pixels_of_the_image(
    height: int, width: int, view: View, sac: nn.Module
) -> None:
    nuclei = Predictor(sac, view).segment(picture(height, width))
    assert 1 <= len(nuclei.points) == len(nuclei.labels) <= 2 * len(view.windows(height, width))
    assert set(nuclei.labels.tolist()) <= {0, 1}, "padding is no point"
    if view is WHOLE:
        assert (nuclei.points >= -0.5).all()
        assert (nuclei.points <= np.array([width, height]) - 0.5).all()


def test_the_same_image_gets_the_same_answer(sac: nn.Module) -> None:
    predictor = Predictor(sac, WINDOWS)
    first, again = (predictor.segment(picture(40, 90)) for _ in range(2))
    assert np.array_equal(first.probability, again.probability)
    assert np.array_equal(first.points, again.points)


def test_the_seed_decides_which_random_points_are_taken(sac: nn.Module) -> None:
    predictor = Predictor(sac, WHOLE)
    first, again, other = (predictor.segment(picture(64, 64), seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(first.points, again.points)
    assert not np.array_equal(first.points, other.points)


def test_the_image_is_left_as_it_is(lora: nn.Module) -> None:
    image = picture(40, 50)
    Predictor(lora, View(SIZE, stretch=True)).segment(image)
    assert np.array_equal(image, picture(40, 50))


def test_the_view_stretches_the_contrast() -> None:
    dark = np.full((40, 50, 3), 2, np.uint8)
    dark[10:30, 12:40] = 12
    probabilities = [
        Predictor(Brightness(), View(None, stretch=stretch)).segment(dark).probability for stretch in (True, False)
    ]
    assert np.ptp(probabilities[0]) > 0.9
    assert np.ptp(probabilities[1]) < 0.1


class Brightness(nn.Module):
    """Probability of nucleus = red / 255, and no prompts."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.logit((images[:, :1] / 255).clamp(1e-6, 1 - 1e-6))


def test_windows_of_a_plain_network_make_one_seamless_picture() -> None:
    image = picture(70, 100)
    nuclei = Predictor(Brightness(), View(CROP, CROP, overlap=0.25)).segment(image)
    assert np.abs(nuclei.probability - image[..., 0] / 255).max() < 1e-4
    assert nuclei.points.shape == (0, 2)
    assert nuclei.labels.shape == (0,)


def test_otsu_is_a_predictor_too() -> None:
    image = np.where(picture(30, 41)[..., :1] > 200, 220, 30).astype(np.uint8).repeat(3, axis=2)
    nuclei = Predictor(Otsu(), View(None)).segment(image, [[3.0, 4.0]])
    assert np.array_equal(nuclei.mask, image[..., 0] > threshold_otsu(image[..., 0]))


def test_a_model_in_training_mode_is_put_into_eval_mode(sac: nn.Module) -> None:
    assert not any(module.training for module in Predictor(sac.train(), WHOLE).model.modules())


# Expert points


def located(nuclei: Nuclei) -> list[tuple[float, float, int]]:
    """Every prompt as x, y in pixels and label, rounded to a thousandth, sorted."""
    rows = zip(nuclei.points.tolist(), nuclei.labels.tolist(), strict=True)
    return sorted((round(x, 3), round(y, 3), label) for (x, y), label in rows)


@every_size
def test_given_points_are_used_where_they_were_given(height: int, width: int, lora: nn.Module) -> None:
    given = [(3.0, 17.0, 1), (width - 1.0, height - 1.0, 0), (0.0, 0.0, 1), (7.25, 2.5, 0)]
    points = np.array(given)
    nuclei = Predictor(lora, WHOLE).segment(picture(height, width), points[:, :2], points[:, 2].astype(int))
    assert located(nuclei) == sorted(given)


@every_size
def test_every_window_that_holds_a_point_gets_it(height: int, width: int, lora: nn.Module) -> None:
    given = [(3.0, 17.0, 1), (width - 1.0, height - 1.0, 0), (0.0, 0.0, 1), (width // 2, height // 2, 0)]
    expected = [
        (x, y, label)
        for window in WINDOWS.windows(height, width)
        for x, y, label in given
        if window.left <= x < window.left + CROP and window.top <= y < window.top + CROP
    ]
    points = np.array(given)
    nuclei = Predictor(lora, WINDOWS).segment(picture(height, width), points[:, :2], points[:, 2].astype(int))
    assert located(nuclei) == sorted(expected)
    assert set(expected) == set(given)


@every_view
@every_size
def test_a_point_at_the_very_edge_is_not_lost(height: int, width: int, view: View, lora: nn.Module) -> None:
    for x, y in ((-0.5, -0.5), (width - 0.51, height - 0.51)):
        nuclei = Predictor(lora, view).segment(picture(height, width), [(x, y)])
        assert len(nuclei.points) >= 1
        assert nuclei.points == pytest.approx(np.tile((x, y), (len(nuclei.points), 1)), abs=1e-3)


@every_view
def test_a_point_changes_the_answer_and_so_does_its_label(view: View, lora: nn.Module) -> None:
    predictor, image = Predictor(lora, view), picture(64, 64)
    answers = [
        predictor.segment(image),
        predictor.segment(image, [[20, 30]], [1]),
        predictor.segment(image, [[20, 30]], [0]),
        predictor.segment(image, [[50, 9]], [1]),
    ]
    for i, one in enumerate(answers):
        for other in answers[i + 1 :]:
            assert not np.allclose(one.probability, other.probability, atol=1e-6)


def test_given_points_stand_beside_the_automatic_ones(sac: nn.Module) -> None:
    predictor, image = Predictor(sac, WHOLE), picture(64, 64)
    automatic, together = predictor.segment(image), predictor.segment(image, [[20, 30]])
    assert located(together) == sorted([*located(automatic), (20.0, 30.0, 1)])


@pytest.mark.parametrize("form", [list, tuple, np.array, torch.tensor])
def test_points_may_come_in_any_form(form: Callable[[list[list[int]]], Any], lora: nn.Module) -> None:
    nuclei = Predictor(lora, WHOLE).segment(picture(64, 64), form([[20, 30], [5, 6]]))
    assert located(nuclei) == [(5.0, 6.0, 1), (20.0, 30.0, 1)], "without labels every point is a nucleus"


@pytest.mark.parametrize("nothing", [[], np.zeros((0, 2))])
def test_no_points_are_none(nothing: Any, lora: nn.Module) -> None:
    predictor, image = Predictor(lora, WHOLE), picture(64, 64)
    assert np.array_equal(predictor.segment(image, nothing).probability, predictor.segment(image).probability)


# What is refused


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8, 3), dtype=np.float32),
        np.zeros((8, 8, 3), dtype=np.uint16),
        np.zeros((8, 8), dtype=np.uint8),
        np.zeros((8, 8, 4), dtype=np.uint8),
        np.zeros((3, 8, 8), dtype=np.uint8),
        np.zeros((1, 8, 8, 3), dtype=np.uint8),
    ],
    ids=["float", "16 bits", "grey", "alpha", "channels first", "batch"],
)
def test_another_form_of_image_is_refused(image: np.ndarray) -> None:
    with pytest.raises(UserError, match="8-bit RGB"):
        Predictor(Otsu(), View(None)).segment(image)


@pytest.mark.parametrize(
    ("points", "labels"),
    [
        ([[50.0, 3.0]], None),
        ([[3.0, 40.0]], None),
        ([[-1.0, 3.0]], None),
        ([[49.5, 3.0]], None),
        ([[5.0, 5.0], [float("nan"), 3.0]], None),
        ([[float("inf"), 3.0]], None),
        ([[5.0, 5.0]], [1, 0]),
        ([[5.0, 5.0]], []),
        ([[5.0, 5.0]], [2]),
        ([[5.0, 5.0]], [-1]),
        ([[5.0, 5.0]], [0.5]),
        ([[5.0, 5.0]], [float("nan")]),
        (None, [1]),
        ([5.0, 5.0], None),
        ([5.0, 5.0, 1.0], None),
        ([[5.0, 5.0, 1.0], [6.0, 6.0, 0.0]], None),
        ([[[5.0, 5.0]]], None),
    ],
)
def test_other_points_or_labels_are_refused(points: Any, labels: Any) -> None:
    with pytest.raises(UserError) as refused:
        Predictor(Otsu(), View(None)).segment(picture(40, 50), points, labels)
    assert "\n" not in str(refused.value)


def test_a_point_outside_is_named_with_the_size_of_the_image() -> None:
    with pytest.raises(UserError, match=r"\(61, 3\).*50x40"):
        Predictor(Otsu(), View(None)).segment(picture(40, 50), [[5, 5], [61, 3]])


# From a checkpoint


@cache
def saved_once(tiny: tuple[str, ...], folder: Path) -> Path:
    settings = settings_of(*tiny, "model=sac", "view.crop=32", "view.stretch=true")
    model = make_model(list(tiny), "model=sac", "view.crop=32", "view.stretch=true")
    task = SegmentationTask(model, View(**settings["view"]), settings, None, batch_size=2)
    folder.mkdir()
    return saved(task, folder / "best.ckpt")


@pytest.fixture
def checkpoint(tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SAC that looks through windows, one file for all tests."""
    return saved_once(tuple(tiny), tmp_path_factory.getbasetemp() / "predictor")


@pytest.mark.parametrize("kind", [str, Path])
def test_a_checkpoint_alone_makes_a_predictor(
    kind: Callable[[Path], Any], checkpoint: Path, tiny: list[str]
) -> None:
    predictor = sac_lightning.load(kind(checkpoint), precision="32-true")
    view = View(SIZE, 32, overlap=0.25, stretch=True)
    assert predictor.view == view
    trained = Predictor(make_model(tiny, "model=sac", "view.crop=32", "view.stretch=true"), view)
    for image in (picture(64, 64), picture(20, 70)):
        one, other = predictor.segment(image), trained.segment(image)
        np.testing.assert_allclose(one.probability, other.probability, atol=1e-5)  # LoRA is merged
        assert np.array_equal(one.points, other.points)


def says(monkeypatch: pytest.MonkeyPatch, bfloat16: bool) -> None:
    """Have the processor say whether it is faster in bfloat16."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": bfloat16}, raising=False)


@pytest.mark.parametrize("precision", ["auto", "bf16-mixed", "32-true"])
@pytest.mark.parametrize("bfloat16", [True, False])
def test_the_networks_compute_in_the_precision(
    precision: str, bfloat16: bool, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(monkeypatch, bfloat16)
    predictor = load(checkpoint, precision=precision)
    image = picture(40, 90)
    is_mixed = bfloat16 if precision == "auto" else precision == "bf16-mixed"
    assert predictor.precision == ("bf16-mixed" if is_mixed else "32-true")
    found = predictor.at_scale(1.0).segment(image)
    full = load(checkpoint, precision="32-true")
    pixels = torch.from_numpy(prepare_image(image, full.view.stretch)).permute(2, 0, 1).float()
    with torch.autocast("cpu", torch.bfloat16, enabled=is_mixed):  # as training and evaluate do
        expected = segment(full.model, pixels, full.view).probability
    assert np.array_equal(found.probability, expected.numpy())
    assert np.array_equal(found.probability, full.segment(image).probability) == (not is_mixed)
    assert found.probability.dtype == np.float32


def test_lora_is_merged_where_it_is_loaded(checkpoint: Path) -> None:
    """A merged layer is the same function at the cost of a plain one."""
    predictor = load(checkpoint, precision="32-true")
    layers = list(lora_layers(predictor.model))
    assert layers
    assert all(layer.merged for layer in layers)
    merged = predictor.segment(picture(40, 90)).probability
    for layer in layers:
        assert layer.q_b.any(), "an update that is none"
        layer.unmerge()
    np.testing.assert_allclose(merged, predictor.segment(picture(40, 90)).probability, atol=1e-5)


def test_a_precision_that_is_none_is_refused(checkpoint: Path) -> None:
    with pytest.raises(UserError, match="precision is half: choose auto, bf16-mixed or 32-true"):
        load(checkpoint, precision="half")


def test_load_is_the_packages_own() -> None:
    assert sac_lightning.load is load
    assert "load" in sac_lightning.__all__
    with pytest.raises(AttributeError, match="unload"):
        _ = sac_lightning.unload


def test_a_gpu_that_is_not_there_is_told(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device in ("cuda", "cuda:1"):
        with pytest.raises(UserError, match="no GPU"):
            load(checkpoint, device=device)


@pytest.mark.parametrize("device", ["gpu", "CPU!", ""])
def test_a_device_that_torch_does_not_know_is_told(device: str, checkpoint: Path) -> None:
    with pytest.raises(UserError, match="cuda"):
        load(checkpoint, device=device)


def test_a_missing_checkpoint_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.ckpt does not exist"):
        load(tmp_path / "none.ckpt")


def test_the_default_is_the_model_that_ships() -> None:
    named, given = load(), load(FOLDER / "nuclei.safetensors")
    assert (named.view, named.separation) == (given.view, given.separation)
    assert all(torch.equal(a, b) for a, b in zip(named.model.parameters(), given.model.parameters(), strict=True))
