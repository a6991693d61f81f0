"""``features=DIR`` on the command line: the same figures, an encoder that runs once, errors before any work."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.commands import rerun, run
from tests.processes import Processes
from torch import Tensor

from sac_lightning.core.errors import UserError
from sac_lightning.data.base import NucleiDataModule
from sac_lightning.model.image_encoder import ImageEncoder

FIXED = ["data.augment=false"]


def figures(record: dict[str, Any]) -> dict[str, Any]:
    """All that a run has measured, but for its time."""
    epochs = [{key: value for key, value in row.items() if "/" in key} for row in record.get("history", [])]
    return {key: record[key] for key in ("metrics", "prompt_quality", "images")} | {"history": epochs}


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The batch sizes that the trunk was run on."""
    sizes: list[int] = []
    trunk = ImageEncoder.trunk

    def counted(self: ImageEncoder, images: Tensor) -> Tensor:
        sizes.append(len(images))
        return trunk(self, images)

    monkeypatch.setattr(ImageEncoder, "trunk", counted)
    return sizes


@pytest.mark.parametrize(
    ("model", "precision"), [("sam_ft", "32-true"), ("sam_ft", "bf16-mixed"), ("sam", "32-true")]
)
def test_a_frozen_trunk_runs_once_per_image_and_the_figures_stay(
    model: str,
    precision: str,
    tiny: list[str],
    tiny_weights: Path,
    tmp_path: Path,
    encoded: list[int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = [f"model={model}", "prompts.points=1", "prompts.experts=1", f"backbone.weights={tiny_weights}", *FIXED]
    asked += [f"trainer.precision={precision}", "trainer.max_epochs=3"]
    plain = run(tiny, tmp_path / "plain", *asked)
    passes = "three epochs over four windows and two images, then two to test, and two to tune thresholds on"
    assert sum(encoded) == 3 * (4 + 2) + 2 + 2, passes
    assert "features" not in capsys.readouterr().out
    folder = tmp_path / "kept"
    for name, computed in (("cold", 8), ("warm", 0)):
        encoded.clear()
        kept = run(tiny, tmp_path / name, *asked, f"features={folder}")
        assert figures(kept) == figures(plain)
        assert kept["config_hash"] == plain["config_hash"]
        assert sum(encoded) == computed
        said = capsys.readouterr().out
        assert re.search(rf"^features   {folder} \({8 - computed} images found, {computed} computed,", said, re.M)
    assert len(list(folder.glob("*/*.safetensors"))) == len([p for p in folder.rglob("*") if p.is_file()]) == 8


def test_a_test_of_an_adapted_trunk_is_the_same_from_disk(
    tiny: list[str], tmp_path: Path, encoded: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    run(tiny, tmp_path / "train", "model=sac", "model.dropout=0.3", "trainer.max_epochs=1")
    checkpoint = tmp_path / "train" / "checkpoints" / "best.ckpt"
    settings = [("prompts.experts=0",), ("prompts.experts=3", "prompts.selection=R"), ("seed=7",)]
    plain = [rerun(tmp_path / f"plain_{i}", checkpoint, *asked) for i, asked in enumerate(settings)]
    encoded.clear()
    capsys.readouterr()
    for i, asked in enumerate(settings):
        kept = rerun(tmp_path / f"kept_{i}", checkpoint, *asked, f"features={tmp_path / 'kept'}")
        assert figures(kept) == figures(plain[i])
        assert ("features" in kept["config"]) == ("features" in plain[i]["config"])
    assert sum(encoded) == 2, "the two test images are encoded once"
    said = capsys.readouterr().out
    assert [said.count(f"({found} images found, {2 - found} computed,") for found in (0, 2)] == [1, 2]


def test_one_command_tests_a_checkpoint_under_several_settings(
    tiny: list[str], tmp_path: Path, processes: Processes
) -> None:
    run(tiny, tmp_path / "train", "model=lora", "trainer.max_epochs=1")
    checkpoint = tmp_path / "train" / "checkpoints" / "best.ckpt"
    arguments = ["-m", f"checkpoint={checkpoint}", "features=kept", "prompts.experts=0,1,3"]
    arguments += ["+trainer.enable_progress_bar=false"]
    finished = processes.run("sac_lightning.evaluate", *arguments, folder=tmp_path)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    records = sorted(tmp_path.glob("outputs/evaluate/*/*/results.json"))
    assert [path.parent.name for path in records] == ["0", "1", "2"]
    assert len({path.parents[1] for path in records}) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "outputs", "train"]
    found = re.findall(r"^features   kept \((\d) images found, (\d) computed,", finished.stdout, re.M)
    assert found == [("0", "2"), ("2", "0"), ("2", "0")]
    for path, experts in zip(records, (0, 1, 3), strict=True):
        record = json.loads(path.read_text())
        assert record["experts"] == experts
        alone = rerun(tmp_path / f"alone_{experts}", checkpoint, f"prompts.experts={experts}")
        assert figures(record) == figures(alone)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            [*FIXED, "model=sac"],
            r"trunk is frozen, and that of this sac trains: choose model=sam, or model=sam_ft",
        ),
        ([*FIXED, "model=lora"], r"that of this lora trains: choose model=sam, or model=sam_ft"),
        ([*FIXED, "model=msa"], r"that of this msa trains: choose model=sam, or model=sam_ft"),
        ([*FIXED, "model=sam_ft", "backbone.weights=null"], r"this sam_ft trains: .* \(backbone.weights\)"),
        (["model=sam_ft"], r"the same in every epoch: set data.augment=false"),
        ([*FIXED, "model=otsu"], r"what SAM's image encoder gives, and otsu has none: leave features out"),
        (
            [*FIXED, "model=sam_ft", "features=taken/kept"],
            r"features=taken/kept cannot be written \(Not a directory",
        ),
    ],
)
def test_what_cannot_be_kept_is_refused_before_any_work(
    overrides: list[str],
    sentence: str,
    tiny: list[str],
    tiny_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(NucleiDataModule, "read", lambda *_: pytest.fail("the images were read"))
    Path("taken").write_text("a file")
    with pytest.raises(UserError, match=sentence):
        run(tiny, tmp_path / "run", f"backbone.weights={tiny_weights}", "features=kept", *overrides)
    assert not Path("kept").exists()


def test_a_test_is_refused_where_nothing_can_be_kept(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tiny, tmp_path / "otsu", "model=otsu")
    run(tiny, tmp_path / "sam", "model=sam", "prompts.points=0")
    monkeypatch.setattr(NucleiDataModule, "read", lambda *_: pytest.fail("the images were read"))
    with pytest.raises(UserError, match="and otsu has none: leave features out"):
        rerun(tmp_path / "a", tmp_path / "otsu/checkpoints/best.ckpt", f"features={tmp_path / 'kept'}")
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UserError, match=r"file cannot be written \(File exists\): name a folder that can be"):
        rerun(tmp_path / "b", tmp_path / "sam/checkpoints/best.ckpt", f"features={tmp_path / 'file'}")
