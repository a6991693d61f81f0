"""The built-in default data set: the requested scenes, the same for every training seed."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from sac_lightning.core.errors import UserError
from sac_lightning.core.view import View
from sac_lightning.data.experts import ExpertPoints
from sac_lightning.data.sample import Sample
from sac_lightning.data.synthetic import Synthetic

SIDE = 40


def synthetic(**settings: Any) -> Synthetic:
    defaults: dict[str, Any] = {
        "side": SIDE,
        "train": 4,
        "val": 2,
        "test": 3,
        "scene_seed": 0,
        "view": View(SIDE),
        "expert_points": ExpertPoints(),
        "seed": 0,
        "batch_size": 2,
        "workers": 0,
        "crops_per_image": 1,
        "in_memory": False,
    }
    return Synthetic(**defaults | settings)


def samples_of(data: Synthetic) -> dict[str, Sample]:
    return {s.name: s for part in (data.samples.train, data.samples.val, data.samples.test) for s in part}


def scenes_of(data: Synthetic) -> list[tuple[bytes, bytes]]:
    loaded = [sample.load() for sample in samples_of(data).values()]
    return [(image.tobytes(), instances.tobytes()) for image, instances in loaded]


def test_has_as_many_scenes_as_asked_for() -> None:
    data = synthetic()
    assert [len(part) for part in (data.samples.train, data.samples.val, data.samples.test)] == [4, 2, 3]
    assert len(samples_of(data)) == 9, "two scenes have one name"


def test_scenes_are_images_with_instances() -> None:
    for sample in samples_of(synthetic()).values():
        image, instances = sample.load()
        assert image.shape == (SIDE, SIDE, 3)
        assert image.dtype == np.uint8
        assert instances.shape == (SIDE, SIDE)
        assert instances.dtype == np.int32
        assert 0 < (instances > 0).mean() < 1


def test_fluorescence_and_histology_take_turns() -> None:
    for name, sample in samples_of(synthetic(train=6)).items():
        image, _ = sample.load()
        grey = np.abs(np.diff(image.astype(int), axis=2)).max() == 0
        assert grey == name.endswith("fluorescence"), f"{name} is of the other stain"


def test_no_scene_is_in_two_splits() -> None:
    for (one, _), (other, _) in combinations(scenes_of(synthetic(train=6, val=6, test=6)), 2):
        assert one != other


def test_scenes_are_the_same_for_every_training_seed_and_every_loading() -> None:
    data = synthetic(seed=0)
    assert scenes_of(data) == scenes_of(data)
    assert scenes_of(data) == scenes_of(synthetic(seed=7, batch_size=3))
    assert not set(scenes_of(data)) & set(scenes_of(synthetic(scene_seed=1)))


def test_more_training_scenes_leave_the_others_as_they_were() -> None:
    few, many = synthetic(train=2), synthetic(train=6)
    for part in ("val", "test"):
        for one, other in zip(getattr(few.samples, part), getattr(many.samples, part), strict=True):
            assert one == other


def test_a_split_without_scenes_is_refused() -> None:
    with pytest.raises(UserError, match="val"):
        _ = synthetic(val=0).samples


def test_scenes_that_are_too_small_are_refused() -> None:
    with pytest.raises(UserError, match="32"):
        synthetic(side=16).read("train")
