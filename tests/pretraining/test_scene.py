"""Dead-leaves scenes: the properties of their objects and kinds, and their reproducibility from seeds."""

import numpy as np
import pytest
from scipy import ndimage

from sac_lightning.pretraining.scene import Scene, draw_scene
from sac_lightning.pretraining.shapes import Outline, draw_outline
from sac_lightning.pretraining.textures import TILE, make_texture_bank

SIDE = 96


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene(np.random.default_rng([5, i]), SIDE) for i in range(12)]


def test_the_same_seed_gives_the_same_scene_and_another_seed_another(scenes: list[Scene]) -> None:
    again = draw_scene(np.random.default_rng([5, 0]), SIDE)
    assert np.array_equal(again.image, scenes[0].image)
    assert np.array_equal(again.objects, scenes[0].objects)
    assert np.array_equal(again.kinds, scenes[0].kinds)
    assert not np.array_equal(scenes[1].image, scenes[0].image)


def test_every_object_is_one_connected_piece_of_one_kind(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert np.array_equal(scene.objects > 0, scene.kinds > 0)
        for number in np.unique(scene.objects[scene.objects > 0]):
            mask = scene.objects == number
            assert ndimage.label(mask)[1] == 1
            assert len(np.unique(scene.kinds[mask])) == 1


def test_scenes_are_pictures_with_contrast_and_of_many_compositions(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert scene.image.shape == (SIDE, SIDE, 3)
        assert scene.image.dtype == np.uint8
        assert scene.image.std() > 2
        assert scene.kinds.max() >= 1
    covered = [(scene.objects > 0).mean() for scene in scenes]
    assert min(covered) < 0.5
    assert max(covered) > 0.8


def test_objects_can_be_told_from_the_background_by_their_pixels(scenes: list[Scene]) -> None:
    """In the median scene, the contrast at the objects' borders is at least twice that inside them."""
    ratios = []
    for scene in scenes:
        grey = scene.image.astype(float).mean(2)
        step = np.abs(np.diff(grey, axis=1))
        border = np.diff(scene.objects, axis=1) != 0
        ratios.append(step[border].mean() / max(step[~border].mean(), 1))
    assert np.median(ratios) > 2


def test_textures_fill_their_range_and_are_always_the_same() -> None:
    bank = make_texture_bank()
    assert bank.shape[1:] == (TILE, TILE)
    assert len(bank) >= 100
    for tile in bank:
        assert tile.min() == 0
        assert tile.max() == 255
    make_texture_bank.cache_clear()
    assert np.array_equal(make_texture_bank(), bank)


@pytest.mark.parametrize("like", [Outline(0, 0.0, 1.0), Outline(0, 0.3, 1.0), Outline(5, 0.0, 3.0)])
def test_an_outline_has_about_the_area_of_the_unit_circle_and_its_aspect(like: Outline) -> None:
    rng = np.random.default_rng(0)
    areas, aspects = [], []
    for _ in range(200):
        x, y = draw_outline(rng, like).T.astype(float)
        areas.append(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2)  # The shoelace formula.
        spread = np.linalg.svd(np.stack([x - x.mean(), y - y.mean()]), compute_uv=False)
        aspects.append(spread[0] / spread[1])
    assert np.mean(areas) == pytest.approx(np.pi, rel=0.25)
    assert np.median(aspects) == pytest.approx(like.aspect, rel=0.35)
