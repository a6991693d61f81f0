"""Fluorescence drawn as stained tissue: the same nuclei, dark on light, and the same drawing each time."""

import numpy as np
import pytest

from sac_lightning.data.dyed import DyedSample, describe_nuclei, dye
from sac_lightning.data.synthetic import SceneSample

SCENE = SceneSample("cells", (3,), 128, "fluorescence")


def test_the_nuclei_stay_and_the_colours_are_those_of_a_stain() -> None:
    image, instances = DyedSample(SCENE, 0).load()
    assert np.array_equal(instances, SCENE.load()[1])
    assert image.shape == (128, 128, 3)
    assert image.dtype == np.uint8
    inside, outside = image[instances > 0].mean(axis=0), image[instances == 0].mean(axis=0)
    assert (inside < outside - 20).all(), "nuclei are darker than tissue"
    assert inside[0] < inside[2], "and blue rather than red"


def test_a_drawing_is_the_same_each_time_and_another_by_seed_and_image() -> None:
    first = DyedSample(SCENE, 0).load()[0]
    assert np.array_equal(first, DyedSample(SCENE, 0).load()[0])
    assert not np.array_equal(first, DyedSample(SCENE, 1).load()[0])
    other = SceneSample("others", SCENE.seed, SCENE.side, SCENE.stain)
    assert not np.array_equal(first, DyedSample(other, 0).load()[0])
    assert len({DyedSample(SCENE, 0).name, DyedSample(SCENE, 1).name, SCENE.name}) == 3


def test_what_shines_more_in_a_nucleus_takes_more_of_the_stain() -> None:
    instances = np.zeros((96, 96), np.int32)
    instances[20:76, 20:76] = 5
    image = np.full((96, 96, 3), 10, np.uint8)
    image[20:76, 20:48] = 60
    image[20:76, 48:76] = 120
    drawn = dye(image, instances, np.random.default_rng(0)).mean(axis=2)
    assert drawn[26:70, 52:70].mean() < drawn[26:70, 26:44].mean() - 10


@pytest.mark.parametrize("count", [0, 2])
def test_label_maps_with_gaps_and_without_nuclei(count: int) -> None:
    instances = np.zeros((64, 64), np.int32)
    if count:
        instances[5:25, 5:25], instances[40:44, 30:60] = 7, 300
    nuclei = describe_nuclei(instances)
    assert nuclei.instances.max() == len(nuclei.radii) == count
    drawn = dye(np.zeros((64, 64, 3), np.uint8), instances, np.random.default_rng(0))
    assert drawn.std() > 0
    if count:
        assert nuclei.aspects[0] == pytest.approx(1, abs=0.01)
        assert nuclei.aspects[1] == pytest.approx(7.5, abs=0.3)
        assert nuclei.radii[0] == pytest.approx(np.sqrt(400 / np.pi))
        assert tuple(nuclei.centres[0]) == (14.5, 14.5)
