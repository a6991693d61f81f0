"""The model that ships, on images that it was not trained on: bounds a little below the figures of its card."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.processes import Processes

from sac_lightning.data.dsb2018 import DSB2018
from sac_lightning.data.monuseg import MoNuSeg
from sac_lightning.data.sample import Sample
from sac_lightning.data.synthetic import SceneSample
from sac_lightning.inference.predictor import Nuclei, Predictor, load
from sac_lightning.training.metrics.instance_scores import image_figures
from sac_lightning.training.metrics.overlaps import find_overlaps


@pytest.fixture(scope="module")
def shipped() -> Predictor:
    return load()


def mean_figures(shipped: Predictor, samples: Sequence[Sample]) -> tuple[float, float]:
    """Mean AJI and F1 at 0.5."""
    figures = []
    for sample in samples:
        image, instances = sample.load()
        figures.append(image_figures(find_overlaps(segment(shipped, image).instances, instances)))
    return float(np.mean([each["aji"] for each in figures])), float(np.mean([each["f1_50"] for each in figures]))


def segment(shipped: Predictor, image: np.ndarray) -> Nuclei:
    return shipped.segment(image, mpp="off")


def test_drawn_nuclei_are_found_in_both_stains(shipped: Predictor) -> None:
    scenes = [SceneSample(stain, (99, i), 256, stain) for stain in ("fluorescence", "histology") for i in range(2)]
    assert mean_figures(shipped, scenes) > (0.6, 0.75)


def test_an_empty_field_has_no_nuclei(shipped: Predictor) -> None:
    noise = np.random.default_rng(0).normal(0, 2, (256, 256, 3))
    for level in (12, 240):
        assert not segment(shipped, (noise + level).astype(np.uint8)).instances.any()


@pytest.mark.real_data
def test_every_sixth_test_image_of_dsb2018(shipped: Predictor) -> None:
    aji, f1 = mean_figures(shipped, DSB2018().samples.test[::6])
    assert aji > 0.65
    assert f1 > 0.7


@pytest.mark.real_data
def test_tissue_that_it_never_trained_on(shipped: Predictor) -> None:
    aji, f1 = mean_figures(shipped, MoNuSeg().samples.test[:2])
    assert aji > 0.5
    assert f1 > 0.55


def test_predict_needs_nothing_but_an_image(tmp_path: Path, processes: Processes) -> None:
    image, instances = SceneSample("scene", (99, 5), 256, "fluorescence").load()
    Image.fromarray(image).save(tmp_path / "cells.png")
    ended = processes.wait(processes.start("sac_lightning.predict", "images=cells.png", folder=tmp_path))
    assert ended.returncode == 0, ended.stderr
    found = np.asarray(Image.open(tmp_path / "outputs" / "nuclei" / "labels" / "cells.tif"))
    assert abs(int(found.max()) - len(np.unique(instances)) + 1) <= 0.2 * len(np.unique(instances))
