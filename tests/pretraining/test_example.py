"""The questions about a scene are right, and the scenes of a training never repeat."""

import numpy as np
import torch

from sac_lightning.pretraining.data import Scenes, make_held_out_scenes, make_scene_loader
from sac_lightning.pretraining.example import PAIRS, Example, make_example
from sac_lightning.pretraining.scene import Scene

SMALLEST = 30


def scene() -> Scene:
    """Draw two discs of kind 1 with 49 and 400 pixels, a bar of kind 2 with 100, and a speck of 4."""
    objects, kinds = np.zeros((64, 64), np.int32), np.zeros((64, 64), np.uint8)
    for number, kind, rows, columns in (
        (1, 1, slice(2, 9), slice(2, 9)),
        (2, 1, slice(20, 40), slice(20, 40)),
        (3, 2, slice(50, 52), slice(5, 55)),
        (4, 2, slice(60, 62), slice(60, 62)),
    ):
        objects[rows, columns], kinds[rows, columns] = number, kind
    return Scene(np.zeros((64, 64, 3), np.uint8), objects, kinds)


def examples(number: int, questions: int = 3) -> list[Example]:
    made = [make_example(np.random.default_rng(i), scene(), questions, SMALLEST) for i in range(number)]
    return [example for example in made if example is not None]


def test_clicks_lie_on_the_objects_asked_for_and_boxes_around_them() -> None:
    for example in examples(50):
        for number, (x, y), box in zip(example["asked"], example["clicks"], example["boxes"], strict=True):
            assert example["objects"][int(y), int(x)] == number
            rows, columns = torch.where(example["objects"] == number)
            tight = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            size = (tight[2:] - tight[:2]).repeat(2)
            assert ((box - tight).abs() <= 0.5 * size + 1e-3).all()
            assert (box >= 0).all()
            assert (box <= 64).all()


def test_small_objects_are_not_asked_for_and_large_ones_more_often() -> None:
    asked = torch.cat([example["asked"] for example in examples(600, questions=1)])
    counts = torch.bincount(asked.long(), minlength=5)
    assert counts[4] == 0
    share = counts[1:4] / counts.sum()
    root = torch.tensor([7.0, 20.0, 10.0])
    assert torch.allclose(share, root / root.sum(), atol=0.06)


def test_a_scene_without_an_object_as_large_has_no_question() -> None:
    assert make_example(np.random.default_rng(0), scene(), 3, smallest=401) is None


def test_the_points_of_a_union_show_its_kinds() -> None:
    seen = set()
    for example in examples(60):
        union, labels = example["union"], example["union_labels"]
        kinds = set(example["kinds"][union].tolist())
        seen.add(tuple(sorted(kinds)))
        assert torch.equal(union, torch.isin(example["kinds"], torch.tensor(sorted(kinds), dtype=torch.uint8)))
        assert (labels == 1).sum() == (labels == 0).sum()
        assert 4 <= (labels == 1).sum() <= PAIRS
        for (x, y), label in zip(example["union_coords"], labels, strict=True):
            if label >= 0:
                assert bool(union[int(y), int(x)]) == (label == 1)
    assert seen == {(1,), (2,), (1, 2)}


def test_no_scene_of_a_training_comes_twice_and_none_is_held_out() -> None:
    training = Scenes(seed=0, first=0, length=2, side=64, questions=2, smallest=SMALLEST)
    images = [training[epoch, index]["image"] for epoch in range(2) for index in range(2)]
    images += [make_held_out_scenes(0, 2, 64, SMALLEST)[0, index]["image"] for index in range(2)]
    images.append(Scenes(1, 0, 2, 64, 2, SMALLEST)[0, 0]["image"])
    for i, image in enumerate(images):
        assert not any(torch.equal(image, other) for other in images[:i])


def test_workers_make_the_same_scenes() -> None:
    scenes = Scenes(seed=0, first=0, length=4, side=64, questions=2, smallest=SMALLEST)
    alone, shared = (list(make_scene_loader(scenes, batch_size=2, workers=workers)) for workers in (0, 2))
    for one, other in zip(alone, shared, strict=True):
        for key in one:
            assert torch.equal(one[key], other[key])  # type: ignore[literal-required]
