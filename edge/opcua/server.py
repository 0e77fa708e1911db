"""The OPC UA server, put together: identity, policies, limits, users, address space."""
# ruff: noqa: TID253 - only the server's process imports this

import asyncio
import ipaddress
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.server import Server
from cryptography.hazmat.primitives.serialization import Encoding

from edge.opcua.certificate import Identity, identity
from edge.opcua.channel import LIMITS, Core, first_certificate
from edge.opcua.connection import Listener
from edge.opcua.session import MAX_NODES, ViewSession
from edge.opcua.space import Space
from edge.opcua.trust import TrustStore
from edge.opcua.user import Users
from edge.opcua.vocabulary import ua
from edge.opcua.window import Window
from plant.errors import ConfigError, Unavailable
from plant.model.plant import Asset, Plant
from plant.model.signal import Signal
from plant.text import printable

log = logging.getLogger("kaikou.opcua")

POLICIES = (
    ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
    ua.SecurityPolicyType.Aes128Sha256RsaOaep_SignAndEncrypt,
    ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
)
"""In the order they are offered. Nothing weaker, on loopback neither."""


class PlantUsers:
    """asyncua's door to our users: everyone who gets in may look, nobody is an admin."""

    def __init__(self, users: Users) -> None:
        self._users = users

    def get_user(
        self,
        iserver: Any,
        username: str | None = None,
        password: str | None = None,
        certificate: Any = None,
    ) -> User | None:
        """The user, None when refused."""
        if not self._users.allows(username, password):
            log.warning("OPC UA log-in refused for %s", printable(repr(username)))
            return None
        return User(role=UserRole.User, name=username)


class _Server(Server):
    """asyncua's server with our listener."""

    store: TrustStore

    async def start(self) -> None:
        """Listen; without a certificate there is nothing to listen with."""
        if self.iserver.certificate is None or self.iserver.private_key is None:
            raise ConfigError("the OPC UA server has no certificate and does not start without")
        await self._setup_server_nodes()
        await self.iserver.start()
        host, port = self._get_bind_socket_info()
        listener = Listener(self.iserver, host or "", port or 0, self.limits)
        listener.refusal = self.store.refusal
        listener.set_policies(self._policies)
        self.bserver = listener
        try:
            await listener.start()
        except OSError as error:
            await self.iserver.stop()
            self.bserver = None
            text = f"the OPC UA server cannot listen on {host}:{port}: {error.strerror}"
            raise Unavailable(text) from error


