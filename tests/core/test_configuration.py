"""Every configuration composes, and is found from a foreign directory, from any kind of installation."""

import os
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from tests.processes import Processes

from sac_lightning.core.configuration import compose_config, config_dir
from sac_lightning.core.errors import UserError
from sac_lightning.train import check

REPOSITORY = Path(__file__).parents[2]
GROUPS = (
    "model",
    "backbone",
    "prompts",
    "data",
    "trainer",
    "logger",
    "scale",
    "loss",
    "scheduler",
    "recipe",
)
CHOICES = [(group, file.stem) for group in GROUPS for file in sorted((config_dir() / group).glob("*.yaml"))]


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_every_choice_of_every_group_composes_and_resolves(group: str, choice: str) -> None:
    cfg = compose_config("train", [f"{group}={choice}", "output_dir=somewhere"])
    assert OmegaConf.to_container(cfg, resolve=True)


def test_the_command_line_wins_over_the_scale_and_the_model() -> None:
    cfg = compose_config("train", ["scale=paper", "backbone=vit_b", "model=lora", "prompts.points=3"])
    assert (cfg.backbone.name, cfg.prompts.points, cfg.view.image_size) == ("vit_b", 3, 1024)


def test_a_network_trains_by_its_own_recipe_or_by_ours() -> None:
    own = compose_config("train", ["model=u_net", "scale=paper"])
    assert (own.recipe.name, own.loss._target_.rpartition(".")[2], own.data.batch_size) == ("own", "Dice", 16)
    assert (own.optimizer.lr, own.scheduler, own.view.image_size) == (1e-4, None, 256)
    shared, sac = compose_config("train", ["model=u_net", "recipe=shared"]), compose_config("train", ["model=sac"])
    for key in ("loss", "optimizer", "scheduler", "trainer"):
        assert shared[key] == sac[key], key
    assert compose_config("train", ["model=u_net", "optimizer.lr=1e-3"]).optimizer.lr == 1e-3


@pytest.mark.parametrize("choice", ["loss=dice_ce", "scheduler=one_cycle"])
def test_a_choice_that_a_networks_own_recipe_would_pass_over_is_refused(
    choice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["train", "model=u_net", choice])
    with pytest.raises(UserError, match=f"{choice} has no effect with recipe=own, as u_net brings its own"):
        check(compose_config("train", ["model=u_net", choice]))
    check(compose_config("train", ["model=u_net", choice, "recipe=shared"]))
    check(compose_config("train", ["model=sac", choice]))


def test_the_scale_of_the_paper_is_the_papers() -> None:
    cfg = compose_config("train", ["scale=paper", "data=monuseg"])
    assert cfg.backbone.name == "vit_h"
    assert cfg.trainer.min_epochs == 30
    assert cfg.callbacks.early_stopping.patience == 10
    assert cfg.optimizer.lr == 1e-4
    assert cfg.prompts.generator.init_features == 32
    assert (cfg.view.image_size, cfg.view.crop) == (1024, None)


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("row=sac,nonsense", "error: there is no row=nonsense: choose among dense_off"),
        ("prompts.pints=1,3", "error: Could not override 'prompts.pints'"),
    ],
)
def test_an_unknown_value_in_any_job_of_a_sweep_ends_it_before_it_starts(
    argument: str, sentence: str, tmp_path: Path, light_processes: Processes
) -> None:
    arguments = ["+experiment=table1_monuseg", argument]
    finished = light_processes.run("sac_lightning.train", *arguments, folder=tmp_path)
    assert finished.returncode == 1
    assert finished.stderr.startswith(sentence)
    assert len(finished.stderr.splitlines()) == 1, finished.stderr
    assert not list(tmp_path.iterdir())


def test_a_launcher_that_is_not_installed_names_its_extra(tmp_path: Path, light_processes: Processes) -> None:
    arguments = ["+experiment=table1_monuseg", "hydra/launcher=ray_cluster"]
    finished = light_processes.run("sac_lightning.train", *arguments, folder=tmp_path)
    assert finished.returncode == 1
    assert finished.stderr == "error: this launcher is not installed: pip install 'sac-lightning[ray]'\n"


