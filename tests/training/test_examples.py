"""Pictures: what is tinted, what is outlined, and where the points are."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from sac_lightning.data.sample import WholeImage
from sac_lightning.data.windows import WindowPoints
from sac_lightning.inference.drawing import MASK_COLOUR, NEGATIVE_RGB, OPACITY, POSITIVE_RGB, overlay_mask
from sac_lightning.inference.windows import Prediction
from sac_lightning.training.examples import write_examples

GREY = 100


def grey(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), GREY, dtype=np.uint8)


def square(height: int = 12, width: int = 12) -> np.ndarray:
    mask = np.zeros((height, width), dtype=bool)
    mask[3:9, 4:10] = True
    return mask


# overlaid


def test_a_mask_is_outlined_and_tinted_and_the_rest_stays_as_it_is() -> None:
    picture = overlay_mask(grey(12, 12), square())
    inner = np.zeros((12, 12), dtype=bool)
    inner[4:8, 5:9] = True
    assert (picture[~square()] == GREY).all()
    assert (picture[square() & ~inner] == MASK_COLOUR).all()
    tint = (1 - OPACITY) * GREY + OPACITY * np.array(MASK_COLOUR)
    assert np.abs(picture[inner] - tint).max() <= 1
    assert picture.dtype == np.uint8


def test_the_image_itself_is_not_drawn_on() -> None:
    image = grey(12, 12)
    overlay_mask(image, square())
    assert (image == GREY).all()


def test_an_empty_mask_leaves_the_image() -> None:
    assert (overlay_mask(grey(5, 7), np.zeros((5, 7), dtype=bool)) == GREY).all()


def test_a_full_mask_tints_every_pixel() -> None:
    assert (overlay_mask(grey(5, 7), np.ones((5, 7), dtype=bool)) != GREY).any(axis=2).all()


# write_examples


def example(
    name: str = "image",
    size: tuple[int, int] = (12, 12),
    points: tuple[tuple[float, float, int], ...] = (),
) -> tuple[WholeImage, Prediction]:
    """An image with a true square and the same square predicted; points are x, y and label."""
    given = torch.tensor(points).reshape(-1, 3)
    expert_points = WindowPoints(torch.zeros(1, 0, 2), torch.zeros(1, 0, dtype=torch.long))
    image = torch.from_numpy(grey(*size)).permute(2, 0, 1).float()
    mask = torch.from_numpy(square(*size))
    return (
        WholeImage(name, image, mask.int(), expert_points, seed=0),
        Prediction(mask.float(), None, given[:, :2].float(), given[:, 2].long()),
    )


def written(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.array(picture.convert("RGB"))


def has_colour(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(picture.astype(int) - colour).max(axis=2) <= 8).any())


def test_every_example_adds_a_row(tmp_path: Path) -> None:
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    write_examples(one, [example()])
    write_examples(two, [example(), example(size=(20, 31))])
    assert written(two).shape[0] == 2 * written(one).shape[0]
    assert written(two).shape[1] == written(one).shape[1]
    assert sorted(os.listdir(tmp_path)) == ["one.png", "two.png"]


@pytest.mark.parametrize(
    ("points", "positive", "negative"),
    [
        ((), False, False),
        (((5, 5, 1),), True, False),
        (((2, 3, 0),), False, True),
        (((5, 5, 1), (2, 3, 0)), True, True),
    ],
)
def test_points_are_blue_on_nuclei_and_pink_on_background(
    points: tuple[tuple[float, float, int], ...], positive: bool, negative: bool, tmp_path: Path
) -> None:
    write_examples(tmp_path / "examples.png", [example(points=points)])
    picture = written(tmp_path / "examples.png")
    assert has_colour(picture, POSITIVE_RGB) is positive
    assert has_colour(picture, NEGATIVE_RGB) is negative


@pytest.mark.parametrize("name", ["cost_$1_$2", r"$\frac$", "x" * 300, "a\nb"])
def test_any_file_name_can_be_a_title(name: str, tmp_path: Path) -> None:
    write_examples(tmp_path / "examples.png", [example(name)])
    assert written(tmp_path / "examples.png").size


def test_a_failing_write_leaves_the_old_picture_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "examples.png"
    write_examples(path, [example()])
    before = path.read_bytes()

    def half_written(_: Figure, target: Path, **__: object) -> None:
        target.write_bytes(b"half a picture")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", half_written)
    with pytest.raises(OSError, match="No space left"):
        write_examples(path, [example("other")])
    assert os.listdir(tmp_path) == ["examples.png"]
    assert path.read_bytes() == before
