"""A slide in strips: the numbers of the whole image, whatever the windows, and few rows in memory."""

import dataclasses
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sac_lightning.core.configuration import compose_config, resolve_config
from sac_lightning.core.errors import UserError
from sac_lightning.core.view import View
from sac_lightning.images.slide import whole_slide
from sac_lightning.images.tone import prepare_image, tone_of
from sac_lightning.inference.predictor import Predictor
from sac_lightning.inference.windows import segment
from sac_lightning.model.build import build_model
from sac_lightning.slides.strips import Strip, segment_slide

NO_POINTS = np.zeros((0, 3), dtype=np.float32)


def in_strips(predictor: Predictor, image: NDArray[np.uint8], points: NDArray[np.float32] = NO_POINTS) -> Strip:
    slide = whole_slide(image)
    strips = list(segment_slide(predictor, slide, tone_of(slide, predictor.view.stretch), points))
    assert np.array_equal(np.concatenate([strip.rgb for strip in strips]), image)
    probability = np.concatenate([strip.probability for strip in strips])
    generated = [s.generator_maps for s in strips if s.generator_maps is not None]
    return Strip(
        np.concatenate([strip.raw for strip in strips]),
        np.concatenate([strip.rgb for strip in strips]),
        probability,
        np.concatenate(generated, axis=1) if generated else None,
        np.concatenate([strip.points for strip in strips]),
        np.concatenate([strip.labels for strip in strips]),
    )


@pytest.fixture(scope="module", params=["32-true", "bf16-mixed"])
def sac(tiny: list[str], request: pytest.FixtureRequest) -> Predictor:
    """SAC with points of its own, drawn at random, with a seed per window."""
    torch.manual_seed(0)
    overrides = [*tiny, "model=sac", "prompts.selection=R", "prompts.points=2", "output_dir=x"]
    model = build_model(resolve_config(compose_config("train", overrides))["model"])
    return Predictor(model, View(image_size=64, crop=48, overlap=0.25, stretch=True), precision=request.param)


@pytest.mark.parametrize("size", [(130, 170), (200, 30), (20, 200), (30, 40), (48, 48)], ids=str)
def test_the_numbers_are_those_of_the_whole_image(size: tuple[int, int], sac: Predictor) -> None:
    image = np.random.default_rng(0).integers(0, 200, (*size, 3), dtype=np.uint8)
    points = np.array([[3, 4, 1], [28, 12, 0], [14, 19, 1]], dtype=np.float32)
    strips, whole = in_strips(sac, image, points), sac.segment(image, points[:, :2], points[:, 2])
    assert np.array_equal(strips.probability, whole.probability)
    assert np.array_equal(strips.points, whole.points)
    assert np.array_equal(strips.labels, whole.labels)
    pixels = torch.from_numpy(prepare_image(image, sac.view.stretch)).permute(2, 0, 1).float()
    with sac.autocast():
        generated = segment(sac.model, pixels, sac.view).generator_maps
    assert generated is not None
    assert strips.generator_maps is not None
    assert generated is not None
    assert np.array_equal(strips.generator_maps, generated.numpy())


@pytest.mark.parametrize("crop", [None, 32, 50, 64, 300])
@pytest.mark.parametrize("stretch", [False, True])
def test_the_numbers_are_those_of_the_whole_image_for_every_view(
    crop: int | None,
    stretch: bool,
    dark: Callable[..., Predictor],
    scene: Callable[..., NDArray[np.uint8]],
) -> None:
    predictor, image = dark(crop, stretch), scene(210, 150) // 2
    assert np.array_equal(in_strips(predictor, image).probability, predictor.segment(image).probability)


def test_tile_by_tile_equals_untiled_away_from_borders(
    dark: Callable[..., Predictor], scene: Callable[..., NDArray[np.uint8]]
) -> None:
    image = scene(256, 256)
    tiled, untiled = in_strips(dark(64), image), in_strips(dark(None), image)
    inner = slice(1, -1)  # the model sees a pixel around each
    # Where a window ends within the image its last pixels know less, and the blend gives them the least weight.
    difference = np.abs(tiled.probability - untiled.probability)[inner, inner]
    seams = np.zeros((256, 256), dtype=bool)
    for window in dark(64).view.windows(256, 256):
        for edge in (window.left, window.left + 63):
            seams[:, edge] = True
        for edge in (window.top, window.top + 63):
            seams[edge] = True
    assert difference[~seams[inner, inner]].max() < 1e-5
    assert difference.max() < 0.05, "no seam is to be seen"
    assert (untiled.probability > 0.5).any()


