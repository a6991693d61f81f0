"""Files of any magnification: their sizes of pixels, what is told of them, and results in their own pixels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from sac_lightning.core.scale import Scale
from sac_lightning.images.sample_part import read_sample
from sac_lightning.images.slide import whole_slide
from sac_lightning.inference.predictor import Predictor
from sac_lightning.slides.output import OutputFolder
from sac_lightning.slides.segmentation import segment_file

NONE = np.zeros((0, 3), np.float32)
SCALE = Scale(micrometres=0.25, diameter=12.0, structure=8.0, spread=0.5)


def save(path: Path, image: NDArray[np.uint8], micrometres: float | None = None) -> Path:
    size: dict[str, Any] = {}
    if micrometres is not None:
        size = {"resolution": (1e4 / micrometres,) * 2, "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(path, image, photometric="rgb", **size)
    return path


@pytest.fixture
def output(tmp_path: Path) -> OutputFolder:
    """An output folder that is there."""
    folder = OutputFolder(tmp_path / "output", probability=True)
    folder.make()
    return folder


def test_files_of_two_magnifications_in_one_folder(
    dark: Callable[..., Predictor], scene: Callable[..., Any], output: OutputFolder, tmp_path: Path
) -> None:
    predictor = dark()
    predictor.scale = SCALE
    image = scene(200, 180)
    half = cv2.resize(image, (90, 100), interpolation=cv2.INTER_AREA)
    told = {
        name: segment_file(
            predictor, save(tmp_path / f"{name}.tif", pixels, size), NONE, output, tissue=False
        ).notes
        for name, pixels, size in (("forty", image, 0.25), ("twenty", half, 0.5), ("unknown", image, None))
    }
    assert told["forty"] == ()
    assert told["twenty"] == ("enlarged 2 times (pixels of 0.5 µm, 0.25 in training):",)
    assert "no size of pixels" in told["unknown"][0]
    for name, pixels, mpp in (("forty", image, 0.25), ("twenty", half, 0.5)):
        nuclei = predictor.segment(pixels, mpp=mpp)
        probability = tifffile.imread(output.path / "probabilities" / f"{name}.tif")
        np.testing.assert_array_equal(probability, nuclei.probability, err_msg=f"{name}: as of the whole image")


def test_a_size_that_is_given_goes_before_the_files(
    dark: Callable[..., Predictor], scene: Callable[..., Any], output: OutputFolder, tmp_path: Path
) -> None:
    predictor = dark()
    predictor.scale = SCALE
    path = save(tmp_path / "a.tif", scene(60, 60), 0.25)
    predictor.mpp = 0.5
    assert segment_file(predictor, path, NONE, output).notes[0].startswith("enlarged 2 times")
    predictor.mpp = "off"
    assert segment_file(predictor, path, NONE, output).notes == ()


def test_a_sample_of_a_large_image_is_where_there_is_something() -> None:
    image = np.full((900, 1200), 240, np.uint8)
    image[700:800, 300:420] = np.random.default_rng(0).integers(0, 255, (100, 120))
    sample = read_sample(whole_slide(image), 128)
    assert sample.shape == (128, 128)
    assert (sample < 240).sum() > 0.7 * (image < 240).sum()
    assert read_sample(whole_slide(image[:200, :50]), 128).shape == (200, 50), "a small one is taken whole"
