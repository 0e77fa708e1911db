"""Every connection of the gateway: how many of one address and in all, and how long one may wait.

A connection *waits* while the gateway has no whole request of it: in the TLS handshake, in the
middle of a head or a body, between two requests. It waits ``WAIT_S`` at most. Where there are
too many, the one that has waited longest makes room, so who fills the gateway with half-sent
requests loses his own, and a whole request is always let in. Those that had an answer before (a
browser's, between two requests) and those that had none are two rows; the longer row gives.
Who does not read what he asked for is cut off after ``STALL_S`` without progress.
"""

import asyncio
import ipaddress
import socket
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

WAIT_S = 10.0
STALL_S = 15.0
MOST_EACH = 256
"""Of one address: a hall full of browsers behind one NAT."""
MOST = 1_000
SPARE = 200
"""Descriptors that are not connections: files, the broker, the historian."""
BURST = 8
"""So many are accepted before the loop reads what others sent, which may have made them whole."""


@dataclass(eq=False, slots=True)
class Connection:
    """One accepted socket; ``since`` is when it began to wait, None while it does not."""

    socket: socket.socket
    fd: int
    peer: "Peer"
    since: float | None
    transport: asyncio.Transport | None = None
    unread: int = 0
    progress: float = 0.0


@dataclass(eq=False, slots=True)
class Peer:
    """One address: its connections, and of these the waiting ones, longest first.

    ``new``: no answer yet; ``idle``: answered before.
    """

    name: str
    all: set[Connection] = field(default_factory=set)
    new: dict[Connection, None] = field(default_factory=dict)
    idle: dict[Connection, None] = field(default_factory=dict)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self.new) + len(self.idle)

    def forget(self, connection: Connection) -> None:
        """It waits no more."""
        self.new.pop(connection, None)
        self.idle.pop(connection, None)


class Connections:
    """The register of what is open.

    evicted  how many made room
    stalled  how many waited, or did not read, for too long
    refused  how many were not let in
    """

    def __init__(
        self,
        most: int = MOST,
        each: int = MOST_EACH,
        proxies: Collection[str] = (),
        mono_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.evicted = self.stalled = self.refused = 0
        self._most = most
        self._each = each
        self._proxies = {peer_of(p) for p in proxies}
        self._mono_s = mono_s
        self._peers: dict[str, Peer] = {}
        self._open: dict[int, Connection] = {}

    def __len__(self) -> int:
        return len(self._open)

    def let_in(self, accepted: socket.socket, address: Any) -> bool:
        """Take a new socket in; False where nobody can make room for it."""
        name = peer_of(str(address[0]))
        peer = self._peers.get(name) or Peer(name)
        if len(peer.all) >= self._each and name not in self._proxies and not self._evict(peer):
            self.refused += 1
            return False
        while len(self._open) >= self._most:
            if not self._evict(max(self._peers.values(), key=lambda p: p.waiting)):
                self.refused += 1
                return False
        now = self._mono_s()
        connection = Connection(accepted, accepted.fileno(), peer, now, progress=now)
        self._peers[name] = peer
        self._open[connection.fd] = connection
        peer.all.add(connection)
        peer.new[connection] = None
        return True

    def of(self, transport: asyncio.BaseTransport) -> Connection | None:
        """The connection of a transport, which is known from now on."""
        sock = transport.get_extra_info("socket")
        found = self._open.get(sock.fileno()) if sock is not None else None
        if found is not None and isinstance(transport, asyncio.Transport):
            found.transport = transport
        return found

    def busy(self, connection: Connection) -> None:
        """A whole request is there."""
        connection.since = None
        connection.peer.forget(connection)

    def waits(self, connection: Connection) -> None:
        """The answer is given; the next request may come."""
        if connection.since is None and connection in connection.peer.all:
            connection.since = self._mono_s()
            connection.peer.idle[connection] = None

    def read(self, connection: Connection) -> None:
        """The other end has read something."""
        connection.progress = self._mono_s()

    def closed(self, fd: int) -> None:
        """A socket is closed."""
        connection = self._open.pop(fd, None)
        if connection is not None:
            self._forget(connection)

    def sweep(self) -> None:
        """End what has waited, or not been read, for too long."""
        now = self._mono_s()
        for connection in list(self._open.values()):
            unread = _unread(connection.transport)
            if unread < connection.unread or not unread:
                connection.progress = now
            connection.unread = unread
            closing = connection.transport is not None and connection.transport.is_closing()
            if closing:
                self.waits(connection)
            waited = connection.since is not None and not unread and now - connection.since > WAIT_S
            if waited or now - connection.progress > STALL_S:
                self.stalled += 1
                self._end(connection)

    async def run(self) -> None:
        """Sweep for ever."""
        while True:
            await asyncio.sleep(1.0)
            self.sweep()

    def _evict(self, peer: Peer) -> bool:
        """End the connection of a peer that has waited longest; False where none waits."""
        if not peer.waiting:
            return False
        self.evicted += 1
        self._end(next(iter(peer.new if len(peer.new) >= len(peer.idle) else peer.idle)))
        return True

    def _end(self, connection: Connection) -> None:
        self._forget(connection)
        self._open.pop(connection.fd, None)
        if connection.transport is not None:
            connection.transport.abort()
            return
        try:  # in the middle of a TLS handshake: the transport sees the end of the stream
            connection.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def _forget(self, connection: Connection) -> None:
        peer = connection.peer
        peer.all.discard(connection)
        peer.forget(connection)
        if not peer.all:
            self._peers.pop(peer.name, None)


class Listener(socket.socket):
    """A listening socket that lets in only what ``connections`` takes."""

    connections: Connections
    _accepted = 0

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection; BlockingIOError where the loop should do something else first."""
        self._accepted += 1
        if self._accepted % BURST == 0:
            raise BlockingIOError
        fd, address = self._accept()  # type: ignore[attr-defined]
        accepted = Accepted(self.family, self.type, self.proto, fileno=fd)
        accepted.connections = self.connections
        if not self.connections.let_in(accepted, address):
            accepted.close()
            raise BlockingIOError
        return accepted, address


class Accepted(socket.socket):
    """A socket that tells when it is closed."""

    connections: Connections

    def close(self) -> None:
        """Close, and make room."""
        self.connections.closed(self.fileno())
        super().close()


def peer_of(address: str) -> str:
    """Whom an address counts for: itself, or the /64 of IPv6 that one customer has.

    >>> peer_of("192.0.2.7"), peer_of("::ffff:192.0.2.7"), peer_of("2001:db8::1:2")
    ('192.0.2.7', '192.0.2.7', '2001:db8::/64')
    """
    try:
        known = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(known, ipaddress.IPv4Address):
        return str(known)
    if known.ipv4_mapped is not None:
        return str(known.ipv4_mapped)
    return str(ipaddress.ip_network((known, 64), strict=False))


def _unread(transport: asyncio.Transport | None) -> int:
    return transport.get_write_buffer_size() if transport is not None else 0
