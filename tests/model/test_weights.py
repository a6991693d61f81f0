"""The weights registry with a small local host, and the reader with malicious files."""

import hashlib
import io
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sac_lightning.core.errors import UserError
from sac_lightning.model import weights
from sac_lightning.model.register import REGISTER
from sac_lightning.model.registered import sha256_of
from sac_lightning.model.weights import cached_path, locate, read_weights, write_weights

PAYLOAD = bytes(range(256)) * 100
FILE = "sam_vit_x.pth"
WEIGHT = torch.zeros(2)


class Host(ThreadingHTTPServer):
    """Sends `body` under any path, and counts who asked; `length` is what its header claims."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.body = PAYLOAD
        self.length: int | None = None
        self.status = 200
        self.asked: list[str] = []


class Answer(BaseHTTPRequestHandler):
    """One request to the host."""

    server: Host

    def do_GET(self) -> None:
        """Sends what the host is set to send."""
        self.server.asked.append(self.path)
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(self.server.length or len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Host]:
    """A host that has the one registered file, and an empty cache."""
    with Host() as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setenv("SAC_WEIGHTS", str(tmp_path / "cache"))
        register(monkeypatch, f"http://127.0.0.1:{server.server_port}/sam/{FILE}")
        yield server
        server.shutdown()
        thread.join()


def register(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Make the payload the registered file of a SAM called vit_x."""
    sha256 = hashlib.sha256(PAYLOAD).hexdigest()
    model = replace(REGISTER["vit_b"], name="vit_x", file=FILE, url=url, size=len(PAYLOAD), sha256=sha256)
    monkeypatch.setitem(REGISTER, "vit_x", model)


@pytest.fixture
def cached(host: Host, tmp_path: Path) -> Path:
    """Where the registered file belongs."""
    return tmp_path / "cache" / FILE


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


def assert_one_sentence(error: pytest.ExceptionInfo[UserError]) -> None:
    message = str(error.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert ". " not in message


def test_registry_holds_the_three_published_files() -> None:
    folder = "https://dl.fbaipublicfiles.com/segment_anything"
    published = {name: entry for name, entry in REGISTER.items() if entry.is_downloadable}
    assert {name: (entry.url, entry.size, entry.sha256[:8]) for name, entry in published.items()} == {
        "vit_b": (f"{folder}/sam_vit_b_01ec64.pth", 375042383, "ec2df627"),
        "vit_l": (f"{folder}/sam_vit_l_0b3195.pth", 1249524607, "3adcc431"),
        "vit_h": (f"{folder}/sam_vit_h_4b8939.pth", 2564550879, "a7bf3b02"),
    }
    assert {len(bytes.fromhex(entry.sha256)) for entry in published.values()} == {32}


def test_the_cache_is_torch_hubs_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SAC_WEIGHTS", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert cached_path(REGISTER["vit_b"]) == tmp_path / "hub" / "checkpoints" / "sam_vit_b_01ec64.pth"
    monkeypatch.setenv("SAC_WEIGHTS", "~/sam")
    assert cached_path(REGISTER["vit_b"]) == Path.home() / "sam" / "sam_vit_b_01ec64.pth"


def test_downloads_once_and_keeps_nothing_but_the_file_and_its_hash(host: Host, cached: Path) -> None:
    assert locate("vit_x") == cached
    assert locate("vit_x") == cached
    assert cached.read_bytes() == PAYLOAD
    assert sha256_of(cached) == hashlib.sha256(PAYLOAD).hexdigest()
    assert host.asked == [f"/sam/{FILE}"]
    assert left_in(cached.parent) == {FILE, f"{FILE}.sha256"}


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"body": PAYLOAD[::-1]}, "25600 of 25600 bytes"),
        ({"body": PAYLOAD[:1000], "length": len(PAYLOAD)}, r"1000 of 25600 bytes|IncompleteRead"),
        ({"body": PAYLOAD[:1000]}, "1000 of 25600 bytes"),
        ({"body": PAYLOAD * 3}, "26000 of 25600 bytes"),  # cut off before it fills the disk
        ({"status": 403}, "HTTP Error 403"),
    ],
    ids=["another-file", "broken-off", "too-short", "too-long", "forbidden"],
)
def test_a_download_that_goes_wrong_leaves_nothing_and_the_next_one_works(
    host: Host, cached: Path, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any], message: str
) -> None:
    vars(host).update(fault)
    monkeypatch.setattr(weights, "CHUNK_BYTES", 1000)
    with pytest.raises(UserError, match=message) as error:
        locate("vit_x")
    assert_one_sentence(error)
    assert str(cached) in str(error.value)
    assert f"http://127.0.0.1:{host.server_port}/sam/{FILE}" in str(error.value)
    assert left_in(cached.parent) == set()
    host.body, host.length, host.status = PAYLOAD, None, 200
    assert locate("vit_x").read_bytes() == PAYLOAD


