"""Stained tissue in other colours: the same nuclei at the same places, and the same drawing each time."""

import numpy as np

from sac_lightning.data.restained import MOST, RestainedSample, measure_stain
from sac_lightning.data.synthetic import SceneSample

SCENE = SceneSample("tissue", (3,), 128, "histology")


def test_the_nuclei_stay_dark_and_the_rest_is_drawn() -> None:
    image, instances = RestainedSample(SCENE, 0).load()
    before, truth = SCENE.load()
    assert np.array_equal(instances, truth)
    assert image.shape == before.shape
    assert image.dtype == np.uint8
    assert image[instances > 0, 0].mean() < image[instances == 0, 0].mean() - 20
    assert not np.array_equal(image, before)


def test_a_drawing_is_the_same_each_time_and_another_by_seed() -> None:
    first = RestainedSample(SCENE, 0)
    assert np.array_equal(first.load()[0], RestainedSample(SCENE, 0).load()[0])
    assert not np.array_equal(first.load()[0], RestainedSample(SCENE, 1).load()[0])
    assert len({first.name, RestainedSample(SCENE, 1).name, SCENE.name}) == 3


def test_stain_is_measured_between_background_and_a_typical_nucleus() -> None:
    image, instances = np.full((40, 40, 3), 240, np.uint8), np.zeros((40, 40), np.int32)
    instances[10:30, 10:30] = 1
    image[10:30, 10:30] = 80
    image[18:22, 18:22] = 1
    stain = measure_stain(image, instances)
    assert np.allclose(stain[instances == 0], 0)
    assert np.allclose(stain[11:17, 11:17], 1)
    assert stain.max() == MOST


def test_without_dark_nuclei_there_is_no_stain() -> None:
    image, instances = np.full((40, 40, 3), 20, np.uint8), np.zeros((40, 40), np.int32)
    assert not measure_stain(image, instances).any(), "no nucleus"
    instances[10:30, 10:30] = 1
    image[10:30, 10:30] = 200
    assert not measure_stain(image, instances).any(), "bright nuclei"
    assert not measure_stain(image, np.ones_like(instances)).any(), "no background"
