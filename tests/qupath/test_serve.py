"""The command: where it listens, what it says, and with whom it does not speak."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tests.commands import saved, untrained
from tests.qupath.conftest import ask, encode, prompt

from sac_lightning import serve
from sac_lightning.core.address import bind_socket
from sac_lightning.core.configuration import compose_config
from sac_lightning.core.errors import UserError

VIEW = np.random.default_rng(0).integers(0, 255, (64, 90, 3), dtype=np.uint8)
SECRET = "1234567890123456"


@pytest.fixture(scope="module")
def checkpoint(tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a tiny SAC."""
    return saved(untrained(*tiny), tmp_path_factory.mktemp("sac") / "mine.ckpt")


@pytest.mark.parametrize("options", [[], ["host=0.0.0.0", f"token={SECRET}"]])
def test_it_serves_until_it_is_ended(options: Sequence[str], checkpoint: Path, tmp_path: Path) -> None:
    with bind_socket("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "sac_lightning.serve", f"checkpoint={checkpoint}", f"port={port}", *options]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = process.stdout.readline()
    prefix = f"/{SECRET}/sam/" if options else "/sam/"
    expected = f"http://HOST:{port}/TOKEN/sam/" if options else f"http://localhost:{port}/sam/"
    assert said == f"the server URL for QuPath is {expected}\n"
    assert process.stdout.readline() == "Ctrl+C ends it\n"
    try:
        listed = json.loads(ask(port, "GET", f"{prefix}weights/?type=vit_l")[1])
        assert listed == [{"type": "vit_l", "name": "mine", "url": "sac-lightning:mine"}]
        asked = prompt(b64img=encode(VIEW), bbox=[36, 46, 45, 55], checkpoint_url=listed[0]["url"])
        status, answer = ask(port, "POST", prefix, asked)
        assert status == 200
        assert isinstance(json.loads(answer), list)
        with socket.socket() as client:
            assert (client.connect_ex(("127.0.0.2", port)) == 0) == bool(options), "only the one address is bound"
    finally:
        process.terminate()
        out, err = process.communicate(timeout=60)
    assert (out, err) == ("", "")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["host=0.0.0.0"], "host=0.0.0.0 lets others use this server: set token= to a secret, or leave host"),
        (["host=192.168.0.1"], "host=192.168.0.1 lets others use this server"),
        (["token=short"], "token has to have 16 letters, digits, - or _ at least"),
        (["token=with/a/slash/in/the/middle"], "token has to have 16 letters"),
        (["port=0"], "port is 0: choose a number from 1 to 65535"),
        (["mpp=-1"], "mpp"),
    ],
)
def test_wrong_options_are_refused_at_once(options: list[str], told: str, checkpoint: Path) -> None:
    with pytest.raises(UserError, match=re.escape(told)):
        serve.check(compose_config("serve", [f"checkpoint={checkpoint}", *options]))


def test_without_its_packages_it_says_what_to_install(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'sac-lightning\[demo\]'"):
        serve.check(compose_config("serve", [f"checkpoint={checkpoint}"]))
