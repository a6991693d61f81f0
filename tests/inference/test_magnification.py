"""An image of any magnification is seen at the training's, and answered in its own pixels."""

import warnings
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from sac_lightning.core.errors import UserError
from sac_lightning.core.scale import Scale
from sac_lightning.core.view import View
from sac_lightning.inference.encoded_image import EncodedImage
from sac_lightning.inference.every_prompt import refuse_size
from sac_lightning.inference.magnification import Magnification, find_magnification
from sac_lightning.inference.predictor import Predictor
from sac_lightning.inference.thresholds import EveryPrompt, Watershed, scale_separation

RADIUS = 8
SIDE = 240
VIEW = View(None, 96)
SCALE = Scale(micrometres=0.25, diameter=16.0, structure=14.0, spread=0.25)


class OneSize(nn.Module):
    """Sees dark discs about as large as those of its training, and none that are half or twice as large."""

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in 0..255 to logits (B, 1, H, W)."""
        dark = (images.mean(1, keepdim=True) < 120).float()
        opened, huge = (self._open(dark, side) for side in (2 * RADIUS - 5, 3 * RADIUS))
        return 20 * (opened - huge) - 10

    @staticmethod
    def _open(mask: Tensor, side: int) -> Tensor:
        """Keep of a mask what a square of this side fits into."""
        side = side * 7 // 10 | 1  # the square within a disc
        eroded = 1 - F.max_pool2d(1 - mask, side, 1, side // 2)
        return F.max_pool2d(eroded, side, 1, side // 2) * mask


def discs() -> NDArray[np.uint8]:
    """An image of sixteen dark discs, (SIDE, SIDE, 3)."""
    image = np.full((SIDE, SIDE, 3), 230, np.uint8)
    for row, column in np.ndindex(4, 4):
        cv2.circle(image, (30 + 60 * column, 30 + 60 * row), RADIUS, (60, 60, 60), -1)
    return image


def at(factor: float) -> NDArray[np.uint8]:
    """The image as so many times as many pixels show it."""
    return cv2.resize(discs(), None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def predictor(scale: Scale = SCALE, view: View = VIEW) -> Predictor:
    return Predictor(OneSize(), view, separation=Watershed(0.5, 0.5, 100), scale=scale)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_an_image_of_another_magnification_is_answered_in_its_own_pixels(factor: float) -> None:
    image = at(factor)
    assert predictor().segment(image, mpp="off").instances.max() == 0, "the model sees discs of one size alone"
    nuclei = predictor().segment(image, mpp=0.25 / factor)
    assert nuclei.mask.shape == image.shape[:2]
    assert nuclei.instances.max() == 16
    found = cv2.resize(nuclei.mask.astype(np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_NEAREST).astype(bool)
    truth = discs()[:, :, 0] < 120
    assert (found & truth).sum() > max(0.95 * found.sum(), 0.65 * truth.sum()), "a square leaves a disc's caps out"


def test_an_image_of_the_trainings_magnification_is_left_to_the_bit() -> None:
    plain = Predictor(OneSize(), VIEW, separation=Watershed(0.5, 0.5, 100)).segment(discs())
    for mpp in (0.25, 0.23, 0.28, "off", None):
        np.testing.assert_array_equal(predictor().segment(discs(), mpp=mpp).probability, plain.probability)


def test_the_page_sees_what_the_predictor_sees() -> None:
    image = at(0.5)
    encoded = EncodedImage(predictor().at_scale(0.5), image).segment()
    np.testing.assert_array_equal(encoded.probability, predictor().segment(image, mpp=0.5).probability)


def test_an_image_smaller_than_one_window() -> None:
    assert predictor().segment(at(0.5)[:20, :25], mpp=0.5).instances.max() == 1


def test_areas_are_those_of_the_training() -> None:
    scaled = Predictor(OneSize(), VIEW, separation=Watershed(0.5, 0.6, 100)).at_scale(0.5)
    assert scaled.separation == Watershed(0.5, 0.6, 25)
    assert predictor().at_scale(0.5).at_scale(2).view.crop == VIEW.crop


def test_an_enlarged_image_has_more_windows_to_keep() -> None:
    refuse_size(4000, 4000)
    with pytest.raises(UserError, match="not 64,000,000, which it has where it is enlarged"):
        refuse_size(4000, 4000, 0.5)


# What is taken for the magnification


def find(
    micrometres: tuple[float, float] | None = None,
    mpp: float | str | None = None,
    scale: Scale = SCALE,
    view: View = VIEW,
    image: NDArray[np.uint8] | None = None,
) -> Magnification:
    return find_magnification(scale, view, micrometres, mpp, lambda: discs() if image is None else image)


def test_a_person_goes_before_the_file_and_the_file_before_a_guess() -> None:
    coarse = at(0.25)
    assert find((0.5, 0.5), 1.0, image=coarse).factor == 0.25
    assert find((0.5, 0.5), image=coarse).factor == 0.5
    guess = find(image=coarse)
    assert guess.guessed
    assert guess.factor == pytest.approx(0.25, rel=0.3)
    assert find((0.5, 0.5), "off", image=coarse) == Magnification()


@pytest.mark.parametrize(
    ("micrometres", "said"),
    [((25.4, 25.4), "not believed"), ((4.0, 4.0), "not believed"), (None, "no size of pixels")],
)
def test_a_size_that_no_microscope_has_is_told_and_guessed(
    micrometres: tuple[float, float] | None, said: str
) -> None:
    found = find(micrometres)
    assert found.factor == 1
    assert said in found.note
    assert "mpp=" in found.note


def test_a_model_without_a_size_guesses_whatever_the_file_says() -> None:
    found = find((0.5, 0.5), scale=Scale(None, 16.0, 14.0, 0.25), image=at(0.25))
    assert found.guessed
    assert "mpp" not in found.note, "it could not be used"


def test_what_looks_like_the_training_is_left() -> None:
    wide = Scale(0.25, 16.0, 14.0, spread=1.5)
    assert find(image=at(0.25), scale=wide).factor == 1


def test_what_training_windows_were_enlarged_or_reduced_to_is_left() -> None:
    narrow = Scale(0.25, 16.0, 14.0, spread=0.25)
    assert find(image=at(0.25), scale=narrow).guessed
    assert find(image=at(0.25), scale=replace(narrow, reach=2.0)).factor == 1


def test_where_nothing_is_to_be_seen_nothing_is_guessed() -> None:
    found = find(image=np.full((50, 50, 3), 255, np.uint8))
    assert found.factor == 1
    assert "cannot be guessed" in found.note


def test_pixels_that_are_not_square_keep_their_shape() -> None:
    assert find((0.25, 1.0)).factor == 0.5


def test_checkpoints_of_before_and_whole_images_are_left_without_a_word() -> None:
    assert find((0.5, 0.5), scale=Scale()) == Magnification()
    assert find((0.5, 0.5), view=View(64)) == Magnification()


@pytest.mark.parametrize(("scale", "view"), [(Scale(), VIEW), (SCALE, View(64))], ids=["unknown", "whole images"])
def test_a_size_that_the_model_cannot_use_is_refused(scale: Scale, view: View) -> None:
    with pytest.raises(UserError, match="leave mpp out"):
        find(mpp=0.5, scale=scale, view=view)
    with pytest.raises(UserError, match="leave mpp out"):
        predictor(scale, view).segment(discs(), mpp=0.5)


def test_a_guess_is_said_aloud() -> None:
    with pytest.warns(UserWarning, match="enlarged .* by a guess"):
        predictor().segment(at(0.25))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predictor().segment(discs())


def test_every_prompt_alone_scales_its_areas_too() -> None:
    assert scale_separation(EveryPrompt(0.5, 0.3, 300), 2.0) == EveryPrompt(0.5, 0.3, 1200)
