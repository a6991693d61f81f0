"""Loaders: the same items for any number of workers and any order, from memory or not."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sac_lightning.core.errors import UserError
from sac_lightning.core.scale import Scale
from sac_lightning.core.view import View
from sac_lightning.data.base import NucleiDataModule, Splits
from sac_lightning.data.epoch_sampler import EpochSampler
from sac_lightning.data.experts import ExpertPoints
from sac_lightning.data.sample import LoadedSample, Sample, TrainingBatch, TrainingWindows, WholeImage, WholeImages
from sac_lightning.data.scene import render_scene
from sac_lightning.images.tone import prepare_image

CROP, SIZE = 40, 32
WINDOWS = View(SIZE, CROP, overlap=0.25, stretch=True)
SIDES = {"train": [(48, 60), (40, 40), (33, 50), (64, 35)], "val": [(48, 60), (36, 80)], "test": [(50, 50)]}


@dataclass
class Counted:
    """A sample that counts how often it is loaded."""

    name: str
    image: np.ndarray
    instances: np.ndarray
    loads: list[str] = field(default_factory=list)

    def load(self) -> tuple[np.ndarray, np.ndarray]:
        self.loads.append(self.name)
        return self.image.copy(), self.instances.copy()


def samples(part: str) -> list[Counted]:
    """Scenes of different sizes, some smaller than a window."""
    scenes = [
        render_scene(np.random.default_rng([len(part), i]), *side, ("fluorescence", "histology")[i % 2])
        for i, side in enumerate(SIDES[part])
    ]
    return [Counted(f"{part}_{i}", image, instances) for i, (image, instances) in enumerate(scenes)]


class Scenes(NucleiDataModule):
    """A data set of a few scenes."""

    def splits(self) -> Splits:
        return Splits(samples("train"), samples("val"), samples("test"))


def scenes(**settings: Any) -> Scenes:
    defaults: dict[str, Any] = {
        "view": WINDOWS,
        "expert_points": ExpertPoints(2),
        "seed": 0,
        "batch_size": 3,
        "workers": 0,
        "crops_per_image": 2,
        "in_memory": False,
    }
    return Scenes(**defaults | settings)


def epoch_of(data: NucleiDataModule, epochs: Sequence[int] = (0,)) -> list[TrainingBatch]:
    """The training batches of these epochs, as Lightning draws them."""
    loader = data.train_dataloader()
    batches: list[Any] = []
    for epoch in epochs:
        assert isinstance(loader.sampler, EpochSampler)
        loader.sampler.set_epoch(epoch)
        batches += loader
    return batches


def images_of(data: NucleiDataModule) -> list[WholeImage]:
    return [*data.val_dataloader(), *data.test_dataloader()]


def assert_same_batches(ones: list[TrainingBatch], others: list[TrainingBatch]) -> None:
    assert len(ones) == len(others) > 0
    for one, other in zip(ones, others, strict=True):
        assert one["names"] == other["names"]
        for key in ("images", "masks", "expert_coords", "expert_labels", "seeds"):
            assert torch.equal(one[key], other[key]), f"{key} differ"  # type: ignore[literal-required]


def assert_same_images(ones: list[WholeImage], others: list[WholeImage]) -> None:
    assert len(ones) == len(others) > 0
    for one, other in zip(ones, others, strict=True):
        assert (one.name, one.seed) == (other.name, other.seed)
        for mine, theirs in (
            (one.image, other.image),
            (one.instances, other.instances),
            (one.expert_points.coords, other.expert_points.coords),
            (one.expert_points.labels, other.expert_points.labels),
        ):
            assert torch.equal(mine, theirs), f"{one.name} differs"


# Training batches


def test_a_batch_is_what_the_task_takes() -> None:
    batches = epoch_of(scenes())
    assert [len(batch["names"]) for batch in batches] == [3, 3, 2]
    for batch in batches:
        count = len(batch["names"])
        assert batch["images"].shape == (count, 3, SIZE, SIZE)
        assert batch["masks"].shape == (count, 1, SIZE, SIZE)
        assert batch["expert_coords"].shape == (count, 2, 2)
        assert batch["expert_labels"].shape == (count, 2)
        assert batch["seeds"].shape == (count,)
        for key in ("images", "masks", "expert_coords"):
            assert batch[key].dtype == torch.float32  # type: ignore[literal-required]
        for key in ("expert_labels", "seeds"):
            assert batch[key].dtype == torch.int64  # type: ignore[literal-required]
        assert batch["images"].isfinite().all()
        assert batch["images"].min() >= 0
        assert batch["images"].max() <= 255
        assert batch["images"].max() > 1, "the model wants 0..255"
        assert batch["masks"].unique().tolist() in ([0, 1], [0], [1])


def test_expert_points_of_a_window_lie_on_its_mask() -> None:
    positive = 0
    for batch in epoch_of(scenes(), epochs=range(3)):
        for mask, coords, labels in zip(
            batch["masks"], batch["expert_coords"], batch["expert_labels"], strict=True
        ):
            for (x, y), label in zip(coords.tolist(), labels.tolist(), strict=True):
                assert label in (1, -1)
                if label == 1:
                    positive += 1
                    assert mask[0, round(y), round(x)] == 1, "an expert does not click beside a nucleus"
    assert positive > 20


def test_each_image_gives_as_many_windows_as_asked_for() -> None:
    names = [name for batch in epoch_of(scenes(crops_per_image=3)) for name in batch["names"]]
    assert sorted(names) == sorted(f"train_{i}" for i in range(4) for _ in range(3))


def test_no_experts_are_an_empty_set() -> None:
    batch = epoch_of(scenes(expert_points=ExpertPoints()))[0]
    assert batch["expert_coords"].shape == (3, 0, 2)
    assert batch["expert_labels"].shape == (3, 0)


def test_the_number_of_workers_changes_nothing() -> None:
    assert_same_batches(epoch_of(scenes(), epochs=[0, 1]), epoch_of(scenes(workers=2), epochs=[0, 1]))


def test_the_number_of_workers_changes_no_whole_image() -> None:
    assert_same_images(images_of(scenes()), images_of(scenes(workers=2)))


def windows(seed: int = 0) -> TrainingWindows:
    return TrainingWindows(samples("train"), WINDOWS, expert_points=ExpertPoints(2), crops_per_image=2, seed=seed)


def test_an_item_does_not_depend_on_what_was_drawn_before() -> None:
    forwards, backwards = windows(), windows()
    places = [(epoch, index) for epoch in (0, 3) for index in range(len(forwards))]
    first = {place: forwards[place] for place in places}
    second = {place: backwards[place] for place in reversed(places)}
    for place in places:
        for key, value in first[place].items():
            other = second[place][key]
            same = torch.equal(value, other) if isinstance(value, Tensor) else value == other
            assert same, f"{key} of {place} differs"


def test_items_differ_between_epochs_windows_and_seeds() -> None:
    pictures = [
        windows(seed)[epoch, index]["images"]
        for seed, epoch, index in ((0, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 0))
    ]
    distinct = {picture.numpy().tobytes() for picture in pictures if isinstance(picture, Tensor)}
    assert len(distinct) == 4


def test_another_seed_gives_other_batches_in_another_order() -> None:
    (first,), (other,) = (epoch_of(scenes(seed=seed, batch_size=8)) for seed in (0, 1))
    pixels = [{window.numpy().tobytes() for window in batch["images"]} for batch in (first, other)]
    assert not pixels[0] & pixels[1], "a window is the same for both seeds"
    assert first["names"] != other["names"]


def test_two_epochs_have_another_order() -> None:
    data = scenes(crops_per_image=5)
    first, second = ([b["names"] for b in epoch_of(data, [epoch])] for epoch in (0, 1))
    assert first != second
    assert sorted(chain(*first)) == sorted(chain(*second))


# Without augmentation


def by_name(batches: list[TrainingBatch]) -> dict[str, list[bytes]]:
    """All that belongs to a window, of the windows of each image."""
    found: dict[str, list[bytes]] = {}
    for batch in batches:
        for i, name in enumerate(batch["names"]):
            parts = [batch[key][i] for key in ("images", "masks", "expert_coords", "expert_labels", "seeds")]  # type: ignore[literal-required]
            found.setdefault(name, []).append(b"".join(part.numpy().tobytes() for part in parts))
    return {name: sorted(windows) for name, windows in found.items()}


def test_without_augmentation_every_epoch_has_the_same_windows_in_another_order() -> None:
    data = scenes(augment=False)
    first, later = (epoch_of(data, [epoch]) for epoch in (0, 4))
    assert by_name(first) == by_name(later)
    assert [batch["names"] for batch in first] != [batch["names"] for batch in later]
    assert by_name(epoch_of(scenes(), [0])) != by_name(epoch_of(scenes(), [4]))


def test_without_augmentation_the_number_of_workers_changes_nothing() -> None:
    alone, helped = (epoch_of(scenes(augment=False, workers=workers), [0, 1]) for workers in (0, 2))
    assert_same_batches(alone, helped)


def test_without_augmentation_windows_of_an_image_and_of_seeds_differ() -> None:
    first, other = (by_name(epoch_of(scenes(augment=False, seed=seed))) for seed in (0, 1))
    roomy = "train_3"  # 64x35 pixels: a window of 40 fits in many places.
    assert len({*first[roomy], *other[roomy]}) == 4


def test_without_augmentation_whole_images_are_the_same_as_with() -> None:
    assert_same_images(images_of(scenes(augment=False)), images_of(scenes()))


# Whole images


def test_a_whole_image_is_at_its_own_size_and_stretched_like_in_training() -> None:
    images = images_of(scenes())
    assert [tuple(image.instances.shape) for image in images] == SIDES["val"] + SIDES["test"]
    for image, sample in zip(images, [*samples("val"), *samples("test")], strict=True):
        assert image.name == sample.name
        assert image.image.dtype == torch.float32
        assert torch.equal(image.instances, torch.from_numpy(sample.instances))
        expected = prepare_image(sample.image, WINDOWS.stretch)
        assert np.array_equal(image.image.permute(1, 2, 0).numpy(), expected)


def folded(index: int, size: int) -> int:
    """The pixel that a mirrored window shows at an index beyond the image."""
    while not 0 <= index < size:
        index = -index if index < 0 else 2 * (size - 1) - index
    return index


def test_a_whole_image_has_a_set_of_experts_per_window_on_its_nuclei() -> None:
    positive = 0
    for image in images_of(scenes(expert_points=ExpertPoints(3))):
        height, width = image.instances.shape
        places = WINDOWS.windows(height, width)
        assert image.expert_points.coords.shape == (len(places), 3, 2)
        assert image.expert_points.labels.shape == (len(places), 3)
        for window, coords, labels in zip(
            places, image.expert_points.coords, image.expert_points.labels, strict=True
        ):
            for (x, y), label in zip(coords.tolist(), labels.tolist(), strict=True):
                if label == -1:
                    assert (x, y) == (0, 0)
                    continue
                positive += 1
                assert label == 1
                row, column = folded(window.top + round(y), height), folded(window.left + round(x), width)
                assert image.instances[row, column] > 0
    assert positive > 10


def test_experts_have_a_seed_of_their_own() -> None:
    first, again, other = (
        [image.expert_points.coords for image in images_of(scenes(seed=seed, expert_points=ExpertPoints(1)))]
        for seed in (0, 0, 5)
    )
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not all(torch.equal(one, two) for one, two in zip(first, other, strict=True))


def test_the_same_image_gets_the_same_experts_in_whatever_place_and_epoch() -> None:
    given = samples("val")
    order, reverse = (WholeImages(listed, WINDOWS, ExpertPoints(2), seed=0) for listed in (given, given[::-1]))
    assert_same_images([order[0, 0], order[0, 1]], [reverse[9, 1], reverse[4, 0]])


def test_each_image_has_a_seed_that_its_name_decides() -> None:
    seeds = {image.name: image.seed for image in images_of(scenes())}
    assert len(set(seeds.values())) == len(seeds)
    assert seeds == {image.name: image.seed for image in images_of(scenes(seed=9))}


def test_a_whole_image_moves_to_another_device_as_a_whole() -> None:
    data = scenes()
    image = images_of(data)[0]
    moved = data.transfer_batch_to_device(image, torch.device("meta"), 0)
    tensors = (moved.image, moved.instances, moved.expert_points.coords, moved.expert_points.labels)
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert (moved.name, moved.seed) == (image.name, image.seed)
    batch = data.transfer_batch_to_device(epoch_of(data)[0], torch.device("meta"), 0)
    assert batch["images"].device.type == "meta"
    assert batch["names"]


# Memory


def test_in_memory_is_the_same_as_from_files_also_in_a_second_epoch() -> None:
    kept, read = scenes(in_memory=True), scenes(in_memory=False)
    assert_same_batches(epoch_of(kept, [0, 1]), epoch_of(read, [0, 1]))
    assert_same_batches(epoch_of(kept, [0]), epoch_of(read, [0]))
    assert_same_images(images_of(kept), images_of(read))
    assert_same_images(images_of(kept), images_of(read))


def test_what_is_in_memory_is_loaded_once_and_left_as_it_was() -> None:
    data = scenes(in_memory=True)
    epoch_of(data, [0, 1, 2])
    assert [sample.loads for sample in counted(data, "train")] == [[sample.name] for sample in samples("train")]
    kept = data.train_dataloader().dataset
    assert isinstance(kept, TrainingWindows)
    for sample, original in zip(kept.samples, samples("train"), strict=True):
        image, instances = sample.load()
        assert np.array_equal(image, original.image)
        assert np.array_equal(instances, original.instances)


def counted(data: NucleiDataModule, part: str) -> list[Counted]:
    """The samples that ``splits`` gave, with their counters."""
    found = getattr(data.samples, part)
    assert all(isinstance(sample, Counted) for sample in found)
    return list(found)


def test_what_is_not_in_memory_is_loaded_for_every_window() -> None:
    data = scenes(in_memory=False, crops_per_image=1)
    epoch_of(data, [0, 1, 2])
    assert all(len(sample.loads) >= 3 for sample in counted(data, "train"))


def test_looking_the_samples_up_reads_nothing() -> None:
    data = scenes(in_memory=True)
    assert data.split_hash
    for part in ("train", "val", "test"):
        assert not any(sample.loads for sample in counted(data, part))
    data.read("val")
    assert all(sample.loads for sample in counted(data, "val"))
    assert not any(sample.loads for sample in counted(data, "train"))


# Splits


def test_the_hash_is_of_who_is_in_which_split() -> None:
    assigned = {f"{part}_{i}": part for part, sides in SIDES.items() for i in range(len(sides))}
    lines = "".join(f"{name},{part}\n" for name, part in sorted(assigned.items()))
    assert scenes().split_hash == hashlib.sha256(lines.encode()).hexdigest()
    assert scenes(in_memory=True).split_hash == scenes().split_hash


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_a_split_without_images_is_refused(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Sequence[Sample]] = {
        name: []
        if name == part
        else [LoadedSample("x", np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.int32))]
        for name in SIDES
    }
    monkeypatch.setattr(Scenes, "splits", lambda self: Splits(**given))
    with pytest.raises(UserError, match=part):
        _ = scenes().samples


# Magnification


def test_windows_of_any_zoom_have_the_size_of_the_input_and_differ() -> None:
    plain, zoomed = (epoch_of(scenes(zoom=zoom)) for zoom in (None, (0.5, 2.0)))
    for batch in zoomed:
        assert batch["images"].shape[1:] == (3, SIZE, SIZE)
        assert batch["masks"].shape[1:] == (1, SIZE, SIZE)
    assert any(not torch.equal(one["images"], other["images"]) for one, other in zip(plain, zoomed, strict=True))
    again = epoch_of(scenes(zoom=(0.5, 2.0)))
    assert all(torch.equal(one["images"], other["images"]) for one, other in zip(again, zoomed, strict=True))


def test_coarser_windows_lose_sharpness_and_keep_their_truth() -> None:
    plain, coarser = (
        chain(*(batch["images"] for batch in epoch_of(scenes(coarser=coarse)))) for coarse in (None, 8)
    )
    sharpness = [float(torch.stack(list(part)).diff(dim=-1).abs().mean()) for part in (plain, coarser)]
    assert sharpness[1] < 0.9 * sharpness[0]
    masks = [[batch["masks"] for batch in epoch_of(scenes(coarser=coarse))] for coarse in (1, 8)]
    assert all(torch.equal(one, other) for one, other in zip(*masks, strict=True)), "the truth is as sharp as ever"


def test_without_augmentation_there_is_no_zoom() -> None:
    plain, zoomed = (epoch_of(scenes(augment=False, zoom=zoom, coarser=4)) for zoom in (None, (0.5, 2.0)))
    assert all(torch.equal(one["images"], other["images"]) for one, other in zip(plain, zoomed, strict=True))


@pytest.mark.parametrize("zoom", [[1.2, 0.8], [0, 1], [1], 1.2, ["a", "b"], [True, 2]])
def test_a_zoom_that_is_no_range_is_refused(zoom: Any) -> None:
    with pytest.raises(UserError, match=r"data\.zoom is .* such as \[0\.8,1\.25\]"):
        scenes(zoom=zoom)


@pytest.mark.parametrize("coarser", [0.5, True, "4"])
def test_a_coarseness_below_that_of_the_image_is_refused(coarser: Any) -> None:
    with pytest.raises(UserError, match=r"data\.coarser is .* such as 4"):
        scenes(coarser=coarser)


class Sized(Scenes):
    """A data set that says what size its pixels have: an image of training and test has half the magnification."""

    def size_of(self, sample: Sample) -> float | None:
        return 0.5 if sample.name in ("train_1", "test_0") else 0.25


def test_images_of_one_data_set_are_brought_to_one_magnification() -> None:
    data = Sized(view=WINDOWS, expert_points=ExpertPoints(2), batch_size=3, crops_per_image=2)
    assert data.own_micrometres == 0.25
    assert data.measure_scale().micrometres == 0.25
    image = data.whole_images("test")[0, 0]
    assert image.factor == 0.5
    assert len(image.expert_points.coords) == len(WINDOWS.at_scale(0.5).windows(50, 50))
    assert [data.whole_images("val")[0, index].factor for index in range(2)] == [1.0, 1.0]
    assert data.factors_by_name("test") == {"test_0": 0.5}


def test_images_are_brought_to_the_magnification_of_a_model_that_was_trained_on_others() -> None:
    data = Sized(view=WINDOWS)
    data.trained = Scale(1.0)
    assert data.whole_images("val")[0, 0].factor == 4
    data.trained = Scale()
    assert data.whole_images("test")[0, 0].factor == 1, "a checkpoint of before does not say its size"
    data.trained = Scale(9.0)
    with pytest.raises(UserError, match="val_0: pixels of"):
        data.whole_images("val")


# In memory


def test_an_image_in_memory_is_prepared_once_however_many_windows_are_cut_from_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepared: list[int] = []

    def prepare(image: Any, stretch: bool) -> Any:
        prepared.append(len(image))
        return prepare_image(image, stretch)

    monkeypatch.setattr("sac_lightning.data.sample.prepare_image", prepare)
    data = scenes(crops_per_image=3, in_memory=True)
    found = epoch_of(data, [0, 1])
    assert len(prepared) == len(data.samples.train)
    assert_same_batches(found, epoch_of(scenes(crops_per_image=3), [0, 1]))
