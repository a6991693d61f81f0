"""What the tests of the page share: tiny models, and the page, served by the command."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from tests.commands import saved, untrained
from torch import nn

from sac_lightning.core.address import bind_socket
from sac_lightning.core.configuration import compose_config, resolve_config
from sac_lightning.core.view import View
from sac_lightning.inference.predictor import Predictor
from sac_lightning.model.build import build_model


def tiny_predictor(tiny: list[str], *overrides: str, crop: int | None = None) -> Predictor:
    """A tiny SAC of random numbers, LoRA's B and the positions included."""
    torch.manual_seed(0)
    config = resolve_config(compose_config("train", [*tiny, *overrides, "output_dir=x"]))
    model = build_model(config["model"])
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return Predictor(model, View(64, crop))


@pytest.fixture(scope="session")
def predictor(tiny: list[str]) -> Callable[..., Predictor]:
    """Makes a predictor: by default SAC, with overrides of the configuration and the crop of its view."""

    def make(*overrides: str, crop: int | None = None) -> Predictor:
        return tiny_predictor(tiny, *overrides, crop=crop)

    return make


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Serves the page of a checkpoint by the command, once, and gives its address; all end with the tests."""
    servers: dict[str, tuple[str, subprocess.Popen[str]]] = {}

    def serve(checkpoint: Path | str = "nuclei") -> str:
        if str(checkpoint) not in servers:
            with bind_socket("127.0.0.1", 0) as free:
                port = free.getsockname()[1]
            command = [sys.executable, "-m", "sac_lightning.demo", f"port={port}", f"checkpoint={checkpoint}"]
            folder = tmp_path_factory.mktemp("page")
            server = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
            servers[str(checkpoint)] = (f"http://127.0.0.1:{port}", server)
            _wait_for(server, port)
        return servers[str(checkpoint)][0]

    yield serve
    for _, server in servers.values():
        server.terminate()
    for _, server in servers.values():
        server.communicate(timeout=60)


@pytest.fixture(scope="session")
def wait_for() -> Callable[[subprocess.Popen[str], int], None]:
    """Waits until a server answers."""
    return _wait_for


def _wait_for(server: subprocess.Popen[str], port: int) -> None:
    assert server.stdout is not None
    assert f"http://127.0.0.1:{port}" in server.stdout.readline()
    for _ in range(600):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the page is not served")


@pytest.fixture(scope="session")
def network(tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a compared network."""
    task = untrained(*tiny, "model=u_net", "model.init_features=4")
    return saved(task, tmp_path_factory.mktemp("network") / "best.ckpt")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder for the files of visitors."""
    return tmp_path / "visitors"
