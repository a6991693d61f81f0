"""The version of the code: what of the package a run's configuration reaches, and nothing else."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sac_lightning.core.configuration import compose_config, resolve_config
from sac_lightning.core.source import strip_docstrings
from sac_lightning.runs import reach
from sac_lightning.runs.code_version import TRAINING, code_version, is_code_known
from sac_lightning.runs.reach import modules_of, public_names, reachable_modules, source_file


@pytest.mark.parametrize(
    "same", ["def f(x):  # faster\n    return (x+1)\n", 'def f(x):\n    """Another."""\n\n    return x + 1\n']
)
def test_comments_docstrings_and_layout_do_not_count(same: str) -> None:
    assert strip_docstrings(same) == strip_docstrings('def f(x):\n    """Add one."""\n    return x + 1\n')


@pytest.mark.parametrize(
    "other", ["def f(x):\n    return x + 2\n", "def g(x):\n    return x + 1\n", "def f(y):\n    return y + 1\n"]
)
def test_code_counts(other: str) -> None:
    assert strip_docstrings(other) != strip_docstrings("def f(x):\n    return x + 1\n")


def config_of(*overrides: str) -> dict[str, Any]:
    return resolve_config(compose_config("train", [*overrides, "output_dir=x"]))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the package's source, which is read in place of the package."""
    copy = tmp_path / "sac_lightning"
    shutil.copytree(reach.SOURCE, copy, ignore=shutil.ignore_patterns("pretrained", "__pycache__"))
    monkeypatch.setattr(reach, "SOURCE", copy)
    public_names.cache_clear()
    yield copy
    public_names.cache_clear()


def edit(file: Path) -> None:
    file.write_text(file.read_text() + "\nEDITED = True\n")


NETWORKS = ["u_net", "fanet", "mdm", "medt", "duat", "ssformer_l", "uctransnet", "histoseg", "msrf_net"]


def versions() -> dict[str, str]:
    return {model: code_version(config_of(f"model={model}")) for model in ["sac", "msa", *NETWORKS]}


@pytest.mark.parametrize(("file", "concerned"), [
    ("baselines/fanet.py", {"fanet"}),
    ("baselines/diffusion_unet.py", {"mdm"}),
    ("baselines/axial_attention.py", {"medt"}),
    ("data/glas.py", set()),
    ("training/wandb_view.py", set()),
    ("reporting/table.py", set()),
    ("slides/strips.py", set()),
    ("core/command.py", set()),
    ("training/task.py", {"sac", "msa", *NETWORKS}),
    ("training/metrics/scores.py", {"sac", "msa", *NETWORKS}),
    ("data/synthetic.py", {"sac", "msa", *NETWORKS}),
])  # fmt: skip
def test_an_edit_concerns_the_runs_that_reach_it_alone(file: str, concerned: set[str], package: Path) -> None:
    before = versions()
    edit(package / file)
    after = versions()
    assert {model for model in before if before[model] != after[model]} == concerned


def test_a_former_name_reaches_what_its_public_name_does() -> None:
    former = {"_target_": "sac_lightning.baselines.fanet.FANet"}
    public = {"_target_": "sac_lightning.baselines.FANet"}
    assert code_version({"model": former}) == code_version({"model": public}) != code_version({})


def test_what_runs_are_made_by_is_found() -> None:
    reached = reachable_modules([TRAINING])
    assert {"training.fitting", "training.task", "inference.windows", "data.base", "model.build"} <= {
        name.removeprefix("sac_lightning.") for name in reached
    }
    assert all(source_file(name) is not None for name in reached)


def test_a_public_name_stands_for_the_module_that_defines_it() -> None:
    assert modules_of("sac_lightning.model.sac") == [
        "sac_lightning",
        "sac_lightning.model",
        "sac_lightning.model.methods",
    ]
    assert modules_of("torch.optim.Adam") == []


