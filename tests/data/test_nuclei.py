"""What the shipped weights learn from: only what may be, and nothing of the test."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sac_lightning.core.errors import UserError
from sac_lightning.data import canonical
from sac_lightning.data.dyed import DyedSample
from sac_lightning.data.nuclei import Nuclei

SPLITS = {
    "dsb2018": {"cells": "train", "slide": "train", "v": "val", "t": "test"},
    "monuseg": {"forbidden": "train", "tissue": "val", "kept": "test"},
}
MODALITY = {"slide": "histology_colour"}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Both data sets, of tiny images."""
    monkeypatch.setattr(canonical, "load_split", SPLITS.__getitem__)
    for dataset, names in SPLITS.items():
        for folder in ("images", "instances"):
            (tmp_path / dataset / folder).mkdir(parents=True)
        for name in names:
            Image.fromarray(np.full((40, 40, 3), 9, np.uint8)).save(tmp_path / dataset / "images" / f"{name}.png")
            labels = np.zeros((40, 40), np.uint16)
            labels[8:20, 8:20] = 1
            Image.fromarray(labels).save(tmp_path / dataset / "instances" / f"{name}.png")
        lines = [f"{name},{MODALITY.get(name, 'fluorescence')}" for name in names]
        (tmp_path / dataset / "manifest.csv").write_text("\n".join(["name,modality", *lines, ""]))
    return tmp_path


def test_learns_from_dsb2018_drawings_and_scenes_alone(root: Path) -> None:
    data = Nuclei(root, scenes=2, side=40)
    assert [sample.name for sample in data.samples.train] == [
        "cells",
        "slide",
        "cells dyed 0",
        "cells dyed 1",
        "slide restained 0",
        "slide restained 1",
        "slide restained 2",
        "slide restained 3",
        "scene 0",
        "scene 1",
    ]
    assert [sample.name for sample in data.samples.val] == ["v", "tissue"]
    assert [sample.name for sample in data.samples.test] == ["t"]


def test_draws_each_fluorescence_image_as_often_as_asked(root: Path) -> None:
    drawn = [sample for sample in Nuclei(root, dyed=3, scenes=0).samples.train if isinstance(sample, DyedSample)]
    assert {sample.fluorescence.name for sample in drawn} == {"cells"}
    assert len({sample.load()[0].tobytes() for sample in drawn}) == 3


def test_is_made_again_from_its_settings(root: Path) -> None:
    data = Nuclei(root, dyed=2, restained=1, scenes=4, side=48, scene_seed=5)
    assert data.settings is not None
    settings = {key: value for key, value in data.settings.items() if key not in ("_target_", "name")}
    assert [sample.name for sample in Nuclei(**settings).samples.train] == [
        sample.name for sample in data.samples.train
    ]


def test_says_which_data_set_is_missing(root: Path) -> None:
    (root / "monuseg" / "manifest.csv").unlink()
    with pytest.raises(UserError, match=r"prepare dataset=monuseg"):
        _ = Nuclei(root).samples


@pytest.mark.real_data
def test_the_real_images() -> None:
    data = Nuclei(scenes=0)
    samples = data.samples
    assert (len(samples.train), len(samples.val), len(samples.test)) == (1812, 73, 67)
    forbidden = {path.name for path in data.files()["train"] if "monuseg" in str(path)}
    assert not forbidden