def test_what_a_killed_download_left_is_not_used(host: Host, cached: Path) -> None:
    cached.parent.mkdir()
    cached.with_name(f"{FILE}.part").write_bytes(b"x" * len(PAYLOAD))
    assert locate("vit_x").read_bytes() == PAYLOAD
    assert left_in(cached.parent) == {FILE, f"{FILE}.sha256"}


def test_offline_says_which_file_to_put_where(host: Host, cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, f"http://127.0.0.1:1/sam/{FILE}")  # nobody listens there
    with pytest.raises(UserError, match="Connection refused") as error:
        locate("vit_x")
    assert_one_sentence(error)
    assert f"http://127.0.0.1:1/sam/{FILE}" in str(error.value)
    assert f"put it at {cached}" in str(error.value)


def test_a_cache_that_cannot_be_made_is_a_sentence(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "occupied").write_text("a file, not a folder")
    monkeypatch.setenv("SAC_WEIGHTS", str(tmp_path / "occupied"))
    with pytest.raises(UserError) as error:
        locate("vit_x")
    assert_one_sentence(error)
    assert host.asked == []


def test_two_at_once_download_once(host: Host, cached: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(locate, ["vit_x", "vit_x"]))
    assert found == [cached, cached]
    assert host.asked == [f"/sam/{FILE}"]


def test_waits_for_another_process_that_downloads(host: Host, cached: Path) -> None:
    cached.parent.mkdir()
    script = (
        "import sys, time; from pathlib import Path; from filelock import FileLock\n"
        "path = Path(sys.argv[1])\n"
        "with FileLock(f'{path}.lock'):\n"
        "    print('locked', flush=True); time.sleep(0.2); path.write_bytes(bytes(range(256)) * 100)\n"
    )
    command = [sys.executable, "-c", script, str(cached)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        assert locate("vit_x") == cached
    assert host.asked == []


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"short", "5 bytes instead of 25600: delete"), (PAYLOAD[::-1], "differs: delete")],
)
def test_a_cached_file_that_is_not_the_published_one_is_refused_and_kept(
    host: Host, cached: Path, content: bytes, message: str
) -> None:
    cached.parent.mkdir()
    cached.write_bytes(content)
    for _ in range(2):
        with pytest.raises(UserError, match=message) as error:
            locate("vit_x")
        assert_one_sentence(error)
    assert cached.read_bytes() == content
    assert host.asked == []


