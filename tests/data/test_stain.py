"""Stains are multiplied in optical density, independently of each other."""

import albumentations as A
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.color import rgb_from_hed

from sac_lightning.data.stain import StainJitter, vary_stains

ONES, ZEROS = np.ones(3), np.zeros(3)


def stained(haematoxylin: float = 1.0, eosin: float = 1.0) -> NDArray[np.uint8]:
    """Mixtures of haematoxylin and eosin in all amounts, times a factor each; scikit-image has their colours."""
    amounts = np.stack(np.meshgrid(np.linspace(0, 0.9, 16), np.linspace(0, 0.7, 16)), axis=2)
    density = (amounts * (haematoxylin, eosin)) @ rgb_from_hed[:2]
    return np.round(255 * np.exp(-density)).astype(np.uint8)


def test_nothing_changed_is_nothing_changed() -> None:
    np.testing.assert_allclose(vary_stains(stained(), ONES, ZEROS), stained(), atol=1)


@pytest.mark.parametrize(("haematoxylin", "eosin"), [(0.7, 1.0), (1.3, 1.0), (1.0, 0.7), (1.0, 1.3), (1.2, 0.8)])
def test_a_stain_gets_weaker_or_stronger_as_if_there_were_less_or_more_of_it(
    haematoxylin: float, eosin: float
) -> None:
    found = vary_stains(stained(), np.array([haematoxylin, eosin, 1.0]), ZEROS)
    np.testing.assert_allclose(found, stained(haematoxylin, eosin), atol=2)


def test_white_stays_white_and_grey_images_are_left_alone() -> None:
    white = np.full((8, 8, 3), 255, np.uint8)
    np.testing.assert_array_equal(vary_stains(white, np.array([1.3, 0.7, 1.2]), ZEROS), white)
    grey = np.random.default_rng(0).integers(0, 255, (8, 8, 1), np.uint8).repeat(3, axis=2)
    np.testing.assert_array_equal(StainJitter(p=1)(image=grey)["image"], grey)


def test_a_seed_gives_the_same_stain() -> None:
    transform = A.Compose([StainJitter(p=1)])
    results = []
    for seed in (1, 1, 2):
        transform.set_random_seed(seed)
        results.append(transform(image=stained())["image"])
    np.testing.assert_array_equal(results[0], results[1])
    assert (results[0] != results[2]).any()
