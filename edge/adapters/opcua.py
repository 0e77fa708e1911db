"""OPC UA client: one subscription, drained in order, nothing dropped silently."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from edge.source import Session
from plant.errors import ConfigError
from plant.flow.clock import Clock

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class NodePoint(BaseModel):
    """One node of the server, by its node id: ``ns=2;s=Mill.Power``, ``i=2258``.

    >>> NodePoint.model_validate("ns=2;s=Mill.Power").node
    'ns=2;s=Mill.Power'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    node: str = Field(pattern=r"^(ns=\d+;|nsu=[^;]+;)?[isgb]=.+$")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, at: Any) -> Any:
        return {"node": at} if isinstance(at, str) else at


class OpcUa(BaseModel):
    """An OPC UA server, read through one subscription.

    url                 ``opc.tcp://host:port/path``
    user, password      always asked for; the password only as ``${NAME}``
    security            Basic256Sha256 with SignAndEncrypt; ``None`` only where ``lab`` is true
    lab                 a test bench: allows ``security: None`` and no user, on loopback only
    server_certificate  file (DER or PEM) of the only certificate to accept; without it the first
                        one seen is kept in the edge's folder and no other is accepted
    certificate,
    private_key         files of our own certificate; without them one is made in the edge's folder
    publish_ms          how often the server reports
    sampling_ms         how often it looks at its nodes; -1 as often as it reports
    queue               values the server keeps per node while we are away; when it overflows the
                        next value says so
    timeout_ms          for one answer
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    Point: ClassVar[type[BaseModel]] = NodePoint

    kind: Literal["opcua"] = "opcua"
    url: str
    user: str | None = None
    password: SecretStr | None = None
    security: Literal["Basic256Sha256", "None"] = "Basic256Sha256"
    lab: bool = False
    server_certificate: str | None = None
    certificate: str | None = None
    private_key: str | None = None
    publish_ms: int = Field(default=500, ge=20, le=60_000)
    sampling_ms: int = Field(default=-1, ge=-1)
    queue: int = Field(default=600, ge=1, le=100_000)
    timeout_ms: int = Field(default=4000, ge=100)

    @property
    def poll_ms(self) -> int:
        """0: the server pushes."""
        return 0

    @model_validator(mode="after")
    def _secured(self) -> "OpcUa":
        parts = urlsplit(self.url)
        if parts.scheme != "opc.tcp" or not parts.hostname or not parts.port:
            raise ValueError(f"{self.url!r}: write 'opc.tcp://host:port/path'")
        if parts.username or parts.password:
            raise ValueError("the user goes into 'user' and 'password', not into the url")
        if self.lab and parts.hostname not in _LOOPBACK:
            raise ValueError("'lab' is for loopback only")
        if self.security == "None" and not self.lab:
            raise ValueError("security None sends passwords and values in clear: Basic256Sha256")
        if self.user is None and not self.lab:
            raise ValueError("anonymous access is not used: give 'user' and 'password: ${NAME}'")
        if (self.user is None) != (self.password is None):
            raise ValueError("'user' and 'password' belong together")
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("'certificate' and 'private_key' belong together")
        return self

    def check(self, points: Mapping[str, NodePoint]) -> Iterable[tuple[str, str]]:
        """Nothing: any set of nodes can be monitored, also one node twice."""
        return ()

    @asynccontextmanager
    async def open(
        self, points: Sequence[NodePoint], clock: Clock, folder: Path
    ) -> AsyncIterator[Session]:
        """Connect and subscribe."""
        try:
            session_module = await asyncio.to_thread(import_module, "edge.adapters.opcua_session")
        except ImportError as error:
            raise ConfigError(f"OPC UA needs asyncua: install kaikou[opcua] ({error})") from error
        async with session_module.connected(self, points, clock, folder) as session:
            yield session