def test_a_cached_file_is_hashed_once_and_again_after_it_changed(
    host: Host, cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[Path] = []

    def count(path: Path) -> str:
        hashed.append(path)
        return sha256_of(path)

    monkeypatch.setattr(weights, "sha256_of", count)
    cached.parent.mkdir()
    cached.write_bytes(PAYLOAD)
    cached.with_name(f"{FILE}.sha256").write_bytes(b"\xff not ours")
    locate("vit_x")
    locate("vit_x")
    assert hashed == [cached], "the second start hashed the file again"
    cached.write_bytes(PAYLOAD[::-1])
    os.utime(cached, ns=(0, 0))
    with pytest.raises(UserError, match="SHA-256 differs"):
        locate("vit_x")


def test_a_cache_that_cannot_hold_the_hash_still_serves(host: Host, cached: Path) -> None:
    cached.parent.mkdir()
    cached.write_bytes(PAYLOAD)
    cached.with_name(f"{FILE}.sha256").mkdir()  # what a read-only folder does too: os.replace fails
    assert locate("vit_x") == cached


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "medsam.pth"
    path.write_bytes(b"anything")
    assert locate(str(path)) == path


@pytest.mark.parametrize("name", ["vit_g", "missing/file.pth", ".", ""])
def test_a_name_that_is_nothing_is_a_sentence(name: str) -> None:
    with pytest.raises(
        UserError, match=r"give one of vit_t, vit_b, vit_l, vit_h, .+, or the path of a file"
    ) as error:
        locate(name)
    assert_one_sentence(error)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_state_dict_comes_back_as_it_was(tmp_path: Path, zipped: bool) -> None:
    state = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).half().state_dict()
    torch.save(state, tmp_path / "state.pth", _use_new_zipfile_serialization=zipped)
    found = read_weights(tmp_path / "state.pth")
    assert type(found) is dict
    assert list(found) == list(state)
    for name, tensor in state.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_what_is_written_comes_back_in_half_precision(tmp_path: Path) -> None:
    state = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).state_dict()
    write_weights(tmp_path / "state.safetensors", state)
    found = read_weights(tmp_path / "state.safetensors")
    assert found.keys() == state.keys()
    for name, tensor in state.items():
        assert torch.equal(found[name], tensor.half())
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]


@pytest.mark.parametrize("content", [b"", b"<html>Please log in</html>", bytes(range(256)) * 10])
def test_damaged_safetensors_are_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot be read as safetensors") as error:
        read_weights(path)
    assert str(path) in str(error.value)


class RunsCode:
    """Unpickling it writes a file, as any other harm could be done."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        """Tells pickle to call a shell."""
        return os.system, (f"touch '{self.target}'",)


@pytest.mark.parametrize(
    "save",
    [
        torch.save,
        partial(torch.save, _use_new_zipfile_serialization=False),
        lambda content, path: path.write_bytes(pickle.dumps(content)),
        lambda content, path: path.write_bytes(pickle.dumps(content, protocol=2)),
    ],
    ids=["zip", "legacy", "pickle", "old-pickle"],
)
def test_code_in_a_file_is_refused_and_does_not_run(tmp_path: Path, save: Callable[[Any, Path], None]) -> None:
    harm, path = tmp_path / "harm", tmp_path / "evil.pth"
    save({"weight": WEIGHT, "extra": RunsCode(harm)}, path)
    with pytest.raises(UserError, match=r"would run code|without running code") as error:
        read_weights(path)
    assert_one_sentence(error)
    assert str(path) in str(error.value)
    assert not harm.exists(), "the payload ran"


def test_the_payload_would_run_if_it_were_let(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(RunsCode(tmp_path / "harm")))
    assert (tmp_path / "harm").exists()


def as_bytes(save: Callable[[io.BytesIO], None]) -> bytes:
    buffer = io.BytesIO()
    save(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        as_bytes(lambda buffer: torch.save({"weight": torch.zeros(1000)}, buffer))[:2000],
        as_bytes(lambda buffer: np.savez(buffer, weight=np.zeros(3))),
        np.random.default_rng(0).bytes(5000),
        b"<html>Please log in</html>",
        b"",
    ],
    ids=["cut-short", "another-zip", "noise", "page", "nothing"],
)
def test_a_damaged_file_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match="is damaged") as error:
        read_weights(path)
    assert_one_sentence(error)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("name", ["missing.pth", "."])
def test_a_missing_file_and_a_folder_are_sentences(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot be read") as error:
        read_weights(tmp_path / name)
    assert_one_sentence(error)


@pytest.mark.parametrize(
    "content",
    [WEIGHT, [WEIGHT], {}, {"model": {"weight": WEIGHT}}, {"epoch": 3}, {1: WEIGHT}],
    ids=["tensor", "list", "nothing", "wrapped", "number", "numbered"],
)
def test_what_is_no_state_dict_is_a_sentence(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(UserError, match="save the state dict alone") as error:
        read_weights(tmp_path / "other.pth")
    assert str(tmp_path / "other.pth") in str(error.value)
