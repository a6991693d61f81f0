"""Public names: all of them import, conf uses no others, and former names lead to them."""

import ast
import pickle
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from hydra.utils import get_object
from omegaconf import OmegaConf
from omegaconf.errors import ConfigAttributeError
from tests.processes import Processes

from sac_lightning.core.configuration import compose_config, config_dir, resolve_config
from sac_lightning.core.names import FORMER_NAMES, find_targets, translate_names
from sac_lightning.runs.reach import SOURCE, public_names
from sac_lightning.runs.record import read_record

ROOMS = sorted("sac_lightning." + stub.parent.name for stub in SOURCE.glob("*/__init__.pyi"))


def configured_names() -> set[str]:
    files = [OmegaConf.to_container(OmegaConf.load(file)) for file in config_dir().rglob("*.yaml")]
    return {name for content in files for name in find_targets(content) if name.startswith("sac_lightning.")}


@pytest.mark.parametrize("room", ["sac_lightning", *ROOMS])
def test_public_names_import(room: str) -> None:
    module = import_module(room)
    assert set(public_names(room)) <= set(dir(module))
    for name, home in public_names(room).items():
        assert getattr(module, name) is getattr(import_module(home), name)


def test_the_configuration_uses_public_names_alone() -> None:
    public = {f"{room}.{name}" for room in ROOMS for name in public_names(room)}
    assert configured_names() - public == set()
    assert len(configured_names()) > 30


def test_former_names_lead_to_what_they_named() -> None:
    for former, public in FORMER_NAMES.items():
        assert public not in FORMER_NAMES, "one step is enough"
        found = get_object(public)
        assert found.__name__ == former.rpartition(".")[2]


def test_translation_changes_targets_and_nothing_else() -> None:
    former, public = next(iter(FORMER_NAMES.items()))
    settings = {"a": [{"_target_": former, "b": former}, former, 1], "_target_": {"_target_": former}, "c": None}
    expected = {"a": [{"_target_": public, "b": former}, former, 1], "_target_": {"_target_": public}, "c": None}
    before = pickle.dumps(settings)
    assert translate_names(settings) == expected
    assert pickle.dumps(settings) == before


def test_naming_a_room_imports_no_torch() -> None:
    rooms = ", ".join(["sac_lightning", *ROOMS])
    code = f"import sys, {rooms}; print(sorted({{'torch', 'lightning', 'skimage'}} & sys.modules.keys()))"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "[]"


def test_a_stub_names_modules_that_are_there() -> None:
    for stub in SOURCE.rglob("__init__.pyi"):
        for node in ast.parse(stub.read_text()).body:
            if isinstance(node, ast.ImportFrom):
                assert node.level == 1
                assert stub.parent.joinpath(*str(node.module).split(".")).with_suffix(".py").is_file()


def test_somebodys_configuration_with_former_names_still_works() -> None:
    """Another's file or command line may name what was there before."""
    former = [
        "loss._target_=sac_lightning.losses.FocalDice",
        "data._target_=sac_lightning.data.synthetic.Synthetic",
    ]
    cfg, today = compose_config("train", [*former, "output_dir=x"]), compose_config("train", ["output_dir=x"])
    assert cfg.loss._target_ == "sac_lightning.training.FocalDice"
    assert resolve_config(cfg) == resolve_config(today)
    with pytest.raises(ConfigAttributeError):
        _ = cfg.nonsense


def test_a_command_takes_former_names(processes: Processes, tiny: list[str], tmp_path: Path) -> None:
    former = "loss._target_=sac_lightning.losses.FocalDice"
    finished = processes.run("sac_lightning.train", *tiny, former, "trainer.max_epochs=1", folder=tmp_path)
    assert finished.returncode == 0, finished.stderr
    (record,) = tmp_path.glob("outputs/*/*/*/results.json")
    assert read_record(record)["config"]["loss"]["_target_"] == "sac_lightning.training.FocalDice"
