"""What the server gives away: the page and the files of visitors, and nothing else; and where it listens."""

import http.client
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from sac_lightning import demo
from sac_lightning.core.address import bind_socket
from sac_lightning.core.configuration import compose_config
from sac_lightning.core.errors import UserError
from sac_lightning.page.picture_file import MAX_BYTES

Served = Callable[..., str]


@pytest.fixture(scope="session")
def address(served: Served) -> str:
    return served()


def get(address: str, path: str, host: str | None = None) -> tuple[int, str, dict[str, str]]:
    """Status, text and headers of an answer to exactly this path."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    connection.request("GET", path, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    text = answer.read().decode(errors="replace")
    connection.close()
    return answer.status, text, dict(answer.getheaders())


@pytest.mark.parametrize(
    "prefix", ["/gradio_api/file=", "/file=", "/gradio_api/file/", "/static/", "/assets/", "/"]
)
@pytest.mark.parametrize("is_quoted", [True, False])
def test_files_of_the_machine_are_not_served(prefix: str, is_quoted: bool, address: str) -> None:
    here = Path("pyproject.toml").resolve()
    assert here.is_file(), "a file of the working directory"
    with tempfile.NamedTemporaryFile(suffix=".png") as other:
        for path in ("/etc/passwd", "../../../../../../etc/passwd", str(here), here.name, other.name):
            status, text, _ = get(address, prefix + (quote(path, safe="") if is_quoted else path))
            assert status in (403, 404), (status, path)
            assert "root:" not in text
            assert "[build-system]" not in text


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/proxy=http://127.0.0.1:1/",
        "/gradio_api/file=http://127.0.0.1:1/",
        "/gradio_api/file=HTTPS%3A//example.com/a.png",
        "/gradio_api/file=file:///etc/passwd",
        "/monitoring",
        "/gradio_api/openapi.json",
        "/docs",
        "/openapi.json",
    ],
)
def test_nothing_is_fetched_from_elsewhere_or_told_about_the_server(path: str, address: str) -> None:
    assert get(address, path)[0] == 404


def test_a_foreign_name_for_this_machine_is_refused(address: str) -> None:
    assert get(address, "/", host="elsewhere.example")[0] == 400
    assert get(address, "/")[0] == 200


def test_the_browser_is_told_to_ask_nobody_else(address: str) -> None:
    status, page, headers = get(address, "/")
    assert status == 200
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=[\"']?(?:https?:)?//(?!127)[^>]*", page)


def test_what_is_too_large_is_not_taken(address: str) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    body += bytes(MAX_BYTES + 1) + b"\r\n--x--\r\n"
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    connection.request("POST", "/gradio_api/upload", body, {"Content-Type": "multipart/form-data; boundary=x"})
    assert connection.getresponse().status == 413
    connection.close()


def test_a_port_that_is_taken_is_told() -> None:
    with bind_socket("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"127\.0\.0\.1:{port}.*in use.*choose another port="):
            bind_socket("127.0.0.1", port)


def test_it_listens_to_this_machine_alone_and_leaves_nothing_behind(
    wait_for: Callable[[subprocess.Popen[str], int], None], tmp_path: Path
) -> None:
    with bind_socket("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "sac_lightning.demo", f"port={port}"]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    server = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        wait_for(server, port)
        status, page, _ = get(f"http://127.0.0.1:{port}", "/")
        assert status == 200
        assert "Find the nuclei" in page
        with socket.socket() as client:
            assert client.connect_ex(("127.0.0.2", port)) != 0, "only the one address is bound"
    finally:
        server.terminate()
        server.communicate(timeout=60)
    assert not list(tmp_path.glob("sac_lightning_*")), "the files of visitors go with the page"


def test_without_gradio_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'sac-lightning\[demo\]'"):
        demo.check(compose_config("demo"))
