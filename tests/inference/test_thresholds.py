"""Thresholds: chosen by validation images alone, kept in the checkpoint, read back from it."""

import stat
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Trainer
from numpy.typing import NDArray
from scipy import ndimage
from tests.commands import saved, untrained
from torch import Tensor, nn

from sac_lightning.core.errors import UserError
from sac_lightning.core.view import View
from sac_lightning.data.base import NucleiDataModule, Splits
from sac_lightning.data.sample import LoadedSample
from sac_lightning.inference.predictor import load
from sac_lightning.inference.suppression import Candidate, paint_label_map, suppress_overlaps
from sac_lightning.inference.thresholds import (
    Components,
    EveryPrompt,
    Watershed,
    choose_separation,
    describe_separation,
)
from sac_lightning.inference.watershed import Maps, labels_of_maps
from sac_lightning.inference.windows import Prediction
from sac_lightning.model.checkpoint import load_checkpoint, read_checkpoint
from sac_lightning.training import tuning
from sac_lightning.training.metrics.instance_scores import image_figures
from sac_lightning.training.metrics.overlaps import find_overlaps
from sac_lightning.training.task import SegmentationTask
from sac_lightning.training.tuning import (
    choose_best,
    prompt_qualities,
    store_thresholds,
    tune_checkpoint,
    watershed_qualities,
)

WATERSHED, PROMPTS = Watershed(0.4, 0.7, 30), EveryPrompt(0.6, 0.3, 10)
NO_POINTS, NO_LABELS = torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)


