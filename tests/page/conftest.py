"""What the tests of the page share: an answer at once, from a model that takes points, and the page in a thread."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import uvicorn
from torch import nn

from sac_lightning.build import build_model
from sac_lightning.configuration import composed, plain
from sac_lightning.page.address import bound_socket
from sac_lightning.predictor import Predictor
from sac_lightning.view import View


def _predictor(tiny: list[str], *overrides: str, crop: int | None = None) -> Predictor:
    """A tiny SAC of random numbers, LoRA's B and the positions included."""
    torch.manual_seed(0)
    config = plain(composed("train", [*tiny, *overrides, "output_dir=x"]))
    model = build_model(config["model"])
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return Predictor(model, View(64, crop))


@pytest.fixture(scope="session")
def predictor(tiny: list[str]) -> Callable[..., Predictor]:
    """Makes a predictor: by default SAC, with overrides of the configuration and the crop of its view."""

    def make(*overrides: str, crop: int | None = None) -> Predictor:
        return _predictor(tiny, *overrides, crop=crop)

    return make


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Serves the page of a predictor and gives its address; all are ended with the tests."""
    from sac_lightning.page.server import make_app, own_folder

    servers: list[tuple[uvicorn.Server, threading.Thread]] = []
    with own_folder() as folder:

        def serve(predictor: Predictor, is_own: bool = True) -> str:
            bound = bound_socket("127.0.0.1", 0)
            port = bound.getsockname()[1]
            app = make_app(predictor, folder, "127.0.0.1", is_own)
            server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
            thread.start()
            servers.append((server, thread))
            while not server.started:
                time.sleep(0.05)
            return f"http://127.0.0.1:{port}"

        yield serve
        for server, _ in servers:
            server.should_exit = True
        for _, thread in servers:
            thread.join(10)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder for the files of visitors."""
    return tmp_path / "visitors"
