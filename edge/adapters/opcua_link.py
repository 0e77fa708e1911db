"""The way to an OPC UA server: a connection, a secure channel and a session that outlives both.

Every question to the server goes through ``ask``, and every answer is judged there: an answer of
another kind than was asked for, or one that cannot be read, ends the session. ``Away`` says that
the connection is gone; ``resume`` then takes the session up on a new one, as long as the server
knows it and has not been started again since.
"""
# ruff: noqa: TID253 - only ``OpcUa.open`` imports this
# mypy: disable-error-code="no-untyped-call"

import asyncio
import logging
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyncua import ua as _ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UASocketProtocol, UASocketState
from asyncua.common.connection import TransportLimits
from asyncua.ua.ua_binary import struct_from_binary
from asyncua.ua.uaerrors import UaError, UaStatusCodeError
from cryptography.exceptions import InvalidSignature

from edge.adapters.opcua_request import read_values
from edge.adapters.opcua_trust import Trust
from plant.errors import Unavailable

if TYPE_CHECKING:
    from edge.adapters.opcua import OpcUa

log = logging.getLogger("kaikou.opcua")

ua: Any = _ua
"""asyncua's types promise more than its code keeps (NewTypes that nobody builds)."""

SESSION_S = 120.0
"""For so long the server shall keep our session and what it queues while we are away."""
_GOODBYE_S = 0.7
_PATIENCE = 3
_LARGEST_FRAME = 16 << 20
_LARGEST_MESSAGE = 64 << 20
_UNREADABLE = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    RecursionError,
    struct.error,
    InvalidSignature,
)
"""What asyncua raises where an answer is not what it should be."""


class Away(Exception):
    """The connection to the server is lost."""


