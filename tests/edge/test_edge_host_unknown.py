"""A host that cannot be looked up is called that; a node id that is none is refused."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from edge.adapters.dlt645 import Dlt645
from edge.adapters.modbus import Modbus
from edge.adapters.opcua import NodePoint
from plant.errors import Unavailable
from plant.flow.clock import UtcClock


async def _nobody(*_: object, **__: object) -> None:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.mark.parametrize(
    ("kind", "at"),
    [(Modbus, "input:0"), (Dlt645, "000000000001 00010000")],
    ids=["modbus", "dlt645"],
)
async def test_a_host_that_cannot_be_looked_up_is_called_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any, at: str
) -> None:
    source = kind.model_validate(
        {"kind": kind.__name__.lower(), "host": "meter7.plant", "port": 502}
    )
    point: BaseModel = kind.Point.model_validate(at)
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", _nobody)
    async with source.open([point], UtcClock(), tmp_path) as session:
        with pytest.raises(Unavailable, match=r"meter7\.plant:502 is not known here"):
            await session.read()


@pytest.mark.parametrize(
    ("node", "why"),
    [
        ("i=abc", "a number from 0"), ("i=-1", "a number from 0"),
        ("i=4294967296", "a number from 0"),
        ("i=1.5", "a number from 0"), ("ns=2;i=", "write"), ("i=²", "a number from 0"),
        ("ns=70000;i=1", "a namespace is a number"), ("ns=x;i=1", "write"), ("Mill.Power", "write"),
        ("g=1234", "a GUID"), ("b=%%%", "base64"), ("", "write"), ("s=", "write"),
    ],
)  # fmt: skip
def test_a_node_id_that_is_none_is_refused(node: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        NodePoint.model_validate(node)


@pytest.mark.parametrize(
    "node",
    [
        "i=2258", "ns=0;i=4294967295", "ns=2;s=Mill.Power", "nsu=urn:mill;s=a;b=c", "s= spaced ",
        "g=09087e75-8e5e-499b-954f-f2a9603db28a", "ns=1;b=M/RbKBsRVkePCePcx24oRA==",
    ],
)  # fmt: skip
def test_node_ids_of_all_kinds_are_taken(node: str) -> None:
    assert NodePoint.model_validate(node).node == node
