"""Every script in examples/ runs as its first lines say, and prints what they promise."""

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from sac_lightning.data.scene import render_scene

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = [
    # Lightning's advice to whoever trains for more than a step.
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*is smaller than the logging interval.*"),
]


def run(script: str, *arguments: object) -> None:
    """Run an example as its command line would."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [script, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / script), run_name="__main__")


def write_images(folder: Path, count: int) -> None:
    for kind in ("images", "instances"):
        (folder / kind).mkdir(parents=True)
    for i in range(count):
        image, instances = render_scene(np.random.default_rng(i), 64, 64, "fluorescence")
        Image.fromarray(image).save(folder / "images" / f"{i}.png")
        Image.fromarray(instances.astype(np.uint16)).save(folder / "instances" / f"{i}.png")


def test_a_folder_is_trained_on_and_its_checkpoint_predicts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_images(tmp_path / "mine", count=3)
    run("train_on_a_folder.py", tmp_path / "mine", "--epochs", 1, "--output", tmp_path / "runs")
    printed = capsys.readouterr().out
    assert re.search(r"^dice +[01]\.\d{3}$", printed, re.MULTILINE)
    checkpoint = re.search(r"^checkpoint (.+\.ckpt)$", printed, re.MULTILINE)
    assert checkpoint is not None
    images = [tmp_path / "mine" / "images" / f"{i}.png" for i in (0, 1)]
    run("predict.py", checkpoint[1], *images, "--output", tmp_path / "labels")
    printed = capsys.readouterr().out
    for image in images:
        labels = tifffile.imread(tmp_path / "labels" / f"{image.stem}.tif")
        assert labels.shape == (64, 64)
        assert f"{image.name}: {labels.max()} nuclei on " in printed


def test_own_network_stands_beside_a_small_sac(capsys: pytest.CaptureFixture[str]) -> None:
    run("own_network.py", "--epochs", 1, "--images", 2, "--side", 64)
    printed = capsys.readouterr().out
    for name in ("own", "sac"):
        assert re.search(rf"^{name} +\d\.\d{{3}} +\d\.\d{{3}} +\d\.\d{{3}}$", printed, re.MULTILINE)


def test_the_examples_are_short_and_all_of_them_are_in_their_readme() -> None:
    scripts = sorted(EXAMPLES.glob("*.py"))
    listed = re.findall(r"\(([a-z_]+\.py)\)", (EXAMPLES / "README.md").read_text())
    assert sorted(listed) == [script.name for script in scripts]
