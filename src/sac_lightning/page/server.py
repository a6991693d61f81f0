"""The server of the page: from its own temporary folder, to this machine alone, with no request to any other."""

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import gradio as gr
import uvicorn
from fastapi import FastAPI
from omegaconf import DictConfig
from starlette.middleware.trustedhost import TrustedHostMiddleware

from sac_lightning.core.address import HOST_NAMES, LOCAL, bind_socket
from sac_lightning.inference.predictor import Predictor, load
from sac_lightning.model.register import DEFAULT
from sac_lightning.page.guard import Guard
from sac_lightning.page.layout import CSS, make_page, theme
from sac_lightning.page.picture_file import MAX_BYTES
from sac_lightning.page.segmenter import Segmenter


def serve(cfg: DictConfig) -> None:
    """Serve the page until it is interrupted."""
    predictor = load(cfg.checkpoint, weights=cfg.weights, device=cfg.device, trust=cfg.trust, mpp=cfg.mpp)
    bound = bind_socket(str(cfg.host), cfg.port)
    with own_folder() as folder:
        app = make_app(predictor, folder, str(cfg.host), is_own=cfg.checkpoint != DEFAULT)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
        print(f"the page is at http://{'localhost' if cfg.host == '0.0.0.0' else cfg.host}:{cfg.port}", flush=True)
        print("Ctrl+C ends it", flush=True)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # or the folder would stay
        with suppress(KeyboardInterrupt):
            server.run(sockets=[bound])


@contextmanager
def own_folder() -> Iterator[Path]:
    """Make the temporary folder, the only one that Gradio writes and serves files from; remove it in the end."""
    names = ("GRADIO_TEMP_DIR", "GRADIO_EXAMPLES_CACHE")
    before = {name: os.environ.get(name) for name in names}
    with tempfile.TemporaryDirectory(prefix="sac_lightning_") as name:
        folder = Path(name).resolve()
        os.environ.update({each: str(folder) for each in names})
        try:
            yield folder
        finally:
            for each, value in before.items():
                if value is None:
                    os.environ.pop(each, None)
                else:
                    os.environ[each] = value


def make_app(predictor: Predictor, folder: Path, host: str, is_own: bool) -> FastAPI:
    """Make the page as an application.

    Args:
        predictor: The model.
        folder: For the files of visitors, see own_folder.
        host: The address at which it is served.
        is_own: Whether the model is the visitor's, not the one that the package brings along.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    if host in LOCAL:  # Otherwise a foreign page could reach this one by a name of its own for 127.0.0.1.
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=HOST_NAMES)
    app.add_middleware(Guard)
    page = make_page(Segmenter(predictor), folder, is_own)
    page.queue(api_open=False, max_size=32, default_concurrency_limit=1)
    gr.mount_gradio_app(
        app,
        page,
        path="/",
        server_name=host,
        allowed_paths=[],
        blocked_paths=[],
        max_file_size=MAX_BYTES,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        show_error=False,
        theme=theme(),
        css=CSS,
    )
    return app