class _Frames(UASocketProtocol):
    """asyncua's end of the socket, which would believe any length that a frame announces."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._received = bytearray()

    def data_received(self, data: bytes) -> None:
        """Hand on whole frames."""
        self._received += data
        while len(self._received) >= 8 and self.transport is not None:
            size = int.from_bytes(self._received[4:8], "little")
            if not 8 <= size <= _LARGEST_FRAME:
                self.transport.abort()
                return
            if len(self._received) < size or self.transport.is_closing():
                return
            frame = bytes(self._received[:size])
            del self._received[:size]
            super().data_received(frame)


class Link:
    """One server. ``open`` first, ``close`` in any case."""

    def __init__(self, config: "OpcUa", folder: Path) -> None:
        for name in ("asyncua", "asyncua.client", "asyncua.common"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # the runner reports transitions
        self.url = config.url
        self.timeout_s = config.timeout_ms / 1000
        self.session_s = SESSION_S
        client = Client(config.url, timeout=self.timeout_s)
        client.name = client.description = "Kaikou edge"
        client.session_timeout = int(SESSION_S * 1000)
        client.uaclient.pre_request_hook = None
        if config.user is not None and config.password is not None:
            client.set_user(config.user)
            client.set_password(config.password.get_secret_value())
        self._client = client
        self._trust = Trust(config, folder)
        self._protocol: _Frames | None = None
        self._session_asked = False
        self._hung_up = 0
        self._patience = 1
        """So often the server may hang up instead of opening the channel."""
        self._renew_at = 0.0
        self._started: Any = None
        """When the server began, as it says."""

    @property
    def connected(self) -> bool:
        """Whether the connection is there, as far as we know."""
        protocol = self._protocol
        if protocol is None or protocol.state is not UASocketState.OPEN:
            return False
        return protocol.transport is not None and not protocol.transport.is_closing()

    async def open(self) -> None:
        """Connect and begin a session.

        Raises
        ------
        Unavailable
            In words for whoever installs the server.
        """
        try:
            with self._readable():
                if not await self._trust.prepare(self._client):
                    await self._connect()
                    self._trust.compare(await self._client.get_endpoints())
                    self._drop()
                    await self._trust.secure(self._client)
                await self._connect()
                await self._begin_session()
                self._trust.keep()
                self._started = await self._start_time()
        except (OSError, TimeoutError, Away) as error:
            raise Unavailable(f"{self.url}: {_said(error)}") from error
        except UaError as error:
            problem = self._trust.problem(error)
            raise Unavailable(f"{self.url}: {problem or _said(error)}") from error

    async def _begin_session(self) -> None:
        client = self._client
        self._session_asked = True
        await client.create_session()
        await client.activate_session(username=client._username, password=client._password)
        self.session_s = max(1.0, client.session_timeout / 1000)
        self._patience = _PATIENCE

    async def resume(self) -> None:
        """Take the session up again on a new connection.

        Raises
        ------
        Away
            Not yet.
        Unavailable
            The server has forgotten the session, or is another one than before.
        """
        self._drop()
        client = self._client
        try:
            with self._readable():
                await self._connect()
                client.uaclient.session.rebind_authentication_token()
                await client.activate_session(username=client._username, password=client._password)
                started = await self._start_time()
        except (OSError, TimeoutError) as error:
            self._drop()
            raise Away(_said(error)) from error
        except UaError as error:
            raise Unavailable(f"{self.url}: its session is over: {_said(error)}") from error
        if started != self._started:
            raise Unavailable(f"{self.url}: the server was started again")

    async def ask(self, request: Any, kind: Any, timeout_s: float | None = None) -> Any:
        """The server's answer, which is of this ``kind``; ``timeout_s`` 0 waits for ever.

        Raises
        ------
        Away
            No answer: the connection is lost, and closed.
        UaStatusCodeError
            The server refuses.
        Unavailable
            The answer is none.
        """
        protocol = self._protocol
        if protocol is None or not self.connected:
            raise Away("connection lost")
        try:
            with self._readable():
                data = await protocol.send_request(request, timeout_s)
                answer = struct_from_binary(kind, data)
                if answer.TypeId != kind().TypeId:
                    raise ValueError(f"{answer.TypeId} where {kind.__name__} belongs")
                answer.ResponseHeader.ServiceResult.check()
        except (OSError, TimeoutError) as error:
            self._drop()
            raise Away(_said(error)) from error
        except UaStatusCodeError as error:
            if not self.connected:  # the refusal was the end of the channel
                raise Away(_said(error)) from error
            raise
        except UaError as error:
            raise Unavailable(f"{self.url}: {_said(error)}") from error
        return answer

    async def renew(self) -> None:
        """Renew the secure channel where three quarters of its life are over."""
        if time.monotonic() < self._renew_at or not self.connected:
            return
        try:
            with self._readable():
                await self._client.open_secure_channel(renew=True)
                self._client.uaclient.revolve_security_token()
        except (OSError, TimeoutError, UaError) as error:
            self._drop()
            raise Away(_said(error)) from error
        self._renew_later()

    async def close(self) -> None:
        """Say goodbye, or at least let go of the socket, within a second."""
        client = self._client
        try:
            if self._session_asked and self.connected:
                with suppress(OSError, TimeoutError, UaError, *_UNREADABLE):
                    async with asyncio.timeout(_GOODBYE_S):
                        await client.close_session()
                        await client.close_secure_channel()
        finally:
            self._drop()

    def _drop(self) -> None:
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.on_connection_lost = None
            if protocol.transport is not None:
                protocol.transport.abort()

    async def _connect(self) -> None:
        """A connection with a secure channel."""
        client, url = self._client, self._client.server_url
        limits = TransportLimits(65_535, 65_535, 0, _LARGEST_MESSAGE)

        def protocol() -> _Frames:
            return _Frames(self.timeout_s, security_policy=client.security_policy, limits=limits)

        async with asyncio.timeout(self.timeout_s):
            _, self._protocol = await asyncio.get_running_loop().create_connection(
                protocol, str(url.hostname), int(url.port or 0)
            )
        client.uaclient.protocol = self._protocol
        await client.send_hello()
        try:
            await client.open_secure_channel()
        except (AssertionError, ConnectionError, UaError) as error:
            self._hung_up += 1
            passing = isinstance(error, ConnectionError) and self._hung_up < self._patience
            problem = self._trust.problem(error, at_channel=True)
            if problem and not passing:
                raise Unavailable(f"{self.url}: {problem}") from error
            raise
        self._hung_up = 0
        self._renew_later()

    def _renew_later(self) -> None:
        life_s = max(10.0, self._client.secure_channel_timeout / 1000)
        self._renew_at = time.monotonic() + 0.75 * life_s

    async def _start_time(self) -> Any:
        """When the server began; None where it does not say."""
        try:
            (told,) = await self.read([ua.NodeId(ua.ObjectIds.Server_ServerStatus_StartTime)])
        except UaStatusCodeError:
            return None
        return told.Value.Value if told.Value is not None else None

    async def read(self, nodes: list[Any]) -> list[Any]:
        """The values of some nodes, in one question."""
        results: list[Any] = (await self.ask(read_values(nodes), ua.ReadResponse)).Results
        if len(results) != len(nodes):
            raise Unavailable(f"{self.url}: {len(results)} values for {len(nodes)} nodes")
        return results

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except UnicodeError as error:  # a host name is looked up in here as well
            raise Unavailable(f"{self.url}: {error}") from error
        except _UNREADABLE as error:
            text = f"its answer cannot be read: {type(error).__name__}: {error}"
            raise Unavailable(f"{self.url}: {text}"[:500]) from error


def _said(error: Exception) -> str:
    return str(error) or {"TimeoutError": "no answer"}.get(
        type(error).__name__, type(error).__name__
    )
