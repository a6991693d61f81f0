"""The order of an epoch, its shares in a distributed run, and the samples that it loads."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from sac_lightning.core.errors import UserError
from sac_lightning.core.view import View
from sac_lightning.data.epoch_sampler import EpochSampler
from sac_lightning.data.experts import ExpertPoints
from sac_lightning.data.sample import FileSample, LoadedSample, TrainingWindows, WholeImages


def order(sampler: EpochSampler, epoch: int = 0) -> list[int]:
    sampler.set_epoch(epoch)
    pairs = list(sampler)
    assert len(pairs) == len(sampler), "the sampler's length is not what it gives"
    assert {e for e, _ in pairs} <= {epoch}, "the epoch does not travel with the index"
    return [index for _, index in pairs]


def parts(monkeypatch: pytest.MonkeyPatch, length: int, processes: int, shuffle: bool) -> list[list[int]]:
    """What each process of a distributed run gets."""
    shares = []
    for rank in range(processes):
        monkeypatch.setattr(
            "sac_lightning.data.epoch_sampler._rank_and_processes", lambda rank=rank: (rank, processes)
        )
        shares.append(order(EpochSampler(length, shuffle, seed=3), epoch=2))
    return shares


def test_an_epoch_has_every_index_once() -> None:
    assert sorted(order(EpochSampler(20, shuffle=True, seed=0))) == list(range(20))
    assert order(EpochSampler(20, shuffle=False, seed=0)) == list(range(20))


def test_epochs_and_seeds_differ_and_repeat_themselves() -> None:
    first, second = (order(EpochSampler(50, True, seed=1), epoch) for epoch in (0, 1))
    assert first != second, "two epochs have the same order"
    assert first != list(range(50)), "the order is not shuffled"
    assert order(EpochSampler(50, True, seed=1), 0) == first, "the same seed and epoch give another order"
    assert order(EpochSampler(50, True, seed=2), 0) != first, "another seed gives the same order"
    sampler = EpochSampler(50, True, seed=1)
    assert [order(sampler, epoch) for epoch in (1, 0)] == [second, first], "the order depends on what came before"


def test_orders_do_not_touch_the_global_generator() -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    order(EpochSampler(50, True, seed=1))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
@pytest.mark.parametrize("length", [0, 1, 5, 20])
def test_unshuffled_parts_make_the_whole_without_repetition(
    monkeypatch: pytest.MonkeyPatch, length: int, processes: int
) -> None:
    shares = parts(monkeypatch, length, processes, shuffle=False)
    assert sorted(index for share in shares for index in share) == list(range(length))


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
@pytest.mark.parametrize("length", [1, 2, 5, 20])
def test_shuffled_parts_are_equal_and_repeat_no_more_than_needed(
    monkeypatch: pytest.MonkeyPatch, length: int, processes: int
) -> None:
    shares = parts(monkeypatch, length, processes, shuffle=True)
    each = -(-length // processes)
    assert [len(share) for share in shares] == [each] * processes, "unequal parts would stop a distributed run"
    counts = np.bincount([index for share in shares for index in share], minlength=length)
    assert counts.min() >= 1, "an image is left out"
    assert counts.max() <= -(-each * processes // length), "an image is repeated more often than needed"


def test_one_process_takes_part_in_no_group() -> None:
    assert not torch.distributed.is_initialized()
    assert len(EpochSampler(7, shuffle=True, seed=0)) == 7


# Samples


def sample(name: str = "a", height: int = 40, width: int = 50) -> LoadedSample:
    instances = np.zeros((height, width), dtype=np.int32)
    for number, (top, left) in enumerate([(3, 3), (20, 8), (12, 30), (28, 36)], start=1):
        instances[top : top + 8, left : left + 8] = number
    image = np.repeat((instances > 0)[..., None], 3, axis=2).astype(np.uint8) * 180 + 20
    return LoadedSample(name, image, instances)


def windows(seed: int = 0) -> TrainingWindows:
    return TrainingWindows(
        [sample("a"), sample("b")], View(32, crop=32), ExpertPoints(2), crops_per_image=3, seed=seed
    )


def same(first: dict[str, object], second: dict[str, object]) -> bool:
    return all(
        torch.equal(a, b) if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) else a == b
        for a, b in ((first[key], second[key]) for key in first)
    )


def test_a_training_window_depends_on_seed_epoch_and_index_alone() -> None:
    dataset = windows()
    assert len(dataset) == 6
    first = dataset[0, 1]
    assert not same(first, dataset[0, 2]), "two windows of an image are the same"
    assert not same(first, dataset[1, 1]), "two epochs have the same window"
    assert not same(first, windows(seed=5)[0, 1]), "another seed gives the same window"
    assert same(first, dataset[0, 1]), "asking again gives another window"
    assert same(first, windows()[0, 1]), "another process would get another window"


def test_the_number_of_workers_changes_nothing() -> None:
    sampler = EpochSampler(6, shuffle=True, seed=0)
    alone, helped = (
        list(DataLoader(windows(), batch_size=4, sampler=sampler, num_workers=workers)) for workers in (0, 2)
    )
    assert [same(a, b) for a, b in zip(alone, helped, strict=True)] == [True, True]
    assert alone[0]["seeds"].dtype == torch.int64
    assert alone[0]["images"].shape == (4, 3, 32, 32)


def test_a_training_window_is_what_the_model_takes() -> None:
    item = windows()[0, 0]
    images, masks, coords = item["images"], item["masks"], item["expert_coords"]
    assert isinstance(images, torch.Tensor)
    assert isinstance(masks, torch.Tensor)
    assert isinstance(coords, torch.Tensor)
    assert images.dtype == masks.dtype == torch.float32
    assert images.max() > 100, "pixels are not in 0..255"
    assert masks.shape == (1, 32, 32)
    assert set(masks.unique().tolist()) <= {0.0, 1.0}
    bright = images.mean(0) > 110
    assert (bright == masks[0].bool()).all(), "the mask does not lie upon the nuclei of the image"
    labels = item["expert_labels"]
    assert isinstance(labels, torch.Tensor)
    for (x, y), label in zip(coords.long().tolist(), labels.tolist(), strict=True):
        assert label == -1 or masks[0, y, x] == 1, f"the expert point ({x}, {y}) is on no nucleus"


def test_windows_of_one_image_follow_each_other() -> None:
    dataset = windows()
    assert [dataset[0, index]["names"] for index in range(6)] == ["a"] * 3 + ["b"] * 3


def test_a_whole_image_has_expert_points_for_each_window() -> None:
    view = View(32, crop=32, overlap=0.0)
    images = WholeImages([sample()], view, ExpertPoints(2), seed=0)
    item = images[0, 0]
    assert item.image.shape == (3, 40, 50)
    assert item.instances.shape == (40, 50)
    assert item.expert_points.coords.shape == (len(view.windows(40, 50)), 2, 2)
    for window, coords, labels in zip(
        view.windows(40, 50), item.expert_points.coords.long(), item.expert_points.labels, strict=True
    ):
        for (x, y), label in zip(coords.tolist(), labels.tolist(), strict=True):
            on = item.instances[window.top + y, window.left + x] > 0
            assert label == -1 or on, f"the expert point ({x}, {y}) of {window} is on no nucleus"


def test_negative_points_follow_the_positive_ones_in_training_windows() -> None:
    dataset = TrainingWindows([sample()], View(32, crop=32), ExpertPoints(1, negatives=3), 4, seed=0)
    for index in range(4):
        item = dataset[0, index]
        masks, coords, labels = item["masks"], item["expert_coords"], item["expert_labels"]
        assert isinstance(masks, torch.Tensor)
        assert isinstance(coords, torch.Tensor)
        assert isinstance(labels, torch.Tensor)
        assert coords.shape == (4, 2)
        assert labels.tolist() in ([1, 0, 0, 0], [-1, 0, 0, 0])
        under = [masks[0, y, x].item() for x, y in coords[1:].long().tolist()]
        assert under == [0, 0, 0], "an expert calls a nucleus background"


def test_a_whole_image_has_negative_points_for_each_window() -> None:
    view = View(32, crop=32, overlap=0.0)
    item = WholeImages([sample()], view, ExpertPoints(2, negatives=3), seed=0)[0, 0]
    windows = view.windows(40, 50)
    assert item.expert_points.coords.shape == (len(windows), 5, 2)
    for window, coords, labels in zip(
        windows, item.expert_points.coords.long(), item.expert_points.labels, strict=True
    ):
        assert labels[2:].tolist() == [0, 0, 0]
        under = [int(item.instances[window.top + y, window.left + x]) for x, y in coords[2:].tolist()]
        assert under == [0, 0, 0], f"a negative point of {window} is on a nucleus"


def test_random_points_of_a_whole_image_are_the_same_whatever_its_truth() -> None:
    empty = LoadedSample("a", sample().image, np.zeros((40, 50), dtype=np.int32))
    image, other = (
        WholeImages([given], View(32, crop=32), ExpertPoints(2, 2, "random"), seed=0)[0, 0]
        for given in (sample("a"), empty)
    )
    assert image.expert_points.labels.tolist() == [[1, 1, 0, 0]] * len(image.expert_points.labels)
    assert torch.equal(image.expert_points.coords, other.expert_points.coords)


def test_expert_points_of_a_whole_image_depend_on_seed_and_name() -> None:
    def drawn(name: str, seed: int, epoch: int = 0) -> list[object]:
        images = WholeImages([sample(name)], View(64, crop=64), ExpertPoints(3), seed=seed)
        return images[epoch, 0].expert_points.coords.tolist()

    assert drawn("a", 0) == drawn("a", 0, epoch=5), "a test image gets other points in another epoch"
    assert len({str(drawn("a", seed)) for seed in range(5)}) > 1, "seeds make no difference"
    assert len({str(drawn(name, 0)) for name in "abcde"}) > 1, "all images draw alike"


def test_image_and_labels_of_different_sizes_are_refused(tmp_path: Path) -> None:
    image, truth = tmp_path / "image.png", tmp_path / "truth.png"
    Image.fromarray(np.zeros((10, 12, 3), dtype=np.uint8)).save(image)
    Image.fromarray(np.zeros((9, 12), dtype=np.uint8)).save(truth)
    with pytest.raises(UserError, match=r"image\.png is 12x10 pixels but .*truth\.png is 12x9: make the two"):
        FileSample("a", image, truth).load()
