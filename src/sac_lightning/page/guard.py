"""Requests that the page's server refuses, whatever Gradio does: to fetch from other hosts, to count visitors."""

import re
from collections.abc import Iterable
from urllib.parse import unquote

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# The browser, too, fetches nothing from elsewhere. Gradio's own page needs inline scripts and styles.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# Parts of paths by which Gradio fetches what a visitor names, counts visitors, or offers functions to programs.
REFUSED = ("/proxy=", "/monitoring", "/deep_link", "/openapi.json", "/mcp")
# An address instead of a path; one letter is a drive of Windows.
ADDRESS = re.compile(r"file=[\s/]*[a-z][a-z0-9+.-]+:")


class Guard:
    """Middleware in front of Gradio."""

    def __init__(self, app: ASGIApp, refused: Iterable[str] = REFUSED) -> None:
        """Args: app: the guarded application; refused: parts of paths that are answered with 404."""
        self.app = app
        self.refused = tuple(refused)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on and add the headers."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if self._is_refused(str(scope["path"])):
            await PlainTextResponse("Not found", status_code=404)(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        await self.app(scope, receive, send_with_headers)

    def _is_refused(self, path: str) -> bool:
        path = unquote(path).lower()
        return any(part in path for part in self.refused) or ADDRESS.search(path) is not None
