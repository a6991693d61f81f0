"""The same names, other contents: that is another run, neither recorded nor interrupted."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.commands import run

from sac_lightning.core.configuration import compose_config, resolve_config
from sac_lightning.data.image_file import write_image
from sac_lightning.runs.unfinished import unfinished_run
from sac_lightning.training import run as training_run

OPTIONS = [
    "data=folder", "scale=smoke", "model=u_net", "trainer.max_epochs=1", "trainer.precision=32-true",
    "callbacks.best.save_last=true", "data.batch_size=2",
]  # fmt: skip
NETWORK = """
from torch import nn
from sac_lightning.baselines.network import Network

class Net(Network):
    def __init__(self, init_features):
        super().__init__()
        self.only = nn.Conv2d(3, 1, 1)

    def forward(self, images):
        return self.only(images / 255)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with images in ``A`` and others in ``B``."""
    monkeypatch.chdir(tmp_path)
    for seed, root in enumerate(("A", "B")):
        generator = np.random.default_rng(seed)
        for folder in ("images", "masks"):
            (tmp_path / root / folder).mkdir(parents=True)
        for number in range(4):
            mask = np.zeros((64, 64), np.uint8)
            mask[8:20, 8:20] = mask[40:50, 30:44] = 255
            image = np.repeat(mask[..., None] // 2, 3, axis=2) + generator.integers(0, 60, (64, 64, 3), np.uint8)
            write_image(tmp_path / root / "masks" / f"{number}.png", mask)
            write_image(tmp_path / root / "images" / f"{number}.png", image)
    return tmp_path


def config_of(*overrides: str) -> dict[str, Any]:
    return resolve_config(compose_config("train", [*OPTIONS, "output_dir=x", *overrides]))


def test_an_interrupted_run_goes_on_with_its_own_images_alone(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = place / "runs" / "one"
    with monkeypatch.context() as interrupted:
        interrupted.setattr(training_run, "tune_checkpoint", lambda *_: exec("raise KeyboardInterrupt"))
        with pytest.raises(KeyboardInterrupt):
            run(OPTIONS, out, "data.root=A")
    assert unfinished_run(out.parent, config_of("data.root=A")) == out
    assert unfinished_run(out.parent, config_of("data.root=B")) is None
    record = run(OPTIONS, out, "data.root=B")
    assert "Going on" not in capsys.readouterr().out
    assert record["contents"]["data"].keys() == {"train", "val", "test"}
    assert run(OPTIONS, place / "runs" / "two", "data.root=B")["metrics"] == record["metrics"]


@pytest.mark.slow
def test_a_sweep_runs_what_has_other_contents_and_skips_what_has_not(place: Path) -> None:
    def sweep(*overrides: str) -> list[str]:
        arguments = [*OPTIONS, "model._target_=own_network.Net", *overrides]
        finished = subprocess.run(
            [sys.executable, "-m", "sac_lightning.train", "-m", *arguments],
            env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return re.findall(r"^#\d .+: (done|recorded before|failed)", finished.stdout, re.M)

    (place / "own_network.py").write_text(NETWORK)
    assert sweep("data.root=A,B") == ["done", "done"]
    (place / "A").rename(place / "C")
    write_image(place / "B" / "masks" / "1.png", np.full((64, 64), 255, np.uint8))
    assert sweep("data.root=C,B") == ["recorded before", "done"]
    (place / "own_network.py").write_text(NETWORK.replace("images / 255", "images / 128"))
    assert sweep("data.root=C") == ["done"]
