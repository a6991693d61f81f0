"""Whole images through a model: tiled as untiled, at any size, and points back where they belong."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sac_lightning.core.view import View, Window
from sac_lightning.data.windows import WindowPoints, cut_window, to_input_pixels
from sac_lightning.inference.windows import Prediction, run_model, segment
from sac_lightning.model.image_encoder import Backbone
from sac_lightning.model.methods import Generator, Prompts, sam
from sac_lightning.model.segment_any_cell import SAC

TINY = Backbone("tiny", dim=16, depth=1, heads=2, global_blocks=(0,), native_size=64, weights="no_such_file.pth")
WHOLE = View(image_size=None)
quick = settings(max_examples=40)


class PerPixel(nn.Module):
    """A network whose answer for a pixel depends on that pixel alone."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, images: Tensor) -> Tensor:
        self.sizes.append(tuple(images.shape))
        return images.mean(1, keepdim=True) * 0.05 - 6


class Bright(nn.Module):
    """A prompt generator that calls nucleus what is brighter than SAM's mean colour."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean(1, keepdim=True) * 10


def random_image(height: int, width: int, seed: int = 0) -> Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed)) * 255


def tiny_sac(points: int = 0, image_size: int = 64, **options: object) -> SAC:
    torch.manual_seed(0)
    prompts = Prompts(points=points, map_size=32, generator=Generator(2, 2))
    return sam(TINY, replace(prompts, **options), image_size).eval()  # type: ignore[arg-type]


def finder() -> SAC:
    """A SAC that sets a point upon the brightest region and one upon the dark."""
    model = tiny_sac(points=1)
    model.prompt_generator = Bright()
    return model


# Maps


@quick
@given(
    height=st.integers(20, 90),
    width=st.integers(20, 90),
    overlap=st.sampled_from([0.0, 0.25, 0.5]),
    image_size=st.sampled_from([None, 32]),
)
def test_tiled_equals_untiled_for_a_model_of_single_pixels(
    height: int, width: int, overlap: float, image_size: int | None
) -> None:
    image = random_image(height, width)
    tiled = segment(PerPixel(), image, View(image_size, crop=32, overlap=overlap))
    whole = segment(PerPixel(), image, WHOLE)
    assert tiled.probability.shape == whole.probability.shape == (height, width)
    torch.testing.assert_close(tiled.probability, whole.probability, atol=1e-5, rtol=0)
    expected = torch.sigmoid(image.mean(0) * 0.05 - 6)
    torch.testing.assert_close(whole.probability, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(10, 20), (32, 7), (1, 1), (2, 100)])
def test_an_image_smaller_than_the_crop(height: int, width: int) -> None:
    image = random_image(height, width)
    tiled = segment(PerPixel(), image, View(32, crop=32)).probability
    torch.testing.assert_close(tiled, torch.sigmoid(image.mean(0) * 0.05 - 6), atol=1e-5, rtol=0)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 100])
def test_the_batch_size_changes_nothing_but_the_batches(batch_size: int) -> None:
    image = random_image(50, 70)
    view = View(None, crop=32)
    model = PerPixel()
    prediction = segment(model, image, view, batch_size=batch_size)
    assert sum(size[0] for size in model.sizes) == len(view.windows(50, 70)), "not every window once"
    assert max(size[0] for size in model.sizes) <= batch_size
    assert all(size[1:] == (3, 32, 32) for size in model.sizes)
    torch.testing.assert_close(prediction.probability, segment(PerPixel(), image, view).probability)


@pytest.mark.parametrize(
    ("view", "height", "width"),
    [
        (View(64, crop=32), 50, 70),
        (View(16, crop=32), 50, 70),
        (View(64, crop=None), 40, 90),
        (View(64, crop=128), 50, 70),
    ],
    ids=["enlarged", "reduced", "whole and stretched", "mirrored and reduced"],
)
def test_a_resized_input_gives_a_map_of_the_image(view: View, height: int, width: int) -> None:
    rows = torch.linspace(0, 200, height)[:, None]
    columns = torch.linspace(0, 55, width)[None, :]
    image = (rows + columns).expand(3, height, width)  # smooth, so that resizing does little
    model = PerPixel()
    probability = segment(model, image, view).probability
    assert all(size[2:] == (view.image_size, view.image_size) for size in model.sizes)
    assert probability.shape == (height, width)
    difference = (probability - torch.sigmoid(image.mean(0) * 0.05 - 6)).abs()
    assert difference.max() < 0.06, "the map is shifted or turned against its image"


def test_the_middle_of_a_window_counts_more_than_its_edge() -> None:
    class Marks(nn.Module):
        """Certain of nucleus in the first window of a batch, of background in the others."""

        def forward(self, images: Tensor) -> Tensor:
            logits = torch.full((len(images), 1, *images.shape[-2:]), -100.0)
            logits[0] = 100.0
            return logits

    # Two windows, starting at 0 and 16, that share columns 16 to 31.
    probability = segment(Marks(), random_image(32, 48), View(None, crop=32, overlap=0.5)).probability
    assert (probability[:, :16] == 1).all()
    assert (probability[:, 32:] == 0).all()
    shared = probability[5, 16:32]
    assert (shared.diff() < 0).all(), f"no smooth passage from one window to the next: {shared}"
    assert shared[0].item() == pytest.approx(16 / 17), "weights 16 (16 from the end) and 1 (the first)"


@pytest.mark.parametrize("value", [-200.0, 200.0])
def test_probabilities_stay_between_0_and_1(value: float) -> None:
    class Constant(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.full((len(images), 1, 8, 8), value)

    probability = segment(Constant(), random_image(50, 47), View(None, crop=32, overlap=0.6)).probability
    assert probability.unique().tolist() == [float(value > 0)]


def test_a_plain_network_has_no_points_and_no_generator() -> None:
    prediction = segment(PerPixel(), random_image(40, 40), View(None, crop=32))
    assert prediction.generator_maps is None
    assert prediction.point_coords.shape == (0, 2)
    assert prediction.point_labels.shape == (0,)
    assert prediction.point_labels.dtype == torch.int64


def test_no_gradient_is_kept() -> None:
    model = nn.Conv2d(3, 1, 1)
    assert not segment(model, random_image(20, 20), WHOLE).probability.requires_grad


# Points


def expert_round_trip(view: View, height: int, width: int) -> tuple[Tensor, Prediction]:
    """Expert points (T, 2, 2) in window pixels, and what comes out for them."""
    windows = view.windows(height, width)
    side = torch.tensor([windows[0].width, windows[0].height])
    coords = torch.rand(len(windows), 2, 2, generator=torch.Generator().manual_seed(3)) * (side - 1)
    labels = torch.tensor([1, 0]).expand(len(windows), 2)
    prediction = segment(tiny_sac(), random_image(height, width), view, WindowPoints(coords, labels), batch_size=2)
    corners = torch.tensor([[w.left, w.top] for w in windows])
    return coords + corners[:, None], prediction


VIEWS = pytest.mark.parametrize(
    ("view", "height", "width"),
    [
        (View(64, crop=64), 64, 64),
        (View(64, crop=64), 90, 70),
        (View(64, crop=32), 50, 70),
        (View(64, crop=100), 120, 150),
        (View(64, crop=None), 40, 90),
        (View(64, crop=48), 30, 20),
    ],
    ids=["one window", "windows", "enlarged", "reduced", "whole and stretched", "smaller than a window"],
)


@VIEWS
def test_expert_points_come_out_where_they_went_in(view: View, height: int, width: int) -> None:
    expected, prediction = expert_round_trip(view, height, width)
    torch.testing.assert_close(prediction.point_coords, expected.reshape(-1, 2), atol=1e-3, rtol=0)
    assert prediction.point_labels.tolist() == [1, 0] * len(expected)
    assert prediction.probability.shape == (height, width)
    assert prediction.probability.isfinite().all()


@VIEWS
def test_the_model_gets_expert_points_in_its_own_pixels(view: View, height: int, width: int) -> None:
    seen: list[Tensor] = []
    model = tiny_sac()
    model.register_forward_pre_hook(lambda module, args: seen.append(args[1]))
    windows = view.windows(height, width)
    middle = torch.tensor([(windows[0].width - 1) / 2, (windows[0].height - 1) / 2])
    coords = middle.expand(len(windows), 1, 2)
    expert_points = WindowPoints(coords, torch.ones(len(windows), 1, dtype=torch.long))
    segment(model, random_image(height, width), view, expert_points)
    arrived = torch.cat(seen)
    assert len(arrived) == len(windows)
    expected = torch.full_like(arrived, 31.5)
    torch.testing.assert_close(arrived, expected, msg="the middle of a window is not the middle of the input")


def test_a_window_with_only_padding_has_no_points() -> None:
    view = View(64, crop=32, overlap=0.0)
    coords = torch.zeros(2, 3, 2)
    labels = torch.full((2, 3), -1)
    coords[1, 0], labels[1, 0] = torch.tensor([4.0, 9.0]), 1
    prediction = segment(tiny_sac(), random_image(32, 64), view, WindowPoints(coords, labels))
    torch.testing.assert_close(prediction.point_coords, torch.tensor([[36.0, 9.0]]))
    assert prediction.point_labels.tolist() == [1]
    assert prediction.probability.isfinite().all()


def test_nothing_but_padding_gives_no_points_at_all() -> None:
    expert_points = WindowPoints(torch.zeros(1, 2, 2), torch.full((1, 2), -1))
    prediction = segment(tiny_sac(), random_image(40, 40), View(64, crop=64), expert_points)
    assert prediction.point_coords.shape == (0, 2)


def test_padding_stays_at_the_origin_when_points_are_scaled() -> None:
    coords = torch.tensor([[[3.0, 5.0], [0.0, 0.0]]])
    view = View(image_size=64)
    scaled = to_input_pixels(coords, torch.tensor([[1, -1]]), Window(0, 0, width=32, height=16), view)
    assert scaled.tolist() == [[[6.5, 21.5], [0.0, 0.0]]]


@pytest.mark.parametrize(
    "view", [View(64, crop=64), View(64, crop=32), View(64, crop=None), View(64, crop=96)], ids=str
)
def test_automatic_points_are_in_pixels_of_the_image(view: View) -> None:
    image = torch.zeros(3, 80, 100)
    image[:, 50:58, 60:68] = 255  # its middle is (63.5, 53.5)
    prediction = segment(finder(), image, view)
    positive = prediction.point_coords[prediction.point_labels == 1]
    negative = prediction.point_coords[prediction.point_labels == 0]
    assert len(negative) == len(view.windows(80, 100)), "each window has a dark region"
    assert len(positive) >= 1
    distance = (positive - torch.tensor([63.5, 53.5])).norm(dim=1)
    assert distance.min() < 1, f"no point at the middle of the square: {positive.tolist()}"
    for x, y in negative.round().long().tolist():
        inside = 0 <= x < 100 and 0 <= y < 80  # A window may reach beyond the image.
        assert not inside or image[0, y, x] == 0, f"the negative point ({x}, {y}) lies on the square"


def test_the_generator_has_a_map_of_its_own() -> None:
    image = torch.zeros(3, 80, 100)
    image[:, 40:56, 56:72] = 255
    prediction = segment(finder(), image, View(64, crop=64))
    assert prediction.generator_maps is not None
    found = prediction.generator_maps[0] > 0.5
    assert found.shape == (80, 100)
    assert found[42:54, 58:70].all(), "the generator's map does not show the square"
    found[38:58, 54:74] = False
    assert not found.any(), "the generator's map shows what is not there"


def test_random_points_do_not_depend_on_the_batch_size() -> None:
    model = tiny_sac(points=3, selection="R", threshold=0.0)
    image, view = random_image(70, 90), View(64, crop=48)
    one, all_at_once, other = (
        segment(model, image, view, seed=seed, batch_size=size) for seed, size in ((5, 1), (5, 100), (6, 100))
    )
    torch.testing.assert_close(one.point_coords, all_at_once.point_coords)
    torch.testing.assert_close(one.probability, all_at_once.probability, atol=1e-5, rtol=0)
    assert not torch.equal(other.point_coords, one.point_coords), "another seed gives the same points"


def test_windows_get_seeds_of_their_own() -> None:
    model = tiny_sac(points=2, selection="R", threshold=0.0)
    image = torch.full((3, 48, 96), 90.0)  # two windows that look the same
    coords = segment(model, image, View(64, crop=48, overlap=0.0), seed=1).point_coords
    first, second = coords[:4], coords[4:] - torch.tensor([48.0, 0.0])
    assert not torch.allclose(first, second), "two windows draw the same random points"


def test_run_model_gives_a_plain_network_the_form_of_sac() -> None:
    images = random_image(16, 16)[None].expand(2, -1, -1, -1)
    output = run_model(PerPixel(), images, WindowPoints(torch.zeros(2, 1, 2), torch.ones(2, 1)))
    assert output.logits.shape == (2, 1, 16, 16)
    assert output.iou is None
    assert output.generator_logits is None
    assert output.point_coords.shape == (2, 0, 2)
    assert output.point_labels.shape == (2, 0)


# Cutting


@quick
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    top=st.integers(-25, 0),
    left=st.integers(-25, 0),
    below=st.integers(0, 25),
    right=st.integers(0, 25),
)
def test_cut_mirrors_as_numpy_does(height: int, width: int, top: int, left: int, below: int, right: int) -> None:
    image = torch.arange(2 * height * width).view(2, height, width)
    window = Window(left, top, width - left + right, height - top + below)
    expected = np.pad(image.numpy(), ((0, 0), (-top, below), (-left, right)), mode="reflect")
    np.testing.assert_array_equal(cut_window(image, window).numpy(), expected)


@quick
@given(left=st.integers(0, 8), top=st.integers(0, 6), width=st.integers(1, 4), height=st.integers(1, 4))
def test_cut_within_the_image_is_a_slice(left: int, top: int, width: int, height: int) -> None:
    image = torch.arange(10 * 12).view(1, 10, 12)
    expected = image[:, top : top + height, left : left + width]
    assert torch.equal(cut_window(image, Window(left, top, width, height)), expected)