def test_the_strips_follow_one_another_and_are_not_the_whole_image(
    dark: Callable[..., Predictor], scene: Callable[..., NDArray[np.uint8]]
) -> None:
    image = scene(900, 80)
    read: list[tuple[int, int]] = []
    slide = whole_slide(image)

    def noting(top: int, bottom: int) -> NDArray[np.uint8]:
        read.append((top, bottom))
        return image[top:bottom]

    tone = tone_of(slide, False)
    windows: list[int] = []
    strips = segment_slide(
        dark(64), dataclasses.replace(slide, read=noting), tone, NO_POINTS, batch_size=4, progress=windows.append
    )
    assert next(strips).raw.shape[0] < 200
    assert max(bottom for _, bottom in read) < 250, "further rows are not read before they are needed"
    assert sum(len(strip.raw) for strip in strips) < 900
    assert sum(bottom - top for top, bottom in read) == 900, "every row is read once"
    assert sum(windows) == len(dark(64).view.windows(900, 80))


def test_a_point_outside_is_refused(dark: Callable[..., Predictor]) -> None:
    with pytest.raises(UserError, match=r"\(60, 3\)"):
        in_strips(dark(), np.zeros((40, 50, 3), np.uint8), np.array([[60, 3, 1]], dtype=np.float32))


def test_a_model_of_whole_images_refuses_a_large_one_before_it_reads(dark: Callable[..., Predictor]) -> None:
    slide = whole_slide(np.broadcast_to(np.uint8(0), (20_000, 20_000)))
    with pytest.raises(UserError, match=r"400,000,000 pixels.*view\.crop"):
        next(segment_slide(dark(None), slide, tone_of(whole_slide(np.zeros((1, 1), np.uint8)), False), NO_POINTS))


GROWTH = """
import resource, sys, pathlib
import numpy as np, tifffile, torch
from sac_lightning.inference.predictor import Predictor
from sac_lightning.slides import output as results, overlay, segmentation
from sac_lightning.images import slide, tiff_pixels
from sac_lightning.core.view import View

torch.set_num_threads(1)
# As if images were large from half a megapixel on.
tiff_pixels.SMALL_PIXELS = results.LARGE_PIXELS = segmentation.BAND_PIXELS = 2**19
segmentation.MOST_PIXELS = 2**21
overlay.REDUCED_PIXELS = slide.STRIP_PIXELS = 2**19

class Dark(torch.nn.Module):
    def forward(self, images):
        return (110 - images.mean(1, keepdim=True)) / 10

def rows(height):
    rng = np.random.default_rng(0)
    tile = rng.integers(170, 240, (256, 256, 3), dtype=np.uint8)
    tile[100:130, 90:120] = 30
    for _ in range((height // 256) * 8):
        yield tile

folder = pathlib.Path(sys.argv[1])
output = results.OutputFolder(folder / "out")
output.make()
for height in (1024, 10240):
    path = folder / f"{height}.tif"
    tifffile.imwrite(path, rows(height), shape=(height, 2048, 3), dtype=np.uint8, tile=(256, 256),
                     compression="jpeg", photometric="rgb")
    predictor = Predictor(Dark(), View(image_size=None, crop=256, stretch=True))
    segmentation.segment_file(predictor, path, np.zeros((0, 3), np.float32), output)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def test_memory_does_not_grow_with_the_height_of_an_image(tmp_path) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", GROWTH, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    low, high = map(int, finished.stdout.split())
    # The image alone is 57 MB larger, its labels 75 MB, what the model sees 226 MB.
    assert high - low < 100e6, "what the allocator keeps varies by tens of megabytes"
    assert (tmp_path / "out" / "masks" / "10240.tif").exists()
