"""The size of pixels: what is believed, what makes a difference, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from sac_lightning.core.errors import UserError
from sac_lightning.core.scale import Scale, check_micrometres, check_mpp, read_scale, side_of_pixel
from sac_lightning.core.view import View

FORTY = Scale(micrometres=0.25)


@pytest.mark.parametrize(("micrometres", "factor"), [(0.125, 2.0), (0.25, 1.0), (0.5, 0.5), (1.0, 0.25)])
def test_the_factor_is_pixels_of_the_image_to_one_of_the_training(micrometres: float, factor: float) -> None:
    assert FORTY.factor_of(micrometres) == factor


@pytest.mark.parametrize("micrometres", [0.2277, 0.2528, 0.25 * 1.149, 0.25 / 1.149])
def test_nearly_the_same_size_is_the_same(micrometres: float) -> None:
    assert FORTY.factor_of(micrometres) == 1


@pytest.mark.parametrize(("micrometres", "word"), [(4.0, "coarse"), (0.01, "fine")])
def test_an_image_out_of_reach_is_refused_with_the_remedy(micrometres: float, word: str) -> None:
    with pytest.raises(UserError, match=rf"times as {word} as the 0.25 µm .* mpp=off"):
        FORTY.factor_of(micrometres)


def test_a_size_is_of_no_use_to_a_model_that_does_not_know_its_own() -> None:
    with pytest.raises(UserError, match="leave mpp out"):
        Scale().factor_of(0.25)


@pytest.mark.parametrize("mpp", [0, -0.25, 250, True, "40x", "nan", "", float("nan"), [0.25]])
def test_what_is_no_size_is_refused(mpp: Any) -> None:
    with pytest.raises(UserError, match=r"mpp is .* such as 0\.25 for 40x"):
        check_mpp(mpp)
    with pytest.raises(UserError, match=r"data\.micrometres is"):
        check_micrometres(mpp)


def test_what_is_a_size_is_taken() -> None:
    assert [check_mpp(mpp) for mpp in (None, "off", 1, 0.25, "0.25")] == [None, "off", 1.0, 0.25, 0.25]
    assert check_micrometres(" 0.5") == 0.5


@pytest.mark.parametrize(
    ("size", "side"),
    [(None, None), ((0.25, 0.25), 0.25), ((0.2, 0.8), 0.4), ((25.4, 25.4), None), ((0.25, 0.0), None)],
)
def test_the_side_of_a_pixel_is_that_of_a_square_as_large(size: Any, side: float | None) -> None:
    assert side_of_pixel(size) == pytest.approx(side) if side else side_of_pixel(size) is None


def test_a_checkpoint_of_before_has_an_empty_scale_and_a_damaged_one_is_refused() -> None:
    assert read_scale(None, Path("a.ckpt")) == Scale()
    assert read_scale({"micrometres": 0.5, "of a later version": "x"}, Path("a.ckpt")) == Scale(0.5)
    for damaged in ("0.25", {"micrometres": "0.25"}, {"diameter": -1.0}):
        with pytest.raises(UserError, match=r"a\.ckpt holds no size"):
            read_scale(damaged, Path("a.ckpt"))


def test_a_view_at_another_scale_sees_the_same_tissue_at_the_same_input() -> None:
    assert View(384, 256, 0.5, stretch=True).at_scale(0.5) == View(384, 128, 0.5, stretch=True)
    assert View(None, 256).at_scale(2) == View(256, 512), "a network of any size has learnt windows of 256 pixels"
    assert View(None, 256).at_scale(1) == View(None, 256)
    assert View(512).at_scale(2) == View(512), "whole images have no other view"
    assert View(64, 3).at_scale(0.1).crop == 1