def scene(rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Probability and truth of discs on a grid that touch: where they meet the probability is above 0.6."""
    y, x = np.mgrid[:60, :60]
    middles = [(cy, cx) for cy in (10, 30, 50) for cx in (10, 30, 50)]
    radii = rng.uniform(10.5, 11, len(middles))
    distances = np.array([np.hypot(y - cy, x - cx) / r for (cy, cx), r in zip(middles, radii, strict=True)])
    truth = np.where(distances.min(0) < 1, distances.argmin(0) + 1, 0).astype(np.int32)
    return np.clip(1.2 - 0.6 * distances.min(0), 0, 1).astype(np.float32), truth


# What is chosen


@pytest.mark.parametrize("maps", [0, 1, 3])
def test_every_setting_has_the_pq_of_its_label_map(maps: int) -> None:
    """Maps of the generator: none, one, or those of one that separates."""
    probability, truth = scene(np.random.default_rng(0))
    noise = np.random.default_rng(1).random(probability.shape)
    probability = (0.8 * probability + 0.2 * ndimage.gaussian_filter(noise, 1)).astype(np.float32)
    interior = 0.8 * ndimage.gaussian_filter(noise, 1)
    generator = np.stack([np.sqrt(probability), interior, probability]).astype(np.float32)[:maps] if maps else None
    prediction = Prediction(
        torch.from_numpy(probability),
        None if generator is None else torch.from_numpy(generator),
        NO_POINTS,
        NO_LABELS,
    )
    found = watershed_qualities(prediction, truth)
    assert len(found) == len(tuning.MASKS) * len(tuning.MARKERS) * len(tuning.AREAS)
    assert len({round(quality, 6) for quality in found.values()}) > 5
    for separation, quality in found.items():
        assert isinstance(separation, Watershed)
        whole = Maps(probability > separation.mask, probability, generator)
        assert quality == pytest.approx(pq(labels_of_maps(whole, separation), truth), abs=1e-6)


def test_every_setting_of_prompts_has_the_pq_of_its_label_map() -> None:
    _, truth = scene(np.random.default_rng(0))
    rng = np.random.default_rng(2)
    found_candidates = []
    for label in np.repeat(np.arange(1, 10), 3):
        rows, columns = ndimage.find_objects(truth)[label - 1]
        left, top = max(columns.start + int(rng.integers(-3, 4)), 0), max(rows.start + int(rng.integers(-3, 4)), 0)
        mask = (truth == label)[rows, columns][: 60 - top, : 60 - left]
        found_candidates.append(Candidate(left, top, mask, float(rng.random())))
    for separation, quality in prompt_qualities(found_candidates, truth).items():
        assert isinstance(separation, EveryPrompt)
        kept = suppress_overlaps(found_candidates, separation.overlap)
        labels = paint_label_map(kept, (60, 60), separation.score, separation.min_area)
        assert quality == pytest.approx(pq(labels, truth), abs=1e-6)


def pq(labels: NDArray[np.int32], truth: NDArray[np.int32]) -> float:
    """The metric's own."""
    return image_figures(find_overlaps(labels, truth))["pq"]


def test_the_best_is_that_of_the_highest_mean_and_of_equal_ones_the_first() -> None:
    a, b, c = (Watershed(0.5, marker, 0) for marker in (0.5, 0.6, 0.7))
    assert choose_best([{a: 0.5, b: 0.2, c: 0.4}, {a: 0.1, b: 0.8, c: 0.6}]) == (b, 0.5)
    assert choose_best([{a: 0.0, b: 0.0, c: 0.0}])[0] == a


class Given(nn.Module):
    """Says the red channel of its image."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        return torch.logit((images[:, :1] / 255).clamp(1e-4, 1 - 1e-4)) * self.scale


class Forbidden:
    """An image that nobody may look at."""

    def __init__(self, name: str) -> None:
        self.name = name

    def load(self) -> Any:
        raise AssertionError("a test image was read")


class Scenes(NucleiDataModule):
    """Scenes for validation; none of the others can be read."""

    def splits(self) -> Splits:
        val = []
        for i in range(3):
            probability, truth = scene(np.random.default_rng(i))
            image = np.repeat((probability * 255).round().astype(np.uint8)[:, :, None], 3, axis=2)
            val.append(LoadedSample(f"val{i}", image, truth))
        return Splits(train=[Forbidden("train")], val=val, test=[Forbidden("test")])


@pytest.fixture
def file(tmp_path: Path, tiny: list[str]) -> Path:
    """A checkpoint of an older training, without thresholds, and with what Lightning puts into one."""
    torch.manual_seed(0)
    task = untrained(*tiny, "model=sac", "view.crop=40")
    optimizer_states = [{"state": {0: {"step": torch.tensor(7.0)}}}]
    return saved(task, tmp_path / "best.ckpt", epoch=3, optimizer_states=optimizer_states)


def test_thresholds_come_from_validation_images_and_go_into_the_checkpoint(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    view = View(None)
    data = Scenes(batch_size=1, in_memory=False, view=view)
    task = SegmentationTask(Given(), view, {}, None, batch_size=1)
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, barebones=True)
    tuned = tune_checkpoint(file, "watershed", trainer, task, data)
    assert isinstance(tuned, Watershed)
    assert tuned.marker > 0.6, "up to there one marker would do for all nine"
    assert load_checkpoint(file).thresholds == {"watershed": asdict(tuned)}
    assert "3 validation images" in capsys.readouterr().out
    with pytest.raises(AssertionError, match="a test image was read"):
        data.read("test")


# In the checkpoint


def test_thresholds_come_back_and_nothing_else_changes(file: Path) -> None:
    before = read_checkpoint(file)
    assert load_checkpoint(file).thresholds == {}
    store_thresholds(file, PROMPTS)
    store_thresholds(file, Watershed(0.5, 0.5, 0))
    store_thresholds(file, WATERSHED)
    stored = load_checkpoint(file).thresholds
    assert choose_separation("watershed", stored, file) == WATERSHED
    assert choose_separation("prompts", stored, file) == PROMPTS
    after = torch.load(file, weights_only=True)
    del after["sac_lightning"]["instances"]
    assert after.keys() == before.keys()
    assert after["sac_lightning"] == before["sac_lightning"]
    assert after["optimizer_states"] == before["optimizer_states"]
    for name, tensor in before["state_dict"].items():
        assert torch.equal(after["state_dict"][name], tensor)
    assert [path.name for path in file.parent.iterdir()] == ["best.ckpt"]


def test_a_link_to_a_checkpoint_stays_one(file: Path) -> None:
    link = file.with_name("link.ckpt")
    link.symlink_to(file)
    store_thresholds(link, WATERSHED)
    assert link.is_symlink()
    assert "watershed" in load_checkpoint(file).thresholds


def test_a_checkpoint_that_cannot_be_written_is_as_it_was(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file.read_bytes()

    def full(content: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(UserError, match="No space left") as refused:
        store_thresholds(file, WATERSHED)
    assert "\n" not in str(refused.value)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["best.ckpt"]


def test_a_checkpoint_keeps_its_permissions(file: Path) -> None:
    file.chmod(0o640)
    store_thresholds(file, WATERSHED)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


# Which method it is


def test_the_default_is_the_watershed_where_there_are_thresholds() -> None:
    path = Path("best.ckpt")
    stored = {"watershed": asdict(WATERSHED)}
    assert choose_separation(None, {}, path) == Components()
    assert choose_separation(None, {"prompts": asdict(PROMPTS)}, path) == Components()
    assert choose_separation(None, stored, path) == WATERSHED
    assert choose_separation("components", stored, path) == Components()


def test_a_predictor_takes_the_checkpoints_thresholds(file: Path) -> None:
    assert load(file).separation == Components()
    store_thresholds(file, WATERSHED)
    store_thresholds(file, PROMPTS)
    assert load(file).separation == WATERSHED
    assert load(file, instances="components").separation == Components()
    assert load(file, instances="prompts").separation == PROMPTS
    image = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    for method in ("components", "watershed", "prompts"):
        nuclei = load(file, instances=method).segment(image)
        assert nuclei.instances.shape == nuclei.mask.shape
        assert np.array_equal(nuclei.mask, nuclei.probability > 0.5), "whatever the method"


def test_a_method_without_thresholds_is_told_with_the_remedy(file: Path) -> None:
    for method in ("watershed", "prompts"):
        with pytest.raises(UserError, match=rf"best\.ckpt holds no thresholds.*instances={method} tune=true"):
            load(file, instances=method)
    with pytest.raises(UserError, match="components, watershed or prompts"):
        load(file, instances="sheds")


@pytest.mark.parametrize(
    "stored",
    [
        {"watershed": {"mask": 0.5}},
        {"watershed": {"mask": 0.5, "marker": 0.5, "min_area": 0, "more": 1}},
        {"watershed": {"mask": float("nan"), "marker": 0.5, "min_area": 0}},
        {"watershed": {"mask": "0.5", "marker": 0.5, "min_area": 0}},
        {"watershed": {"mask": 0.5, "marker": 1.5, "min_area": 0}},
        {"watershed": {"mask": 0.5, "marker": 0.5, "min_area": 1.5}},
        {"watershed": {"mask": 0.5, "marker": 0.5, "min_area": -1}},
        {"watershed": None},
        ["watershed"],
        "watershed",
        None,
    ],
    ids=str,
)
def test_thresholds_that_mean_nothing_are_refused(stored: Any) -> None:
    with pytest.raises(UserError, match=r"best\.ckpt holds no thresholds") as refused:
        choose_separation(None, stored, Path("best.ckpt"))
    assert "\n" not in str(refused.value)


def test_what_a_record_says() -> None:
    assert describe_separation(Components()) == {"method": "components"}
    assert describe_separation(WATERSHED) == {"method": "watershed", "mask": 0.4, "marker": 0.7, "min_area": 30}
