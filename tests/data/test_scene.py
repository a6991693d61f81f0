"""Synthetic scenes: images and instance maps as documented, with nuclei of realistic number, size and contrast."""

from typing import get_args

import numpy as np
import pytest
from skimage.filters import threshold_otsu
from skimage.measure import label, regionprops

from sac_lightning.core.errors import UserError
from sac_lightning.data.scene import Stain, render_scene

Scene = tuple[np.ndarray, np.ndarray]
STAINS: tuple[Stain, ...] = get_args(Stain)
SEEDS = range(16)


@pytest.fixture(scope="module")
def scenes() -> dict[Stain, list[Scene]]:
    """Sixteen scenes of 256 x 256 pixels for each stain."""
    return {
        stain: [render_scene(np.random.default_rng(seed), 256, 256, stain) for seed in SEEDS] for stain in STAINS
    }


def otsu_dice(image: np.ndarray, instances: np.ndarray) -> float:
    """Dice of the smaller class of a global Otsu threshold on the grey image."""
    grey = image.mean(axis=2)
    mask = grey > threshold_otsu(grey)
    if mask.mean() > 0.5:
        mask = ~mask
    truth = instances > 0
    return float(2 * (mask & truth).sum() / (mask.sum() + truth.sum()))


@pytest.mark.parametrize("stain", STAINS)
def test_same_seed_gives_the_same_bytes_and_another_seed_does_not(stain: Stain) -> None:
    first, again, other = (render_scene(np.random.default_rng(seed), 96, 128, stain) for seed in (7, 7, 8))
    assert first[0].tobytes() == again[0].tobytes()
    assert first[1].tobytes() == again[1].tobytes()
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[1], other[1])


@pytest.mark.parametrize("stain", STAINS)
@pytest.mark.parametrize(("height", "width"), [(32, 32), (32, 200), (201, 67), (256, 256)])
def test_shapes_and_types(stain: Stain, height: int, width: int) -> None:
    image, instances = render_scene(np.random.default_rng(0), height, width, stain)
    assert image.shape == (height, width, 3)
    assert image.dtype == np.uint8
    assert instances.shape == (height, width)
    assert instances.dtype == np.int32
    assert image.std() > 0


@pytest.mark.parametrize("stain", STAINS)
def test_every_label_is_one_connected_region_of_visible_size(
    scenes: dict[Stain, list[Scene]], stain: Stain
) -> None:
    for _, instances in scenes[stain]:
        labels = np.unique(instances)
        assert labels.tolist() == list(range(len(labels)))
        for region in regionprops(instances):
            assert region.area >= 20
            assert label(region.image, connectivity=2).max() == 1


@pytest.mark.parametrize("stain", STAINS)
def test_smallest_scene_always_holds_a_nucleus(stain: Stain) -> None:
    for seed in range(60):
        _, instances = render_scene(np.random.default_rng(seed), 32, 32, stain)
        assert instances.max() >= 1
        assert (instances > 0).mean() < 0.8


@pytest.mark.parametrize("stain", STAINS)
def test_some_nuclei_touch_and_some_are_cut_by_the_border(scenes: dict[Stain, list[Scene]], stain: Stain) -> None:
    touching = cut = 0
    for _, instances in scenes[stain]:
        left, right = instances[:, :-1], instances[:, 1:]
        touching += bool(((left != right) & (left > 0) & (right > 0)).any())
        cut += bool(np.concatenate([instances[0], instances[-1], instances[:, 0], instances[:, -1]]).any())
    assert touching >= len(SEEDS) // 2
    assert cut >= len(SEEDS) // 2


@pytest.mark.parametrize(("stain", "least", "most"), [("fluorescence", 0.02, 0.34), ("histology", 0.07, 0.40)])
def test_count_size_and_coverage_vary_within_their_ranges(
    scenes: dict[Stain, list[Scene]], stain: Stain, least: float, most: float
) -> None:
    counts = [instances.max() for _, instances in scenes[stain]]
    coverage = [(instances > 0).mean() for _, instances in scenes[stain]]
    radii = [np.sqrt(np.median(np.bincount(i.ravel())[1:]) / np.pi) for _, i in scenes[stain]]
    assert min(counts) >= 2
    assert max(counts) <= 160
    assert max(counts) > 3 * min(counts)
    assert least <= min(coverage)
    assert max(coverage) <= most
    assert max(coverage) > 2 * min(coverage)
    assert min(radii) >= 5.5
    assert max(radii) <= 20
    assert max(radii) > 1.4 * min(radii)


def test_a_larger_scene_holds_more_nuclei_of_the_same_size() -> None:
    small = [render_scene(np.random.default_rng(seed), 160, 160, "histology")[1] for seed in range(5)]
    large = [render_scene(np.random.default_rng(seed), 480, 480, "histology")[1] for seed in range(5)]
    ratio = sum(i.max() for i in large) / sum(i.max() for i in small)
    assert 5 < ratio < 14, f"nine times the area should hold about nine times the nuclei, not {ratio:.1f} times"


def test_fluorescence_is_grey_and_its_nuclei_are_brighter(scenes: dict[Stain, list[Scene]]) -> None:
    for image, instances in scenes["fluorescence"]:
        assert (image == image[..., :1]).all()
        assert image[instances > 0].mean() > 1.5 * image[instances == 0].mean()


def test_fluorescence_exposure_runs_from_dim_to_bright(scenes: dict[Stain, list[Scene]]) -> None:
    levels = [image[instances > 0].mean() for image, instances in scenes["fluorescence"]]
    assert min(levels) < 45
    assert max(levels) > 90


def test_histology_nuclei_absorb_more_and_are_bluer_than_the_tissue(scenes: dict[Stain, list[Scene]]) -> None:
    for image, instances in scenes["histology"]:
        density = -np.log((image + 1.0) / 256.0)
        inside, outside = density[instances > 0].mean(0), density[instances == 0].mean(0)
        assert (inside > outside).all()
        assert inside[0] / inside.sum() > outside[0] / outside.sum(), (
            "haematoxylin takes more of the red than eosin"
        )


@pytest.mark.parametrize(("stain", "least", "most"), [("fluorescence", 0.75, 0.92), ("histology", 0.4, 0.8)])
def test_a_global_threshold_does_not_solve_it(
    scenes: dict[Stain, list[Scene]], stain: Stain, least: float, most: float
) -> None:
    mean = np.mean([otsu_dice(image, instances) for image, instances in scenes[stain]])
    assert least < mean < most, f"a global Otsu threshold reaches a Dice of {mean:.3f} on {stain}"


def test_an_unknown_stain_is_refused() -> None:
    with pytest.raises(UserError, match=r"'dapi'.*fluorescence or histology"):
        render_scene(np.random.default_rng(0), 64, 64, "dapi")  # type: ignore[arg-type]


@pytest.mark.parametrize(("height", "width"), [(31, 64), (64, 31), (0, 0)])
def test_a_scene_too_small_is_refused(height: int, width: int) -> None:
    with pytest.raises(UserError, match=rf"{height} x {width}.*at least 32"):
        render_scene(np.random.default_rng(0), height, width, "histology")
