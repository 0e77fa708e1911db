"""The connections of the OPC UA server: frames cut to size, and room for those who log in.

Who connects and says nothing, or never gets further than discovery, holds his place for seconds
only, and gives it up at once where another from his address, or from anywhere, needs it.
"""
# ruff: noqa: TID253 - only the server's process imports this
# mypy: disable-error-code="no-untyped-call"

import asyncio
import time
from enum import IntEnum
from typing import Any

from asyncua.server.binary_server_asyncio import BinaryServer, OPCUAProtocol
from asyncua.ua.ua_binary import uatcp_to_binary

from edge.opcua import channel
from edge.opcua.vocabulary import ua

SMALLEST_FRAME = 8
HELLO_S, CHANNEL_S = 3.0, 8.0
"""Time to say Hello, and to open a secure channel; a session has 15 s (``channel.Core``)."""


class Stage(IntEnum):
    """How far a connection has come."""

    SILENT = 0
    HELLO = 1
    DISCOVERY = 2
    """A channel without security, which anybody may open."""
    KNOWN = 3
    """A secure channel, with a certificate that we trust."""
    SESSION = 4


class Connection(OPCUAProtocol):
    """One TCP connection; frames are cut here, so that nothing larger than a chunk is held."""

    refusal: channel.Refusal
    began = 0.0
    greeted = False
    _timers: tuple[asyncio.TimerHandle, ...] = ()

    @property
    def stage(self) -> Stage:
        """How far it has come."""
        processor = self.processor
        if processor is None or not self.greeted:
            return Stage.SILENT
        if processor.session is not None and processor.session.is_activated():
            return Stage.SESSION
        if not processor._connection.is_open():
            return Stage.HELLO
        secured = processor._connection.security_policy.Mode == _SECURED
        return Stage.KNOWN if secured else Stage.DISCOVERY

    def connection_made(self, transport: Any) -> None:
        """Take it, where there is room or one that has come less far can go."""
        peer = transport.get_extra_info("peername")
        host = peer[0] if peer else None
        others: list[Any] = list(self.clients)
        same = [other for other in others if other.peer_name and other.peer_name[0] == host]
        crowded = len(same) >= channel.MAX_CONNECTIONS_PER_ADDRESS
        full = crowded or len(others) >= channel.MAX_CONNECTIONS
        if full and not _make_room(same if crowded else others):
            transport.abort()
            return
        super().connection_made(transport)
        self.began = time.monotonic()
        self._received = bytearray()
        if self.processor is not None:
            processor = channel.Channel(self.iserver, self.transport, self.limits)
            processor.refusal = self.refusal
            processor.set_policies(self.policies)
            self.processor = processor
        later = asyncio.get_running_loop().call_later
        self._timers = (
            later(HELLO_S, self._expect, Stage.HELLO),
            later(CHANNEL_S, self._expect, Stage.DISCOVERY),
        )

    def connection_lost(self, ex: BaseException | None) -> None:
        """Forget it."""
        for timer in self._timers:
            timer.cancel()
        if self.transport is not None:
            super().connection_lost(ex)

    def _expect(self, stage: Stage) -> None:
        if self.stage < stage:
            self.leave()

    def leave(self) -> None:
        """Give up the place at once."""
        if self in self.clients:
            self.clients.remove(self)
        if self.transport is not None:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Hand on whole frames."""
        if self.transport is None or self.transport.is_closing():
            return
        self._received += data
        while len(self._received) >= SMALLEST_FRAME:
            size = int.from_bytes(self._received[4:8], "little")
            if not SMALLEST_FRAME < size <= self.limits.max_recv_buffer:
                message = ua.ErrorMessage(
                    ua.StatusCode(ua.StatusCodes.BadTcpMessageTooLarge), "frame too large"
                )
                self.transport.write(uatcp_to_binary(ua.MessageType.Error, message))
                self.transport.close()
                self._received.clear()
                return
            if len(self._received) < size:
                return
            frame = bytes(self._received[:size])
            self.greeted = self.greeted or frame[:3] == b"HEL"
            del self._received[:size]
            super().data_received(frame)
            if self.transport.is_closing():
                self._received.clear()
                return


_SECURED = ua.MessageSecurityMode.SignAndEncrypt


def _make_room(connections: list[Any]) -> bool:
    """Send away the one that has come least far, the oldest of these; False where none may go."""
    least = min(connections, key=lambda one: (one.stage, one.began))
    if least.stage >= Stage.KNOWN:
        return False
    least.leave()
    return True


class Listener(BinaryServer):
    """The listening socket, with our kind of connection."""

    refusal: channel.Refusal

    def _make_protocol(self) -> OPCUAProtocol:
        connection = Connection(
            iserver=self.iserver,
            policies=self._policies,
            clients=self.clients,
            closing_tasks=self.closing_tasks,
            limits=self.limits,
        )
        connection.refusal = self.refusal
        return connection
