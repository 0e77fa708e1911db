"""No request body is longer than what people type: the rest is refused before it is read."""

from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_BYTES = 65_536


class BodyLimit:
    """ASGI middleware: 413 for a body above ``BODY_BYTES``, announced or not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, or refuse."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > BODY_BYTES:
            await _refuse(scope, receive, send)
            return
        held, more = b"", True
        while more:
            part = await receive()
            if part["type"] != "http.request":
                return  # gone before it was sent
            held += part.get("body", b"")
            more = part.get("more_body", False)
            if len(held) > BODY_BYTES:
                await _refuse(scope, receive, send)
                return
        whole: list[Message] = [{"type": "http.request", "body": held, "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        await self._app(scope, replay, send)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    text = f"a request has at most {BODY_BYTES} bytes"
    await JSONResponse({"detail": text}, 413)(scope, receive, send)