class OpcUaServer:
    """``async with OpcUaServer(plant, edge, folder, window, assets) as server: ...``.

    Parameters
    ----------
    edge
        Its id; becomes part of the application URI and of the server's name.
    folder
        Holds ``own``, ``trusted``, ``issuers`` and ``rejected``.

    Raises
    ------
    ConfigError
        No such server in plant.yaml, no users, a weak password, or no valid certificate.
    Unavailable
        The port is taken.
    """

    def __init__(
        self,
        plant: Plant,
        edge: str,
        folder: Path,
        window: Window,
        assets: Sequence[tuple[Asset, Sequence[Signal]]],
    ) -> None:
        config = plant.edges[edge].opcua
        if config is None:
            raise ConfigError(f"edges.{edge} has no 'opcua:' in plant.yaml")
        self.port = config.port
        self.store = TrustStore(folder)
        self.window = window
        self._plant = plant
        self._config = config
        self._name = edge
        self._folder = folder
        self._assets = assets
        self._server: _Server | None = None

    async def __aenter__(self) -> Self:
        quiet()
        config, plant = self._config, self._plant
        own = self._identity()
        core = Core(PlantUsers(Users(config.users)))
        core.certificate, core.private_key = own.certificate, own.key
        core.certificate_validator = self._validate
        server = _Server(iserver=core)
        server.store = self.store
        server._application_uri = own.uri
        server.product_uri = "urn:kaikou"
        server.name = f"Kaikou {plant.site} {self._name}"
        server.manufacturer_name = "Kaikou"
        server.application_type = ua.ApplicationType.Server
        server.limits = LIMITS
        await server.init()
        server.set_security_policy(list(POLICIES))
        server.set_endpoint(f"opc.tcp://{config.host}:{config.port}/kaikou/{self._name}")
        await _state_limits(core)
        index = await server.register_namespace(f"urn:kaikou:{plant.enterprise}:{plant.site}")
        space = Space(core, index, self.window)
        space.build(plant, self._assets)
        ViewSession.labels = space.labels
        await server.start()
        self._server = server
        self.port = server.bserver.port  # type: ignore[union-attr]
        log.info("OPC UA server on %s:%d, %d signals", config.host, self.port, space.variables)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._server is not None:
            await self._server.stop()

    def _identity(self) -> Identity:
        host, plant = self._config.host, self._plant
        name = f"{plant.enterprise}:{plant.site}:{self._name}"
        return identity(self._folder / "own", name, () if _unspecified(host) else (host,))

    async def renew(self) -> bool:
        """Read the own certificate again, made anew where it ends soon; whether it is another.

        New connections get it; those that stand keep what they agreed on. What cannot be used is
        told, and the former one goes on.
        """
        server = self._server
        if server is None:
            return False
        try:
            own = await asyncio.to_thread(self._identity)
        except ConfigError as error:
            log.warning("%s; the former certificate stays in use", error)
            return False
        if own.certificate == server.iserver.certificate:
            return False
        server.iserver.certificate, server.iserver.private_key = own.certificate, own.key
        server.iserver.endpoints.clear()
        server._policies = []
        await server._setup_server_nodes()
        server.bserver.set_policies(server._policies)  # type: ignore[union-attr]
        log.info("the OPC UA server shows another certificate from now on")
        return True

    def review(self) -> None:
        """End the connections of clients that are trusted no more."""
        listener = None if self._server is None else self._server.bserver
        for client in () if listener is None else list(listener.clients):
            processor, transport = client.processor, client.transport
            if processor is None or transport is None:
                continue
            chain = processor._connection.security_policy.peer_certificate
            if chain and not self.store.trusts(first_certificate(chain)):
                log.warning("an OPC UA client is trusted no more: %s", printable(client.peer_name))
                transport.close()

    async def _validate(self, certificate: Any, _description: Any) -> None:
        """A second look when a session is asked for; the first was at the channel."""
        why = self.store.refusal(certificate.public_bytes(Encoding.DER))
        if why is not None:
            raise ua.uaerrors.BadCertificateUntrusted


class Quiet(logging.Handler):
    """asyncua's log, each line of its code at most once a minute, without tracebacks."""

    def __init__(self, every_s: float = 60.0) -> None:
        super().__init__(logging.WARNING)
        self._every_s = every_s
        self._told: dict[tuple[str, int], tuple[float, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a record on, or count it."""
        key = (record.name, record.lineno)
        now = time.monotonic()
        since, more = self._told.get(key, (-self._every_s, 0))
        if now - since < self._every_s:
            self._told[key] = (since, more + 1)
            return
        self._told[key] = (now, 0)
        text = record.getMessage()
        if record.exc_info and record.exc_info[1]:
            text += f": {type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
        times = f" (and {more} times before)" if more else ""
        log.warning("%s%s", printable(text, 500), times)


def quiet() -> None:
    """Keep a hostile client from filling the log."""
    library = logging.getLogger("asyncua")
    library.setLevel(logging.WARNING)
    library.propagate = False
    library.handlers[:] = [Quiet()]


async def _state_limits(core: Core) -> None:
    """Say in the server's capabilities what sessions are held to."""
    prefix = "Server_ServerCapabilities_OperationLimits_MaxNodesPer"
    for name in ("Read", "Write", "Browse", "TranslateBrowsePathsToNodeIds"):
        await _write(core, f"{prefix}{name}")
    await _write(core, "Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall")


async def _write(core: Core, name: str) -> None:
    node = ua.NodeId(getattr(ua.ObjectIds, name))
    value = ua.DataValue(ua.Variant(MAX_NODES, ua.VariantType.UInt32))
    await core.write_attribute_value(node, value)


def _unspecified(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return host == ""
