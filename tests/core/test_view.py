"""Windows that cover an image, and the stretch of its contrast."""

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sac_lightning.core.errors import UserError
from sac_lightning.core.view import View, Window, stretch_contrast

sides = st.integers(1, 120)
overlaps = st.floats(0, 0.9)
quick = settings(max_examples=150)


def starts(view: View, height: int, width: int) -> tuple[list[int], list[int]]:
    windows = view.windows(height, width)
    return sorted({w.top for w in windows}), sorted({w.left for w in windows})


@quick
@given(height=sides, width=sides, crop=st.integers(1, 40), overlap=overlaps)
def test_windows_cover_every_pixel(height: int, width: int, crop: int, overlap: float) -> None:
    covered = np.zeros((height, width), dtype=bool)
    for window in View(None, crop, overlap).windows(height, width):
        assert (window.width, window.height) == (crop, crop)
        covered[max(window.top, 0) : window.top + crop, max(window.left, 0) : window.left + crop] = True
    assert covered.all(), f"{np.argwhere(~covered)[:3].tolist()} and others are in no window"


@quick
@given(length=sides, crop=st.integers(1, 40), overlap=overlaps)
def test_neighbours_share_at_least_the_overlap(length: int, crop: int, overlap: float) -> None:
    _, lefts = starts(View(None, crop, overlap), 1, length)
    most = max(1.0, crop * (1 - overlap)) + 1e-6  # windows are at least one pixel apart
    steps = np.diff(lefts)
    assert (steps <= most).all(), f"windows of {crop} start at {lefts}: {steps.max()} apart, {most} at most"


@quick
@given(length=sides, crop=st.integers(1, 40), overlap=overlaps)
def test_windows_are_as_few_as_can_be_and_stay_inside(length: int, crop: int, overlap: float) -> None:
    _, lefts = starts(View(None, crop, overlap), 1, length)
    if length <= crop:
        assert len(lefts) == 1
        return
    step = max(1, int(crop * (1 - overlap) + 1e-6))
    assert len(lefts) == 1 + -(-(length - crop) // step)
    assert lefts[0] == 0
    assert lefts[-1] == length - crop


def test_windows_by_hand_row_by_row() -> None:
    # 16 px windows that share a quarter lie 12 px apart at most: 40 px need starts 0, 12, 24 and 28 px 0, 12.
    expected = [Window(left, top, 16, 16) for top in (0, 12) for left in (0, 12, 24)]
    assert View(None, 16, 0.25).windows(28, 40) == expected


def test_windows_are_spread_evenly() -> None:
    _, lefts = starts(View(None, 16, 0.0), 1, 41)
    assert lefts == [0, 12, 25]


@pytest.mark.parametrize(("height", "width"), [(10, 20), (31, 32), (1, 1)])
def test_a_smaller_image_lies_in_the_middle_of_one_window(height: int, width: int) -> None:
    (window,) = View(None, 32).windows(height, width)
    assert (window.width, window.height) == (32, 32)
    for start, length in ((window.left, width), (window.top, height)):
        before, after = -start, start + 32 - length
        assert min(before, after) >= 0
        assert abs(before - after) <= 1


def test_an_image_that_is_small_in_one_direction() -> None:
    assert View(None, 32, 0.0).windows(20, 64) == [Window(0, -6, 32, 32), Window(32, -6, 32, 32)]


@quick
@given(height=sides, width=sides, size=st.sampled_from([None, 64]))
def test_without_a_crop_the_window_is_the_image(height: int, width: int, size: int | None) -> None:
    assert View(size).windows(height, width) == [Window(0, 0, width, height)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 0}, "view.image_size is 0: choose"),
        ({"image_size": 64, "crop": 0}, "view.crop is 0: choose"),
        ({"image_size": 64, "crop": -3}, "view.crop is -3: choose"),
        ({"image_size": 64, "overlap": 1.0}, "view.overlap is 1.0: choose"),
        ({"image_size": 64, "overlap": -0.1}, "view.overlap is -0.1: choose"),
    ],
)
def test_meaningless_sizes_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        View(**options)


def grey(values: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.repeat(np.asarray(values, dtype=np.uint8)[..., None], 3, axis=-1)


def test_the_percentiles_are_at_0_and_255() -> None:
    # 1000 pixels, evenly from 20 to 119: percentiles 0.5 and 99.5 are 20 and 119.
    image = grey(np.repeat(np.arange(20, 120), 10).reshape(25, 40))
    out = stretch_contrast(image)
    assert out.dtype == np.uint8
    assert out.shape == image.shape
    assert out[image == 20].max() == 0
    assert out[image == 119].min() == 255
    middle = out[image == 70].astype(float)
    assert np.abs(middle - 255 * 50 / 99).max() <= 1


@pytest.mark.parametrize("low", [0, 1, 7, 100])
def test_both_ends_are_reached_whatever_the_range(low: int) -> None:
    short = []
    for high in range(low + 1, 256):
        out = stretch_contrast(grey([[low] * 50 + [high] * 50]))
        if (out.min(), out.max()) != (0, 255):
            short.append((high, out.min(), out.max()))
    assert not short, f"ranges that are not stretched to 0..255: {short[:5]}"


def test_a_few_hot_and_dead_pixels_do_not_count() -> None:
    values = np.full((50, 50), 10)
    values[:25] = 20
    values[0, :5], values[49, :5] = 255, 0
    out = stretch_contrast(grey(values))
    assert out[10, 10, 0] == 255
    assert out[40, 10, 0] == 0
    assert out[0, 0, 0] == 255
    assert out[49, 0, 0] == 0


@pytest.mark.parametrize("value", [0, 77, 255])
def test_a_constant_image_stays_constant_and_finite(value: int) -> None:
    out = stretch_contrast(grey(np.full((6, 6), value)))
    assert out.dtype == np.uint8
    assert len(np.unique(out)) == 1


def test_all_channels_share_one_scale() -> None:
    image = np.zeros((10, 10, 3), dtype=np.uint8)
    image[:5] = (100, 50, 0)
    out = stretch_contrast(image)
    assert out[0, 0].tolist() == [255, pytest.approx(127.5, abs=0.5), 0]


def test_an_image_that_fills_the_range_is_left_as_it_is() -> None:
    image = grey(np.repeat(np.arange(256), 4).reshape(32, 32))
    image[0], image[-1] = 0, 255
    assert np.abs(stretch_contrast(image).astype(int) - image).max() <= 1


def test_only_a_view_that_says_so_stretches() -> None:
    image = grey([[10, 20], [10, 20]])
    assert np.array_equal(View(64).prepare(image), image)
    assert np.array_equal(View(64, stretch=True).prepare(image), stretch_contrast(image))


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 3, 3), (40, 30, 3), (201, 333, 3)])
@pytest.mark.parametrize("brightest", [1, 9, 256])
def test_the_stretch_is_that_of_numpys_percentiles(shape: tuple[int, int, int], brightest: int) -> None:
    image = np.random.default_rng(brightest).integers(0, brightest, shape).astype(np.uint8)
    low, high = np.percentile(image, [0.5, 99.5])
    expected = np.clip((image - low) * (255 / max(high - low, 1)), 0, 255)
    # A value that lies between two may be rounded either way.
    assert np.abs(View(None, stretch=True).prepare(image) - expected).max() <= 0.5001
