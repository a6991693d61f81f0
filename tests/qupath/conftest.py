"""What the tests of the server share: requests as QuPath's extension builds them, and a server of discs."""

import base64
import io
import json
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import numpy as np
import pytest
import uvicorn
from numpy.typing import NDArray
from PIL import Image
from tests.inference.discs import draw, predictor

from sac_lightning.core.address import bind_socket
from sac_lightning.qupath.finder import Finder
from sac_lightning.qupath.server import make_app

POINTS = np.array([[20, 20], [40, 50], [70, 30]], np.float32)
VIEW = draw((64, 90), POINTS)
# What the extension's client sends with every request, and with those that have a body.
HEADERS = {
    "Accept-Encoding": "gzip, x-gzip, deflate",
    "Connection": "Upgrade",
    "Upgrade": "TLS/1.2",
    "User-Agent": "Apache-HttpClient/5.4.1 (Java/21.0.7)",
}
JSON_HEADERS = {"accept": "application/json", "Content-Type": "application/json; charset=utf-8"}
AUTO_MASK = {
    "points_per_side": 16,
    "points_per_batch": 64,
    "pred_iou_thresh": 0.88,
    "stability_score_thresh": 0.95,
    "stability_score_offset": 1.0,
    "box_nms_thresh": 0.2,
    "crop_n_layers": 0,
    "crop_nms_thresh": 0.7,
    "crop_overlap_ratio": 0.3413333333333333,
    "crop_n_points_downscale_factor": 1,
    "min_mask_region_area": 0,
    "output_type": "Multi-mask (smallest)",
    "include_image_edge": False,
}
CHECKPOINT = "sac-lightning:discs"


def encode(pixels: NDArray[Any], kind: str = "PNG") -> str:
    """An image as the extension sends it."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind)
    return base64.b64encode(content.getvalue()).decode()


def prompt(**fields: Any) -> dict[str, Any]:
    """The JSON of a click or a box; Gson leaves out what is null."""
    return {
        "type": "vit_l",
        "b64img": encode(VIEW),
        "multimask_output": True,
        "checkpoint_url": CHECKPOINT,
        **fields,
    }


def ask(port: int, method: str, path: str, body: Any = None, **headers: str | None) -> tuple[int, str]:
    """Status and text of an answer; a body that is no text is sent as JSON."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    all_headers = HEADERS | (JSON_HEADERS if body is not None else {})
    all_headers |= {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
    content = body if body is None or isinstance(body, bytes | str) else json.dumps(body)
    try:
        connection.request(method, path, content, all_headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def _serve(host: str, token: str | None) -> Iterator[int]:
    bound = bind_socket("127.0.0.1", 0)
    config = uvicorn.Config(make_app(Finder(predictor(), "discs"), host, token), http="h11", log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield bound.getsockname()[1]
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="session")
def port() -> Iterator[int]:
    """The port of a server for this machine alone."""
    yield from _serve("127.0.0.1", None)


@pytest.fixture(scope="session")
def guarded() -> Iterator[int]:
    """The port of a server that asks for a token."""
    yield from _serve("0.0.0.0", "a-secret-of-sixteen")
