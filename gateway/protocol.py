"""HTTP and WebSocket as uvicorn speaks them, with every connection in the register."""

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from gateway.connection import Connection, Connections

UNREAD_BYTES = 16 * 2**20
"""Answers to pings and the like that nobody reads."""
FRAGMENTS = 1_000
"""So many parts of one WebSocket message."""

_NO_HANDSHAKE = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Http(H11Protocol):
    """HTTP/1.1; tells the register when a request is whole, and when it is answered."""

    def __init__(self, connections: Connections, **settings: Any) -> None:
        super().__init__(**settings)
        self._connections = connections
        self._mine: Connection | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Find the entry that the listener made."""
        super().connection_made(transport)
        self._mine = self._connections.of(transport)
        if self._mine is None:
            transport.abort()  # it made room meanwhile

    def handle_events(self) -> None:
        """Read what came; with the end of a request nobody waits for it any more."""
        super().handle_events()
        cycle: Any = self.cycle  # None before the first request
        whole = cycle is not None and not cycle.more_body and not cycle.response_complete
        if self._mine is not None and whole:
            self._connections.busy(self._mine)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """A WebSocket from here on; its handshake is ASCII (the library below fails otherwise)."""
        if event.method != b"GET" or _has_body(self.headers):
            self.send_400_response("A WebSocket handshake is a GET without a body.")
            return
        if not all(name == b"cookie" or value.isascii() for name, value in self.headers):
            self.send_400_response("A WebSocket handshake is ASCII.")
            return
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        """The next request may come, and not for ever."""
        if self._mine is not None:
            self._connections.waits(self._mine)
        super().on_response_complete()

    def resume_writing(self) -> None:
        """The other end reads."""
        if self._mine is not None:
            self._connections.read(self._mine)
        super().resume_writing()


class WebSocket(WebSocketsSansIOProtocol):
    """A WebSocket; ends where its other end only asks and never reads."""

    def __init__(self, connections: Connections, **settings: Any) -> None:
        super().__init__(**settings)
        self._connections = connections
        self._mine: Connection | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Find the entry that the listener made."""
        super().connection_made(transport)
        self._mine = self._connections.of(transport)

    def data_received(self, data: bytes) -> None:
        """Take what came, unless the answers to it pile up."""
        if self.transport.get_write_buffer_size() > UNREAD_BYTES:
            self.transport.abort()
            return
        if not self.handshake_initiated:
            self._open(data)
            return
        super().data_received(data)

    def _open(self, head: bytes) -> None:
        """The handshake, which is whole; what the library does not understand gets an answer."""
        super().data_received(head)
        if self.handshake_initiated and self._mine is not None:
            self._connections.busy(self._mine)
        elif not self.handshake_initiated:
            self.transport.write(_NO_HANDSHAKE)
            self.transport.close()

    def handle_cont(self, event: Frame) -> None:
        """A further part of a message."""
        if len(self.frames) >= FRAGMENTS:
            self.transport.abort()
            return
        super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        """Hand a message on; one that is no text ends the stream, without a traceback."""
        if self.curr_msg_data_type == "text" and not _is_text(b"".join(self.frames)):
            self.conn.fail(1007)
            self.handle_parser_exception()
            return
        super().send_receive_event_to_app()

    def resume_writing(self) -> None:
        """The other end reads."""
        if self._mine is not None:
            self._connections.read(self._mine)
        super().resume_writing()


def _has_body(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in headers
    )


def _is_text(message: bytes) -> bool:
    try:
        message.decode()
    except UnicodeDecodeError:
        return False
    return True


def protocols(connections: Connections) -> dict[str, Any]:
    """What uvicorn's ``Config`` takes as ``http`` and ``ws``."""
    return {"http": partial(Http, connections), "ws": partial(WebSocket, connections)}
