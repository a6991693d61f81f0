"""Windows that cover an image, and the table by which contrast is stretched."""

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sac_lightning.core.errors import UserError
from sac_lightning.core.view import View, Window, stretch_table

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


@pytest.mark.parametrize("low", [0, 1, 7, 100])
def test_both_ends_are_reached_whatever_the_range(low: int) -> None:
    tables = {high: stretch_table(low, high) for high in range(low + 1, 256)}
    short = [high for high, table in tables.items() if (table[low], table[high]) != (0, 255)]
    assert not short, f"ranges that are not stretched to 0..255: {short[:5]}"


def test_a_range_of_one_number_is_finite() -> None:
    assert stretch_table(77, 77).tolist() == [0] * 78 + [255] * 178


def test_the_whole_range_is_left_as_it_is() -> None:
    assert stretch_table(0, 255).tolist() == list(range(256))
