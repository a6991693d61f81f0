"""Training samples: image and labels change together, the same way for the same seed, at the input size."""

import albumentations as A
import numpy as np
import pytest
from numpy.typing import NDArray

from sac_lightning.core.view import View
from sac_lightning.data.transforms import apply_transform, training_transform
from sac_lightning.data.turned_window import TurnedWindow

Image = NDArray[np.uint8]
Labels = NDArray[np.int32]


def coded(labels: Labels) -> Image:
    """An image whose three channels spell the label of each pixel: red units, green 256s, blue a mark."""
    return np.stack([labels % 256, labels // 256, np.full_like(labels, 9)], axis=-1).astype(np.uint8)


def numbered(height: int, width: int) -> Labels:
    """A label of its own for every pixel."""
    return np.arange(1, height * width + 1, dtype=np.int32).reshape(height, width)


def geometric(view: View) -> A.Compose:
    """The augmentation without its last step, the jitter of colours."""
    *steps, jitter = training_transform(view).transforms
    assert isinstance(jitter, A.ColorJitter)
    return A.Compose(steps)


def random_image(height: int, width: int) -> Image:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


CROPS = pytest.mark.parametrize(
    ("height", "width"), [(32, 32), (60, 45), (20, 50), (50, 20), (11, 13), (3, 70), (1, 1)]
)


@CROPS
@pytest.mark.parametrize("seed", range(4))
def test_image_and_labels_stay_together(height: int, width: int, seed: int) -> None:
    labels = numbered(height, width)
    image, cut = apply_transform(geometric(View(32, crop=32)), coded(labels), labels, seed)
    assert image.shape == (32, 32, 3)
    assert cut.shape == (32, 32)
    np.testing.assert_array_equal(image, coded(cut), err_msg="image and labels show different pixels")
    assert set(np.unique(cut)) <= set(np.unique(labels)), "labels appear that were not there"


@CROPS
def test_sizes_and_kinds(height: int, width: int) -> None:
    labels = numbered(height, width)
    for view in (View(32, crop=32), View(32, crop=16), View(16, crop=32), View(32), View(None, crop=32)):
        side = view.image_size or 32
        image, cut = apply_transform(training_transform(view), random_image(height, width), labels, 1)
        assert image.shape == (side, side, 3), f"{view}"
        assert cut.shape == (side, side), f"{view}"
        assert image.dtype == np.uint8
        assert cut.dtype == np.int32


def test_without_any_size_the_image_keeps_its_own() -> None:
    labels = numbered(20, 30)
    image, cut = apply_transform(geometric(View(None)), coded(labels), labels, 0)
    assert image.shape == (20, 30, 3)
    np.testing.assert_array_equal(image, coded(cut))


@pytest.mark.parametrize("view", [View(32, crop=32), View(48), View(None)], ids=str)
def test_a_seed_fixes_image_and_labels(view: View) -> None:
    labels = numbered(60, 60)
    image = random_image(60, 60)
    transform = training_transform(view)
    first = apply_transform(transform, image, labels, 7)
    apply_transform(transform, image, labels, 8)
    again = apply_transform(transform, image, labels, 7)
    fresh = apply_transform(training_transform(view), image, labels, 7)
    for other in (again, fresh):
        np.testing.assert_array_equal(first[0], other[0], err_msg="the same seed gives another image")
        np.testing.assert_array_equal(first[1], other[1], err_msg="the same seed gives other labels")


def test_seeds_reach_all_windows_symmetries_and_colours() -> None:
    labels = numbered(40, 40)
    image = random_image(40, 40)
    transform = training_transform(View(32, crop=32))
    samples = [apply_transform(transform, image, labels, seed) for seed in range(200)]
    corners = {(int(cut.min()), int(cut[0, 0]), int(cut[0, -1])) for _, cut in samples}
    assert len({smallest for smallest, _, _ in corners}) > 60, "of 81 windows, only a few are ever drawn"
    turned = {tuple(np.argsort([cut[0, 0], cut[0, -1], cut[-1, 0], cut[-1, -1]]).tolist()) for _, cut in samples}
    assert len(turned) == 8, f"{len(turned)} of the eight symmetries are drawn"
    repainted = [not np.array_equal(picture, image.reshape(-1, 3)[cut - 1]) for picture, cut in samples]
    assert 120 < sum(repainted) < 190, f"colours jittered in {sum(repainted)} of 200, 160 expected"


def test_without_augmentation_a_window_shows_the_image_as_it_is() -> None:
    labels = numbered(40, 40)
    image = random_image(40, 40)
    transform = training_transform(View(32, crop=32), augment=False)
    corners = set()
    for seed in range(40):
        picture, cut = apply_transform(transform, image, labels, seed)
        top, left = divmod(int(cut[0, 0]) - 1, 40)
        np.testing.assert_array_equal(cut, labels[top : top + 32, left : left + 32], err_msg="it is turned")
        np.testing.assert_array_equal(picture, image[top : top + 32, left : left + 32], err_msg="colours changed")
        corners.add((top, left))
    assert len(corners) > 20, "windows are not drawn at random"


def test_without_augmentation_and_windows_nothing_is_random() -> None:
    labels, image = numbered(40, 30), random_image(40, 30)
    for view in (View(32), View(None)):
        transform = training_transform(view, augment=False)
        first, other = (apply_transform(transform, image, labels, seed) for seed in (0, 1))
        np.testing.assert_array_equal(first[0], other[0])
        np.testing.assert_array_equal(first[1], other[1])


def test_the_jitter_is_mild() -> None:
    image = np.full((32, 32, 3), (200, 120, 180), dtype=np.uint8)
    labels = np.ones((32, 32), dtype=np.int32)
    transform = training_transform(View(32, crop=32))
    means = np.stack([apply_transform(transform, image, labels, s)[0].mean((0, 1)) for s in range(60)])
    assert np.abs(means - (200, 120, 180)).max() < 80


@pytest.mark.parametrize(("side", "size"), [(64, 32), (128, 32), (100, 32), (32, 48), (16, 64)])
def test_labels_are_resized_without_mixing_or_shift(side: int, size: int) -> None:
    columns = np.tile(np.arange(side, dtype=np.int32), (side, 1))
    ramp = np.stack([columns, columns.T, columns], axis=-1).astype(np.uint8)
    image, labels = apply_transform(geometric(View(size)), ramp, columns, 0)
    assert labels.shape == (size, size)
    channel = min((0, 1), key=lambda c: np.abs(image[..., c].astype(int) - labels).mean())
    shift = float((labels - image[..., channel].astype(float)).mean())
    assert abs(shift) <= 0.51, f"labels lie {shift:.2f} pixels of the original beside their image"


def test_labels_of_a_resized_image_are_never_interpolated() -> None:
    labels = np.zeros((50, 50), dtype=np.int32)
    labels[10:30, 10:30], labels[10:30, 30:45] = 1, 1000
    for size in (16, 32, 64, 90):
        _, resized = apply_transform(training_transform(View(size)), random_image(50, 50), labels, 3)
        assert set(np.unique(resized)) == {0, 1, 1000}, f"at {size} px there are labels {np.unique(resized)}"


def test_all_labels_of_a_16_bit_map_survive() -> None:
    labels = np.full((40, 40), 65535, dtype=np.int32)
    labels[:20] = 300
    _, cut = apply_transform(training_transform(View(40)), random_image(40, 40), labels, 0)
    assert set(np.unique(cut)) == {300, 65535}


def test_the_originals_are_not_touched() -> None:
    image, labels = random_image(40, 40), numbered(40, 40)
    image_before, labels_before = image.copy(), labels.copy()
    for seed in range(5):
        apply_transform(training_transform(View(40)), image, labels, seed)
    np.testing.assert_array_equal(image, image_before)
    np.testing.assert_array_equal(labels, labels_before)


# augment=strong


def test_strong_windows_show_the_image_as_it_is_or_turned_with_its_labels() -> None:
    """Red and green spell a place, as smoothly as a turned image is read between pixels."""
    side = 128
    rows, columns = np.mgrid[:side, :side]
    image = np.stack([rows * 2, columns * 2, np.zeros_like(rows)], axis=2).astype(np.uint8)
    labels = (rows // 8 * 16 + columns // 8 + 1).astype(np.int32)
    window = A.Compose([TurnedWindow(32)])
    askew = 0
    for seed in range(40):
        picture, cut = apply_transform(window, image, labels, seed)
        row, column = (picture[..., channel] / 2 for channel in (0, 1))
        middle = (slice(8, 24), slice(8, 24))  # Away from what is mirrored.
        y, x = np.divmod(cut - 1, 16)
        assert (np.abs(row - (y * 8 + 3.5))[middle] <= 4.6).all(), f"seed {seed}: labels are elsewhere"
        assert (np.abs(column - (x * 8 + 3.5))[middle] <= 4.6).all(), f"seed {seed}: labels are elsewhere"
        upright = np.ptp(row, axis=1).max() == 0 and np.ptp(column, axis=0).max() == 0
        askew += not upright
        if upright:
            top, left = int(row[0, 0]), int(column[0, 0])
            np.testing.assert_array_equal(cut, labels[top : top + 32, left : left + 32])
    assert 10 < askew < 30, "half of the windows are turned"


@CROPS
def test_strong_windows_have_the_input_size_whatever_the_images(height: int, width: int) -> None:
    labels = numbered(height, width)
    for view in (View(32, crop=32), View(48, crop=32), View(16, crop=32), View(32), View(None)):
        transform = training_transform(view, augment="strong")
        image, cut = apply_transform(transform, random_image(height, width), labels, 3)
        size = (height, width) if view.image_size is None else (view.image_size, view.image_size)
        assert image.shape == (*size, 3)
        assert cut.shape == size
        assert set(np.unique(cut)) <= set(np.unique(labels))


def test_strong_windows_are_enlarged_between_pixels_as_predict_does() -> None:
    """The default's are nearly the nearest pixel: few numbers of a ramp are new ones."""
    ramp = np.repeat(np.arange(0, 160, 10, dtype=np.uint8)[None, :, None], 16, axis=0).repeat(3, axis=2)
    labels = np.ones((16, 16), dtype=np.int32)
    found = {}
    for augment in (True, "strong"):
        *geometry, _ = training_transform(View(64, crop=16), augment=augment).transforms[:3]
        picture, _ = apply_transform(A.Compose(geometry), ramp, labels, 0)
        found[augment] = len(np.unique(picture))
    assert found["strong"] > found[True]


def test_strong_light_varies_more_than_the_mild_jitter_and_stays_the_same_for_a_seed() -> None:
    image = np.full((32, 32, 3), (200, 120, 180), dtype=np.uint8)
    labels = np.ones((32, 32), dtype=np.int32)
    spread = {}
    for augment in (True, "strong"):
        transform = training_transform(View(32, crop=32), augment=augment)
        means = np.stack([apply_transform(transform, image, labels, s)[0].mean((0, 1)) for s in range(60)])
        again = np.stack([apply_transform(transform, image, labels, s)[0].mean((0, 1)) for s in range(60)])
        np.testing.assert_array_equal(means, again)
        spread[augment] = means.std(axis=0)
    assert (spread["strong"] > spread[True]).all()
