"""OPC UA client: one subscription, drained in order, nothing dropped silently."""

import asyncio
import re
from base64 import b64decode
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from edge.source import Session
from plant.errors import ConfigError
from plant.flow.clock import Clock
from plant.model.host import host_problem, is_loopback

_NODE = re.compile(
    r"(ns=(?P<ns>[0-9]{1,9});|nsu=[^;]+;)?(?P<kind>[isgb])=(?P<id>.{1,4096})", re.DOTALL
)
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def node_problem(node: str) -> str:
    """What is wrong with a node id as OPC 10000-6 5.3.1.10 writes it; "" where nothing is.

    >>> node_problem("i=abc"), node_problem("ns=2;s=Mill.Power")
    ("i= takes a number from 0 to 4294967295, not 'abc'", '')
    """
    found = _NODE.fullmatch(node)
    if found is None:
        return "write 'ns=2;s=NAME', 'i=2258' or 'nsu=URI;s=NAME'"
    space, kind, id = found["ns"], found["kind"], found["id"]
    if space is not None and int(space) > 65_535:
        return f"a namespace is a number from 0 to 65535, not {space}"
    if kind == "i" and (not id.isascii() or not id.isdigit() or int(id) >= 1 << 32):
        return f"i= takes a number from 0 to 4294967295, not {id!r}"
    if kind == "g" and not _GUID.fullmatch(id):
        return f"g= takes a GUID like 09087e75-8e5e-499b-954f-f2a9603db28a, not {id!r}"
    if kind == "b":
        try:
            b64decode(id, validate=True)
        except ValueError:
            return f"b= takes base64, not {id!r}"
    return ""


class NodePoint(BaseModel):
    """One node of the server, by its node id: ``ns=2;s=Mill.Power``, ``i=2258``.

    >>> NodePoint.model_validate("ns=2;s=Mill.Power").node
    'ns=2;s=Mill.Power'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    node: str = Field(
        description="node id; `nsu=URI;s=...` names the namespace instead of its number",
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, at: Any) -> Any:
        return {"node": at} if isinstance(at, str) else at

    @field_validator("node")
    @classmethod
    def _an_id(cls, node: str) -> str:
        problem = node_problem(node)
        if problem:
            raise ValueError(f"{node!r} is no node id: {problem}")
        return node


class OpcUa(BaseModel):
    """An OPC UA server, read through one subscription.

    Values come with the server's SourceTimestamp and StatusCode. The first certificate a server
    proves to be its own is kept in the edge's folder and no other is accepted, unless
    ``server_certificate`` names one; our own is made there at the first start.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    Point: ClassVar[type[BaseModel]] = NodePoint

    kind: Literal["opcua"] = "opcua"
    url: str = Field(description="`opc.tcp://host:port/path`")
    user: str | None = Field(default=None, description="always asked for, except in a lab")
    password: SecretStr | None = Field(default=None, description="only as `${NAME}`")
    security: Literal["Basic256Sha256", "None"] = Field(
        default="Basic256Sha256", description="with SignAndEncrypt; None only in a lab"
    )
    lab: bool = Field(
        default=False, description="a test bench: no security and no user, on loopback only"
    )
    server_certificate: str | None = Field(
        default=None,
        description="file (DER or PEM) of the only certificate to accept",
        json_schema_extra={"format": "file"},
    )
    certificate: str | None = Field(
        default=None,
        description="file of our own certificate",
        json_schema_extra={"format": "file"},
    )
    private_key: str | None = Field(
        default=None, description="file of its key", json_schema_extra={"format": "file"}
    )
    publish_ms: int = Field(default=500, ge=20, le=60_000, description="how often it reports")
    sampling_ms: int = Field(
        default=-1, ge=-1, description="how often it looks at its nodes; -1 as often as it reports"
    )
    queue: int = Field(
        default=2000, ge=1, le=100_000, description="values it keeps per node while we are away"
    )
    timeout_ms: int = Field(default=4000, ge=100, description="ms for one answer")

    @property
    def poll_ms(self) -> int:
        """0: the server pushes."""
        return 0

    @model_validator(mode="after")
    def _secured(self) -> "OpcUa":
        parts = urlsplit(self.url)
        if parts.scheme != "opc.tcp" or not parts.hostname or not parts.port:
            raise ValueError(f"{self.url!r}: write 'opc.tcp://host:port/path'")
        if problem := host_problem(parts.hostname):
            raise ValueError(problem)
        if parts.username or parts.password:
            raise ValueError("the user goes into 'user' and 'password', not into the url")
        if self.lab and not is_loopback(parts.hostname):
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
