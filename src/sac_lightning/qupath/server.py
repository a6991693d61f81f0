"""The server: the addresses that QuPath's SAM extension asks, and nothing else; it asks no other host."""

import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import get_args

import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from omegaconf import DictConfig
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect

import sac_lightning
from sac_lightning.core.address import HOST_NAMES, LOCAL, bind_socket
from sac_lightning.core.errors import UserError
from sac_lightning.inference.predictor import load
from sac_lightning.qupath.answers import Feature
from sac_lightning.qupath.finder import Finder
from sac_lightning.qupath.questions import SAM_TYPES, OtherType, Prompt, Question, read_question
from sac_lightning.qupath.refusal import BAD_REQUEST, FORBIDDEN, TOO_LARGE, WRONG_CONTENT, WRONG_KIND, RefusalError

MOST_BYTES = 72 * 2**20
"""Of a request: the largest image, if nothing of it can be compressed, in base64."""
MOST_CONNECTIONS = 8
"""At a time; a further one is told to come again (503)."""


def serve(cfg: DictConfig) -> None:
    """Serve until interrupted."""
    predictor = load(cfg.checkpoint, weights=cfg.weights, device=cfg.device, trust=cfg.trust, mpp=cfg.mpp)
    bound = bind_socket(str(cfg.host), cfg.port)
    bound.listen()  # Whoever reads the URL can ask at once.
    app = make_app(Finder(predictor, Path(str(cfg.checkpoint)).stem), str(cfg.host), cfg.token)
    # h11: QuPath's client offers TLS in every request, over which uvicorn's other parser drops what follows.
    config = uvicorn.Config(
        app, http="h11", log_level="error", limit_concurrency=MOST_CONNECTIONS, timeout_graceful_shutdown=1
    )
    where = "localhost" if cfg.host in LOCAL else "HOST" if cfg.host in ("0.0.0.0", "::") else cfg.host
    token = "" if cfg.token is None else "TOKEN/"  # Not itself: what a console shows may be kept.
    print(f"the server URL for QuPath is http://{where}:{cfg.port}/{token}sam/", flush=True)
    print("Ctrl+C ends it", flush=True)
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[bound])


def make_app(finder: Finder, host: str, token: str | None) -> FastAPI:
    """Make the server as an application.

    Args:
        finder: The model.
        host: The address at which it is served.
        token: What stands first in the path of every request, if anything: the extension has a server URL to
            write it in, and sends no headers of one's own.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    if host in LOCAL:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=HOST_NAMES)
    prefix = "/sam" if token is None else "/{token}/sam"
    app.include_router(_make_routes(finder), prefix=prefix, dependencies=[Depends(_check_token(token))])
    app.add_exception_handler(UserError, _tell_refusal)
    app.add_exception_handler(HTTPException, _tell_address)
    app.add_exception_handler(Exception, _tell_failure)
    return app


def _make_routes(finder: Finder) -> APIRouter:
    """Return what is answered, by address and method."""
    routes = APIRouter()

    @routes.get("/version/", response_class=PlainTextResponse)
    async def version() -> str:
        return sac_lightning.__version__

    @routes.post("")
    @routes.post("/")
    async def find_prompted(request: Request) -> JSONResponse:
        return JSONResponse(await run_in_threadpool(_answer, finder, await _read_body(request), Prompt))

    @routes.post("/automask/")
    async def find_all(request: Request) -> JSONResponse:
        return JSONResponse(await run_in_threadpool(_answer, finder, await _read_body(request), Question))

    @routes.get("/weights/")
    async def list_weights(request: Request) -> list[dict[str, str]]:
        asked = request.query_params.get("type")
        if asked is not None and asked not in (*SAM_TYPES, *get_args(OtherType)):
            raise RefusalError(f"type is none of {', '.join(SAM_TYPES)}: choose one")
        types = [each for each in SAM_TYPES if asked in (None, each)]
        return [{"type": each, "name": finder.name, "url": _url(finder)} for each in types]

    @routes.post("/weights/")
    async def register_weights() -> None:
        raise RefusalError(f"nothing is downloaded here: {_remedy(finder)}", FORBIDDEN)

    @routes.get("/weights/cancel/", response_class=PlainTextResponse)
    async def cancel_download() -> str:
        return "Nothing is being downloaded."

    @routes.get("/progress/")
    async def progress() -> dict[str, str | int | None]:
        return {"message": None, "percent": -1}

    return routes


def _answer(finder: Finder, body: bytes, kind: type[Question]) -> list[Feature]:
    """Answer a question, given as JSON. Raise UserError if there is no answer to it."""
    question = read_question(kind, body)
    if question.checkpoint_url not in (None, "", _url(finder)):
        raise RefusalError(
            f"checkpoint_url names weights that are not here, and none are fetched: {_remedy(finder)}", FORBIDDEN
        )
    return finder.find_prompted(question) if isinstance(question, Prompt) else finder.find_all(question)


def _url(finder: Finder) -> str:
    """Return what stands in the place of the weights' URL: the extension needs one, and sends it back."""
    return f"sac-lightning:{finder.name}"


def _remedy(finder: Finder) -> str:
    return f"choose {finder.name} in the list of weights, or start the server with another checkpoint="


def _check_token(token: str | None) -> Callable[[Request], None]:
    """Return a check of the token in a request's path, without any where there is none."""

    def check(request: Request) -> None:
        given = request.path_params.get("token", "")
        if token is not None and not secrets.compare_digest(given.encode(), token.encode()):
            raise RefusalError("the token is wrong: the server URL is http://HOST:PORT/TOKEN/sam/", FORBIDDEN)

    return check


async def _read_body(request: Request) -> bytes:
    """Read JSON of a bounded length. Another kind of content is what a foreign page can send without asking."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RefusalError("the request is not of the type application/json: send JSON", WRONG_KIND)
    declared = request.headers.get("content-length", "0")
    body = bytearray()
    try:
        if int(declared) > MOST_BYTES:
            raise _too_long()
        async for part in request.stream():
            body += part
            if len(body) > MOST_BYTES:
                raise _too_long()
    except ClientDisconnect as error:
        raise RefusalError("the request broke off: send it again", BAD_REQUEST) from error
    return bytes(body)


def _too_long() -> RefusalError:
    return RefusalError(f"the request has more than {MOST_BYTES // 2**20} MB: show less of the image", TOO_LARGE)


def _tell_refusal(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, getattr(error, "status", WRONG_CONTENT))


def _tell_address(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    sentence = "this is not served here: the server URL ends in /sam/, and of SAM 2 and SAM 3 nothing is offered"
    return JSONResponse({"detail": sentence}, error.status_code)


def _tell_failure(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "the server failed: its console says why"}, 500)
