"""Fluorescence drawn as stained tissue: the same nuclei, dark on light, and the same drawing each time."""

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.segmentation import relabel_sequential

from sac_lightning.data.dyed import RADIUS, SIDE, DyedSample, describe_nuclei, draw_open_chromatin, dye, enlarge
from sac_lightning.data.synthetic import SceneSample

SCENE = SceneSample("cells", (3,), 128, "fluorescence")


def test_the_nuclei_stay_and_the_colours_are_those_of_a_stain() -> None:
    image, instances = DyedSample(SCENE, 0).load()
    assert image.shape == (*instances.shape, 3)
    assert (image.dtype, instances.dtype) == (np.uint8, np.int32)
    drawn = [DyedSample(SCENE, seed).load() for seed in range(12)]
    inside = np.mean([image[instances > 0].mean(axis=0) for image, instances in drawn], axis=0)
    outside = np.mean([image[instances == 0].mean(axis=0) for image, instances in drawn], axis=0)
    assert inside[0] < outside[0] - 15, "nuclei are darker than tissue, above all in red"
    assert inside[0] < inside[2], "and blue rather than red"


def test_a_drawing_is_the_same_each_time_and_another_by_seed_and_image() -> None:
    first = DyedSample(SCENE, 0).load()[0]
    assert np.array_equal(first, DyedSample(SCENE, 0).load()[0])
    assert not np.array_equal(first, DyedSample(SCENE, 1).load()[0])
    other = SceneSample("others", SCENE.seed, SCENE.side, SCENE.stain)
    assert not np.array_equal(first, DyedSample(other, 0).load()[0])
    assert len({DyedSample(SCENE, 0).name, DyedSample(SCENE, 1).name, SCENE.name}) == 3


def test_nuclei_are_enlarged_up_to_those_of_tissue_and_stay_apart_and_whole() -> None:
    image, instances = SCENE.load()
    before = np.median(describe_nuclei(instances).radii)
    medians = []
    for seed in range(20):
        larger, labels = enlarge(image, instances, np.random.default_rng(seed))
        assert larger.shape == (*labels.shape, 3)
        assert max(labels.shape) <= SIDE + 1
        if labels.shape == instances.shape:
            assert np.array_equal(relabel_sequential(instances)[0], labels), "nothing was enlarged"
        medians.append(np.median(describe_nuclei(labels).radii))
        assert set(np.unique(labels)) <= set(range(len(np.unique(instances))))
    assert min(medians) >= 0.7 * before, "a part of the image may have the smaller ones"
    assert RADIUS[1] / 2 < max(medians) < 1.5 * RADIUS[1]


def test_open_nuclei_are_paler_inside_than_at_their_edge() -> None:
    instances = np.zeros((120, 120), np.int32)
    disc(instances, 60, 60, 30)
    nuclei = describe_nuclei(instances)
    drawn = [draw_open_chromatin(np.random.default_rng(seed), nuclei) for seed in range(40)]
    assert all((factor[instances == 0] == 1).all() for factor in drawn)
    is_open = [factor for factor in drawn if (factor != 1).any()]
    assert 4 < len(is_open) < 36, "some are, and some are not"
    inside, edge = np.zeros_like(instances), np.zeros_like(instances)
    disc(inside, 60, 60, 20)
    disc(edge, 60, 60, 29.5)
    disc(edge, 60, 60, 28.5, 0)
    pale = np.mean([factor[inside > 0].mean() for factor in is_open])
    assert pale < 0.8
    assert pale < np.mean([factor[edge > 0].mean() for factor in is_open])


def disc(labels: NDArray[np.int32], row: int, column: int, radius: float, label: int = 1) -> None:
    """Draw a disc into a label map."""
    rows, columns = np.ogrid[: labels.shape[0], : labels.shape[1]]
    labels[np.hypot(rows - row, columns - column) <= radius] = label


def test_what_shines_more_in_a_nucleus_takes_more_of_the_stain() -> None:
    instances = np.zeros((96, 96), np.int32)
    instances[20:76, 20:76] = 5
    image = np.full((96, 96, 3), 10, np.uint8)
    image[20:76, 20:48] = 60
    image[20:76, 48:76] = 120
    drawn = np.mean([dye(image, instances, np.random.default_rng(seed)) for seed in range(8)], axis=(0, 3))
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