def test_imports_for_type_checkers_alone_do_not_count(package: Path) -> None:
    (package / "some.py").write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from sac_lightning.data.base import NucleiDataModule\n"
        "else:\n    from sac_lightning.core import limits\n"
        "def f():\n    import sac_lightning.core.view\n"
    )
    assert reachable_modules(["sac_lightning.some"]) - {"sac_lightning", "sac_lightning.some"} == {
        "sac_lightning.core",
        "sac_lightning.core.limits",
        "sac_lightning.core.view",
        "sac_lightning.core.errors",
    }


# Code of one's own


NETWORK = "from torch import nn\nfrom parts.blocks import Block\n\nclass Net(nn.Module):\n    block = Block\n"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path of modules, with a network that takes a block from a package beside it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    reach._find_spec.cache_clear()
    (tmp_path / "own_nets.py").write_text(NETWORK)
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "__init__.py").write_text("")
    (tmp_path / "parts" / "blocks.py").write_text("from . import layers\nfrom .deep import inner\nBlock = 1\n")
    (tmp_path / "parts" / "layers.py").write_text("from sac_lightning.baselines.fanet import FANet\nwidth = 1\n")
    (tmp_path / "parts" / "deep").mkdir()  # Without __init__.py.
    (tmp_path / "parts" / "deep" / "inner.py").write_text("from ..tools import *\ndepth = 1\n")
    (tmp_path / "parts" / "tools.py").write_text("height = 1\n")
    (tmp_path / "parts" / "unused.py").write_text("")
    return tmp_path


OWN = {"model": {"_target_": "own_nets.Net"}}


@pytest.mark.parametrize("file", ["own_nets", "parts/__init__", "parts/layers", "parts/deep/inner"])
def test_an_edit_of_ones_own_code_is_another_version(file: str, own: Path) -> None:
    before = code_version(OWN)
    assert code_version(OWN) == before != code_version({})
    source = (own / f"{file}.py").read_text()
    (own / f"{file}.py").write_text(f"{source}# A comment.\n")
    assert code_version(OWN) == before
    (own / "parts" / "unused.py").write_text("x = 1\n")
    assert code_version(OWN) == before
    (own / f"{file}.py").write_text(f"{source}x = 1\n")
    assert code_version(OWN) != before


def test_what_ones_own_code_takes_of_this_package_counts(own: Path) -> None:
    assert "sac_lightning.baselines.fanet" in reachable_modules(["own_nets.Net"])
    assert not any(name.startswith("torch") for name in reachable_modules(["own_nets.Net"]))


def test_code_that_is_handed_over_as_text_counts(own: Path) -> None:
    config = {"model": {"_target_": "hydra.utils.get_class", "path": "own_nets.Net"}}
    before = code_version(config)
    edit(own / "parts" / "tools.py")
    assert code_version(config) != before


def test_code_that_is_broken_is_the_runs_to_tell(own: Path) -> None:
    before = code_version(OWN)
    (own / "own_nets.py").write_text("class Net(:")
    assert code_version(OWN) != before


def test_code_that_imports_what_is_nowhere_is_not_known(own: Path) -> None:
    assert is_code_known({})
    assert is_code_known(OWN)
    source = (own / "parts" / "tools.py").read_text()
    (own / "parts" / "tools.py").write_text(
        f"{source}import sys\nsys.path.append('elsewhere')\nimport found_later\n"
    )
    assert not is_code_known(OWN)


def test_an_installed_package_counts_as_it_was_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a second version, and of the same that was built and installed again."""
    monkeypatch.syspath_prepend(str(tmp_path))
    about = tmp_path / "installed_nets-1.0.dist-info"
    about.mkdir()
    (tmp_path / "installed_nets.py").write_text(NETWORK)
    versions = set()
    for version, hashed in (("1.0", "aa"), ("1.0", "bb"), ("2.0", "bb")):
        reach._find_spec.cache_clear()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: installed-nets\nVersion: {version}\n")
        (about / "RECORD").write_text(f"installed_nets.py,sha256={hashed},9\n../bin/x,sha256=cc,9\n")
        versions.add(code_version({"model": {"_target_": "installed_nets.Net"}}))
    assert len(versions) == 3
    assert reachable_modules(["installed_nets.Net"]) == set()
    assert code_version({"a": {"_target_": "torch.optim.Adam"}}) == code_version({})
