"""The version of the code: what of the package a run's configuration reaches, and nothing else."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sac_lightning.core.configuration import compose_config, resolve_config
from sac_lightning.core.source import strip_docstrings
from sac_lightning.runs import code_version as module
from sac_lightning.runs import reach
from sac_lightning.runs.code_version import TRAINING, code_version
from sac_lightning.runs.reach import imported_modules, modules_of, public_names, reachable_modules, source_file


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
    forget()
    yield copy
    forget()


def forget() -> None:
    """Forget what was read of the package."""
    for cached in (imported_modules, public_names, module._code_of):
        cached.cache_clear()


def edit(file: Path) -> None:
    file.write_text(file.read_text() + "\nEDITED = True\n")
    forget()


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
