"""An OPC UA server for machines that are not there: variables with the source's own time.

Secured as a machine's server should be: Basic256Sha256 with SignAndEncrypt, a user name, nothing
anonymous, nothing writable. ``security="None"`` is the lab mode, on loopback only.
"""

import asyncio
import hmac
import ipaddress
import logging
import socket
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from asyncua import ua
from asyncua.common.callback import CallbackType
from asyncua.crypto.cert_gen import (
    dump_private_key_as_pem,
    generate_private_key,
    generate_self_signed_app_certificate,
)
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.server import Server
from asyncua.ua.status_codes import StatusCodes
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from simulators.node import NAMESPACE

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_URI = "urn:kaikou:simulator:opcua"
_START = {"Boolean": False, "Int32": 0, "UInt32": 0, "Double": 0.0, "String": ""}

Write = tuple[str, float | str | bool, int, int]
"""Node id without namespace, value, source time in ms UTC, status code."""


def source_time(time_ms: int) -> Any:
    """Milliseconds UTC as OPC UA carries them (asyncua: naive UTC).

    >>> source_time(1_700_000_000_123).isoformat()
    '2023-11-14T22:13:20.123000'
    """
    return (_EPOCH + timedelta(milliseconds=time_ms)).replace(tzinfo=None)


class _Users:
    """One user with one password; nobody where none is given."""

    def __init__(self, user: str | None, password: str | None, anonymous: bool) -> None:
        self._user = user
        self._password = password
        self._anonymous = anonymous

    def get_user(
        self,
        iserver: object,
        username: str | None = None,
        password: str | None = None,
        certificate: object = None,
    ) -> User | None:
        """Asked by asyncua for every session."""
        if username is None:
            return User(role=UserRole.User) if self._anonymous else None
        known = hmac.compare_digest(username.encode(), (self._user or "").encode())
        right = hmac.compare_digest((password or "").encode(), (self._password or "").encode())
        good = self._user is not None and bool(self._password) and known and right
        return User(role=UserRole.User, name=username) if good else None


class NodeServer:
    """Serves variables ``ns=2;s=<id>`` of namespace ``urn:kaikou:simulator:machine``.

    Parameters
    ----------
    nodes
        (id, OPC UA type name) of each variable.
    folder
        Keeps key and certificate.
    user, password
        Who may log in; without them only with ``security="None"``.
    """

    def __init__(
        self,
        nodes: Sequence[tuple[str, str]],
        folder: Path,
        *,
        user: str | None = None,
        password: str | None = None,
        security: str = "Basic256Sha256",
        path: str = "/",
    ) -> None:
        self.nodes = dict(nodes)
        self._folder = folder
        self._secured = security != "None"
        self._users = _Users(user, password, anonymous=not self._secured and user is None)
        self._path = path
        self._server: Server | None = None
        self._ids: dict[str, ua.NodeId] = {}
        self.port = 0
        self.watched = False
        """Whether a client has ever monitored a variable: recordings wait for one."""

    async def open(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes a free one, and opening again keeps it."""
        for name in ("asyncua", "asyncua.server", "asyncua.common"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self.port = port or self.port or free_port(host)
        server = await asyncio.to_thread(_standard_server, self._users)
        server.set_endpoint(f"opc.tcp://{host}:{self.port}{self._path}")
        server.set_server_name("Kaikou simulated machine")
        await server.set_application_uri(_URI)
        server.allow_remote_admin(allow=False)
        policy = ua.SecurityPolicyType
        if self._secured:
            server.set_security_policy([policy.Basic256Sha256_SignAndEncrypt])
            key, certificate = await asyncio.to_thread(_own, self._folder)
            await server.load_certificate(certificate)
            await server.load_private_key(key)
            server.set_identity_tokens([ua.UserNameIdentityToken])
        else:
            server.set_security_policy([policy.NoSecurity])
        await self._build(server)
        server.subscribe_server_callback(CallbackType.ItemSubscriptionCreated, self._watch)
        await server.start()
        self._server = server

    def _watch(self, *_: object) -> None:
        self.watched = True

    async def _build(self, server: Server) -> None:
        index = await server.register_namespace(NAMESPACE)
        folder = await server.nodes.objects.add_object(index, "Machine")
        for id, type in self.nodes.items():
            variable = await folder.add_variable(
                ua.NodeId(ua.String(id), ua.Int16(index)),
                ua.QualifiedName(id.rpartition(".")[2], index),
                _START[type],
                varianttype=getattr(ua.VariantType, type),
            )
            waiting = ua.DataValue(
                StatusCode=ua.StatusCode(ua.UInt32(StatusCodes.BadWaitingForInitialData))
            )
            self._ids[id] = variable.nodeid
            await server.write_attribute_value(variable.nodeid, waiting)

    @property
    def listening(self) -> bool:
        """Whether it serves."""
        return self._server is not None

    async def write(self, rows: Sequence[Write]) -> None:
        """New values, in order, each with its own time."""
        server = self._server
        if server is None:
            return
        for id, value, time_ms, status in rows:
            variant = self._variant(id, value)
            data = ua.DataValue(
                variant,
                StatusCode=ua.StatusCode(ua.UInt32(status)),
                SourceTimestamp=source_time(time_ms),
                ServerTimestamp=source_time(time.time_ns() // 1_000_000),
            )
            await server.write_attribute_value(self._ids[id], data)

    def _variant(self, id: str, value: float | str | bool) -> ua.Variant:
        type = self.nodes[id]
        if isinstance(value, str) and type != "String":  # a device that answers rubbish
            return ua.Variant(value, ua.VariantType.String)
        convert: Any = {"Double": float, "String": str, "Boolean": bool}.get(type, int)
        return ua.Variant(convert(value), getattr(ua.VariantType, type))

    async def close(self) -> None:
        """Stop serving."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop()


def _standard_server(users: _Users) -> Server:
    """A server with the standard address space, built beside the loop: it takes a second or two."""

    async def build() -> Server:
        server = Server(user_manager=users)  # type: ignore[arg-type]
        await server.init()
        return server

    return asyncio.run(build())


def free_port(host: str) -> int:
    """A port that is free now; asyncua cannot tell which one it took."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def _own(folder: Path) -> tuple[Path, Path]:
    """The server's key and certificate, made once."""
    key, certificate = folder / "server.pem", folder / "server.der"
    if not (key.exists() and certificate.exists()):
        folder.mkdir(parents=True, exist_ok=True)
        private = generate_private_key()
        names: Mapping[str, str] = {"organizationName": "Kaikou", "countryName": "CN"}
        alternatives = [
            x509.UniformResourceIdentifier(_URI),
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        ]
        signed = generate_self_signed_app_certificate(
            private,
            "Kaikou simulated machine",
            dict(names),
            alternatives,
            [ExtendedKeyUsageOID.SERVER_AUTH],
            days=3650,
        )
        key.touch(mode=0o600)
        key.write_bytes(dump_private_key_as_pem(private))
        certificate.write_bytes(signed.public_bytes(Encoding.DER))
    return key, certificate
