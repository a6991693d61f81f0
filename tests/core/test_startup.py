"""Every command answers at once: help and refusals come before the libraries that take seconds to import."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.processes import Processes

from sac_lightning.__main__ import list_commands
from sac_lightning.doctor import main as doctor

COMMANDS = (
    "benchmark",
    "train",
    "demo",
    "doctor",
    "evaluate",
    "export",
    "predict",
    "prepare",
    "pretrain",
    "parameters",
    "models",
    "report",
    "dashboard",
    "serve",
)
SLOW = {
    "albumentations",
    "fastapi",
    "gradio",
    "lightning",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "pandas",
    "pytorch_lightning",
    "scipy",
    "segment_anything",
    "shapely",
    "skimage",
    "tifffile",
    "torch",
    "torchmetrics",
    "wandb",
    "zarr",
}


class Answer(NamedTuple):
    """What a command came to: its status, what it said, and the packages that it imported."""

    status: int
    out: str
    err: str
    imported: set[str]


Ask = Callable[..., Answer]


@pytest.fixture
def ask(light_processes: Processes, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """Runs a command with arguments in a folder and gives its answer."""
    listed = tmp_path_factory.mktemp("imported") / "modules"
    environment = {key: value for key, value in os.environ.items() if key != "SAC_DATA"}

    def run(command: str, *arguments: str) -> Answer:
        call = ("tests.core.listing:run_and_list_imports", str(listed), command, *arguments)
        finished = light_processes.run(*call, folder=tmp_path, environment=environment)
        imported = set(listed.read_text().split())
        assert "hydra" in imported, finished.stderr
        return Answer(finished.returncode, finished.stdout, finished.stderr, imported)

    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_how_to_call_a_command(command: str, ask: Ask, tmp_path: Path) -> None:
    help_of = ask(command, "--help")
    assert help_of.status == 0, help_of.err
    assert f"python -m sac_lightning.{command}" in help_of.out
    assert help_of.imported & SLOW == set()
    assert not list(tmp_path.iterdir()), "asking for help must not leave files"


@pytest.mark.parametrize(
    ("command", "arguments", "sentence"),
    [
        (
            "train",
            ["model=nonsense"],
            "there is no model=nonsense: choose among doubleu_net, duat, fanet",
        ),
        (
            "train",
            ["experiment=table6_parameters"],
            "Could not override 'experiment'. No match in the defaults list",
        ),
        ("train", ["seed=0,1"], "seed=0,1 is a sweep: add -m, or type seed=[0,1] for a list"),
        ("train", ["seed=range(0,3)"], "seed=range(0,3) is a sweep: add -m"),
        (
            "train",
            ["+experiment=table6_parameters,table1_monuseg"],
            "+experiment=table6_parameters,table1",
        ),
        ("train", ["seed"], "seed is no argument: type KEY=VALUE, as "),
        (
            "train",
            ["folder=(x"],
            "folder=(x cannot be read, as its signs have a meaning: put it in",
        ),
        ("train", ["--config-dir=none"], "--config-dir=none does not exist: give a folder that does"),
        (
            "train",
            ["--config-path=none"],
            "--config-path=none takes the place of the whole configuration",
        ),
        ("train", ["--config-dir=.", "model=nonsense"], "there is no model=nonsense: choose among doubleu_net"),
        ("train", ["--config-dir", ".", "trainer.max_epoch=3"], "Could not override 'trainer.max_epoch'"),
        ("train", ["resume=20_11"], "resume=20_11 does not exist: "),
        ("predict", ["checkpoint=20_11", "images=12_04", "output=1e3"], "checkpoint=20_11 does not exist: "),
        ("predict", ["checkpoint=.", "images=12_04", "output=1_0"], "images=12_04 does not exist: "),
        (
            "report",
            ["table=5", 'overrides=["scale=smok"]'],
            "there is no scale=smok: choose among cpu, ",
        ),
        ("train", ["+experiment=table9"], "there is no experiment=table9: choose among ablation_backbone"),
        (
            "train",
            ["trainer.max_epoch=3"],
            "Could not override 'trainer.max_epoch': the nearest key is trainer.max_epochs, ",
        ),
        ("train", ["prompts.selection=O,X", "-m"], "prompts.selection is X: choose O (centroids) or R (random)"),
        ("train", ["prompts.points=-1"], "prompts.points is -1: "),
        ("train", ["prompts.experts=0.5"], "prompts.experts is 0.5: "),
        ("train", ["view.image_size=70"], "view.image_size is 70: choose a multiple of the patch"),
        ("train", ["view.overlap=1"], "view.overlap is 1: "),
        ("train", ["model.rank=0"], "model.rank is 0: "),
        ("train", ["callbacks.best.monitor=test/dice"], "best would monitor test/dice: "),
        ("train", ["model=u_net", "loss=dice_ce"], "loss=dice_ce has no effect with recipe=own"),
        ("train", ["resume=none.ckpt"], "resume=none.ckpt does not exist: "),
        ("train", ["init=none.ckpt"], "init=none.ckpt does not exist: "),
        ("train", ["init=."], "init=. is a folder: give the .ckpt in it"),
        ("train", ["resume=.", "init=."], "resume= goes on with a training and init= starts a new one"),
        ("demo", ["checkpoint=none.ckpt"], "checkpoint=none.ckpt does not exist: "),
        ("demo", ["port=0"], "port is 0: choose a number from 1 to 65535"),
        ("demo", ["port=http"], "port is http: choose a number"),
        ("serve", ["checkpoint=none.ckpt"], "checkpoint=none.ckpt does not exist: "),
        ("demo", ["host=no.such.name.invalid"], "host=no.such.name.invalid is no address: "),
        ("evaluate", ["prompts.pints=3"], "Could not override 'prompts.pints'"),
        ("evaluate", [], "checkpoint= must be given: python -m sac_lightning.evaluate --help"),
        ("evaluate", ["checkpoint=none.ckpt"], "checkpoint=none.ckpt does not exist: "),
        ("evaluate", ["checkpoint=.", "instances=sheds"], "instances is sheds: choose components, watershed or "),
        ("evaluate", ["checkpoint=.", "tune=true"], "tune=true has nothing to tune with instances=components: "),
        (
            "predict",
            ["checkpoint=.", "images=.", "output=o", "instances=sheds"],
            "instances is sheds: choose comp",
        ),
        ("export", ["checkpoint=best.ckpt"], "output= must be given: "),
        ("export", ["checkpoint=none.ckpt", "output=out"], "checkpoint=none.ckpt does not exist: "),
        ("export", ["checkpoint=.", "output=."], "output=. is there already: "),
        ("export", ["checkpoint=.", "output=out", "tolerance=0"], "tolerance is 0: "),
        ("export", ["checkpoint=.", "output=out", "tolerance=small"], "tolerance is small: "),
        ("export", ["checkpoint=.", "output=out", "opset=17"], "Could not override 'opset'"),
        ("predict", ["output=out"], "images= must be given: "),
        ("predict", ["checkpoint=.", "images=none", "output=out"], "images=none does not exist: "),
        ("predict", ["checkpoint=.", "images=.", "output=out", "page=last"], "page is last: "),
        ("predict", ["checkpoint=.", "images=*.png", "output=out"], "*.png holds no image: "),
        ("prepare", ["datset=glas"], "Could not override 'datset': the nearest key is dataset, "),
        ("pretrain", ["resume=none.ckpt"], "resume=none.ckpt does not exist: "),
        ("parameters", ["backbones=vit_b,vit_x", "-m"], "there is no backbone vit_x: choose among vit_t, vit_b"),
        ("report", ["table=9"], "table=9 is no experiment: choose 1 to 8"),
        ("benchmark", ["works=[forwards]"], "works names forwards: choose among forward, step"),
        ("dashboard", ["gruop=glas"], "Could not override 'gruop': the nearest key is group, "),
    ],
)
def test_wrong_arguments_end_with_one_sentence(
    command: str, arguments: list[str], sentence: str, ask: Ask, tmp_path: Path
) -> None:
    refusal = ask(command, *arguments)
    assert refusal.status == 1
    assert refusal.err.startswith(f"error: {sentence}")
    assert len(refusal.err.splitlines()) == 1, refusal.err
    assert refusal.imported & SLOW == set()
    assert not list(tmp_path.iterdir())


def test_all_commands_are_listed_with_what_they_are_for() -> None:
    listed = list_commands()
    assert set(listed) == set(COMMANDS)
    assert all(purpose.endswith(".") for purpose in listed.values())


def test_a_sweep_only_starts_its_jobs(ask: Ask) -> None:
    sweep = ask("train", "+experiment=table6_parameters", "model=sac")
    assert sweep.status == 0, sweep.err
    assert "1 done" in sweep.out
    assert sweep.imported & SLOW == set()


@pytest.fixture
def loggers() -> Iterator[None]:
    """Undo that Hydra, told to log nothing, disables the loggers that this process has."""
    known = [one for one in logging.root.manager.loggerDict.values() if isinstance(one, logging.Logger)]
    disabled = {logger: logger.disabled for logger in known}
    yield
    for logger, was_disabled in disabled.items():
        logger.disabled = was_disabled


@pytest.mark.usefixtures("loggers")
@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({}, {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "5000"}),
        ({"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "7"}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE", "GOMP_SPINCOUNT": None}),
    ],
)
def test_threads_that_wait_sleep_soon_unless_the_user_wants_otherwise(
    own: dict[str, str],
    expected: dict[str, str | None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in expected:
        monkeypatch.setenv(name, "")  # so that what the program sets is undone
        monkeypatch.delenv(name)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(logging, "raiseExceptions", True)
    monkeypatch.setattr(sys, "argv", ["doctor", "--help"])
    with suppress(SystemExit):
        doctor()
    assert {name: os.environ.get(name) for name in expected} == expected
    assert "python -m sac_lightning.doctor" in capsys.readouterr().out