def test_a_sweep_is_not_taken_for_an_unknown_value(tmp_path: Path, processes: Processes) -> None:
    arguments = ["backbones=vit_t,vit_b", "networks=[]", "-m"]
    finished = processes.run("sac_lightning.parameters", *arguments, folder=tmp_path)
    assert finished.returncode == 0, finished.stderr


def test_bad_input_ends_with_one_sentence_and_no_traceback(tmp_path: Path, processes: Processes) -> None:
    finished = processes.run("sac_lightning.train", "data=dsb2018", "data.root=nowhere", folder=tmp_path)
    assert finished.returncode == 1
    assert "error: " in finished.stderr
    assert "Traceback" not in finished.stderr


def test_weights_that_cannot_be_downloaded_say_which_file_to_put_where(
    tmp_path: Path, processes: Processes
) -> None:
    environment = os.environ | {"SAC_WEIGHTS": str(tmp_path / "cache"), "https_proxy": "http://127.0.0.1:9"}
    arguments = ["backbone=vit_b", "data.train=1", "data.val=1", "data.test=1"]
    finished = processes.run("sac_lightning.train", *arguments, folder=tmp_path, environment=environment)
    assert finished.returncode == 1
    sentence = finished.stderr.splitlines()[-1]
    assert "sam_vit_b_01ec64.pth" in sentence
    assert str(tmp_path / "cache") in sentence


def test_a_source_checkout_finds_its_configuration(tmp_path: Path) -> None:
    code = (
        "import sys; sys.meta_path = [f for f in sys.meta_path if 'editable' not in str(f)];"
        "from sac_lightning.core.configuration import compose_config; print(compose_config('train').model.name)"
    )
    finished = call([sys.executable, "-c", code], tmp_path, PYTHONPATH=str(REPOSITORY / "src"))
    assert finished.stdout.strip() == "sac", finished.stderr


def test_a_wheel_finds_its_configuration_splits_and_weights(tmp_path: Path) -> None:
    source = tmp_path / "source"
    copy_sources(source)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(source)]
    built = call(build, tmp_path)
    assert built.returncode == 0, built.stderr
    site = tmp_path / "site"
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    # A clean environment that sees the dependencies of this one, but not this one's editable install.
    venv.create(tmp_path / "clean", with_pip=False)
    clean = next((tmp_path / "clean").glob("[bS]*/python*"))
    dependencies = next(path for path in sys.path if path.endswith("site-packages"))
    code = (
        "import sac_lightning; from sac_lightning.core.configuration import compose_config, config_dir;"
        "from sac_lightning.data.split import load_split;"
        "from sac_lightning.model.weights import locate;"
        "locate('vit_t');"
        "model = compose_config('train', ['row=sam_ft_1p3e']).model;"
        "print(model.name, len(load_split('dsb2018')), config_dir(), sac_lightning.__file__)"
    )
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    finished = call([str(clean), "-c", code], foreign, PYTHONPATH=os.pathsep.join([str(site), dependencies]))
    assert finished.returncode == 0, finished.stderr
    name, count, configuration, package = finished.stdout.split()
    assert (name, count) == ("sam_ft", "670")
    assert configuration.startswith(str(site))
    assert package.startswith(str(site))
    help_of_train = call(
        [str(clean), "-m", "sac_lightning.train", "--help"],
        foreign,
        PYTHONPATH=f"{site}{os.pathsep}{dependencies}",
    )
    assert "scale: cpu, instances, paper" in help_of_train.stdout, help_of_train.stderr
    assert "sam_ft_1p3e" in help_of_train.stdout, "rows are options, like all others"


def test_a_wheel_holds_every_package() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    source = REPOSITORY / "src"
    found = {".".join(file.parent.relative_to(source).parts) for file in source.rglob("__init__.py")}
    assert set(project["tool"]["setuptools"]["packages"]) == found | {"sac_lightning.conf"}


def copy_sources(target: Path) -> None:
    """The files that git tracks or would, as a clean checkout has them."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "src", "conf", "pyproject.toml"]
    files = subprocess.run(
        [*listed, "README.md", "LICENSE"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    archive = target.with_suffix(".tar")
    with tarfile.open(archive, "w") as tar:
        for name in files.stdout.splitlines():
            if (REPOSITORY / name).exists():
                tar.add(REPOSITORY / name, name)
    with tarfile.open(archive) as tar:
        tar.extractall(target, filter="data")


def call(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=900, env=os.environ | environment, check=False
    )
