"""One's own network and data set: trained, and loaded again only by who trusts their package."""

from pathlib import Path

import numpy as np
import pytest
from tests.commands import rerun, run

import sac_lightning
from sac_lightning.core.configuration import compose_config
from sac_lightning.core.errors import UserError
from sac_lightning.inference.onnx.export import export
from sac_lightning.model.trust import read_trusted, refuse_foreign_targets

OWN = """
from torch import nn
from sac_lightning.data import NucleiDataModule, Synthetic

class Net(nn.Sequential):
    def __init__(self, width):
        super().__init__(nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 1, 1))

class TwoMaps(Net):
    def forward(self, x):
        return super().forward(x).repeat(1, 2, 1, 1)

class Scenes(Synthetic):
    pass

class Silent(NucleiDataModule):
    def __init__(self, batch_size=1):
        super().__init__(batch_size)

class Nothing:
    def __init__(self, **given):
        pass
"""
NET = ["model=u_net", "recipe=shared", "~model.init_features"]


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of one's own."""
    (tmp_path / "my_package.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)


def test_a_network_of_ones_own_is_trained_evaluated_loaded_and_exported(
    tiny: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = run(tiny, tmp_path / "t", *NET, "model._target_=my_package.Net", "+model.width=4")
    assert record["method"] == "Net", "not that of the network whose settings it took"
    assert "evaluate and predict load it with trust=my_package." in capsys.readouterr().out
    checkpoint = tmp_path / "t" / "checkpoints" / "best.ckpt"
    with pytest.raises(UserError, match=r"asks to call my_package.Net, .* add trust=my_package"):
        rerun(tmp_path / "e", checkpoint)
    assert rerun(tmp_path / "e", checkpoint, "trust=my_package")["metrics"] == record["metrics"]
    assert "is trusted to call my_package.Net." in capsys.readouterr().out
    image = np.zeros((64, 64, 3), np.uint8)
    nuclei = sac_lightning.load(checkpoint, trust="my_package", precision="32-true").segment(image)
    cfg = compose_config(
        "export", [f"checkpoint={checkpoint}", f"output={tmp_path / 'onnx'}", "trust=[my_package]"]
    )
    export(cfg)
    assert np.allclose(
        sac_lightning.load(tmp_path / "onnx").segment(image).probability, nuclei.probability, atol=1e-4
    )


def test_a_data_set_of_ones_own_is_needed_by_evaluate_and_not_by_predict(tiny: list[str], tmp_path: Path) -> None:
    record = run(tiny, tmp_path / "t", "model=u_net", "data._target_=my_package.Scenes")
    assert (record["method"], record["dataset"]) == ("u_net", "Scenes")
    checkpoint = tmp_path / "t" / "checkpoints" / "best.ckpt"
    assert sac_lightning.load(checkpoint)
    with pytest.raises(UserError, match=r"asks to call my_package\.Scenes"):
        rerun(tmp_path / "e", checkpoint)
    assert rerun(tmp_path / "e", checkpoint, "trust=my_package")["metrics"] == record["metrics"]


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            ["model._target_=my_package.TwoMaps", "+model.width=4"],
            r"TwoMaps gives \(2, 2, .*: give logits \(2, 1, H, W\)",
        ),
        (["model._target_=my_package.Scenes"], r"model is a Scenes: name a torch\.nn\.Module"),
        (["model._target_=torch.nn.Identity"], r"model asks to call torch\.nn\.Identity, which no checkpoint may"),
        (["data._target_=my_package.Nothing"], r"data is a Nothing: name a subclass of"),
        (["data._target_=my_package.Silent"], r"my_package\.Silent: got an unexpected .* take \*\*given"),
    ],
)
def test_code_of_ones_own_that_does_not_fit_is_a_sentence(
    overrides: list[str], sentence: str, tiny: list[str], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=sentence):
        run(tiny, tmp_path / "t", *(NET if overrides[0].startswith("model") else ["model=u_net"]), *overrides)
    assert not (tmp_path / "t" / "results.json").exists()


@pytest.mark.parametrize("name", ["os", "builtins", "torch", "sac_lightning", "subprocess", "a b", "", 3, "a/b"])
def test_nothing_that_could_run_anything_is_trusted(name: object) -> None:
    with pytest.raises(UserError, match=r"trust only your own package|is no name of a package"):
        read_trusted([name])


@pytest.mark.parametrize(
    "target", ["os.system", "my_package", "my_packages.Net", ["my_package.Net"], "my_package.a-b"]
)
def test_trust_is_of_a_package_and_of_nothing_else(target: object) -> None:
    with pytest.raises(UserError, match="asks to call"):
        refuse_foreign_targets({"a": [{"_target_": target}]}, Path("x.ckpt"), ["my_package"])
    refuse_foreign_targets({"a": [{"_target_": "my_package.a.Net"}]}, Path("x.ckpt"), ["my_package"])
