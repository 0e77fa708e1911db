"""The first that a request meets: bounds of its address, and the headers of every answer."""

import re
from collections.abc import Iterable

from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATH_BYTES = 2_048
QUERY_BYTES = 49_152
"""A thousand signal paths, as ``/api/latest`` takes them."""

HEADERS = {
    b"content-security-policy": b"default-src 'self'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data:; connect-src 'self' ws: wss:; object-src 'none'; base-uri 'none'; "
    b"form-action 'self'; frame-ancestors 'self'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
HSTS = (b"strict-transport-security", b"max-age=31536000")
"""Over HTTPS: a browser that came once comes by HTTPS for a year."""

_ODD = re.compile(r"[\x00-\x1f\x7f\ufffd\\]")
"""Control characters, what was no UTF-8, and the backslash that no address of ours has."""
_IGNORED = {b"range", b"if-range"}


class Gate:
    """ASGI: refuses odd addresses, answers HEAD like GET, gives answers whole (no ranges)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, or refuse."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _with_headers(scope, message.get("headers", ()))
            await send(message)

        if (refusal := _refusal(scope)) is not None:
            code, text = refusal
            close = {"connection": "close"}  # where it ends, others may see it otherwise
            await JSONResponse({"detail": text}, code, close)(scope, receive, headed)
            return
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # the server below sends no body
        headers = [h for h in scope["headers"] if h[0] not in _IGNORED]
        await self._app({**scope, "headers": headers}, receive, headed)


def _refusal(scope: Scope) -> tuple[int, str] | None:
    if len(scope["raw_path"]) > PATH_BYTES or len(scope["query_string"]) > QUERY_BYTES:
        return 414, f"an address has at most {PATH_BYTES} bytes, its query {QUERY_BYTES}"
    if _ODD.search(scope["path"]):
        return 400, "an address is UTF-8 without control characters"
    if {b"content-length", b"transfer-encoding"} <= {name for name, _ in scope["headers"]}:
        return 400, "a request has one length: Content-Length or Transfer-Encoding"
    return None


def _with_headers(scope: Scope, given: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    headers = list(given)
    there = {name.lower() for name, _ in headers}
    headers += [(name, value) for name, value in HEADERS.items() if name not in there]
    if scope["scheme"] == "https":
        headers.append(HSTS)
    if scope["path"].startswith("/api") and b"cache-control" not in there:
        headers.append((b"cache-control", b"no-store"))
    return headers
