"""node-opcua, which imports nothing of ours, against the OPC UA server."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from edge.opcua.trust import TrustStore
from plant.flow.status import StatusCode
from tests.edge.opcua_support import PASSWORD, T0, Running, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

PEERS = Path(__file__).parents[1] / "peers"
Ask = Callable[..., Any]
SCADA = {"user": "scada", "password": PASSWORD}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """The lathe's server."""
    async with serving(tmp_path_factory.mktemp("server") / "pki") as it:
        yield it


@pytest.fixture(scope="module")
def ask(
    running: Running, need: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Ask:
    """Runs the peer once, with one try or more, and gives what it tells of each."""
    node = need("node")
    if not (PEERS / "node_modules" / "node-opcua-client").is_dir():
        pytest.skip("npm ci in tests/peers installs node-opcua")
    pki = tmp_path_factory.mktemp("peer")

    async def asked(*tries: dict[str, Any]) -> list[dict[str, Any]]:
        what = [{"url": running.url, "pki": str(pki)} | one for one in tries]
        process = await asyncio.create_subprocess_exec(
            node,
            str(PEERS / "opcua_client.js"),
            json.dumps(what),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=PEERS,
        )
        try:
            async with asyncio.timeout(45):
                out, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        told: list[dict[str, Any]] = json.loads(out.decode().strip().splitlines()[-1])
        return told

    return asked


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def known(running: Running, ask: Ask) -> Ask:
    """The peer, after it was refused once and a person let it in."""
    (told,) = await ask(SCADA)
    assert "session" not in told
    store = TrustStore(running.folder)
    (waiting,) = store.rejected()
    assert "Peer" in waiting.subject
    assert waiting.problems == ()
    store.accept(waiting.fingerprint[:16])
    return ask


async def test_it_browses_reads_and_cannot_write(running: Running, known: Ask) -> None:
    running.show("lathe/power", 7.25, StatusCode.UncertainSubNormal)
    (told,) = await known(SCADA | {"look": True})
    assert told.get("error") is None
    assert told["lathe"] == ["power", "part_count", "activity", "light", "program"]
    assert told["display"][0] == "Power"
    assert told["power"] == {
        "value": 7.25,
        "status": StatusCode.UncertainSubNormal,
        "source_time": T0,
    }
    assert told["properties"] == ["EURange", "EngineeringUnits", "Simulated"]
    assert told["unit"] == "kW"
    assert (told["written"], told["named"]) == ("BadUserAccessDenied", "BadUserAccessDenied")
    assert running.window.live.value[running.window.live.table.index("lathe/power")] == 7.25


async def test_it_subscribes(running: Running, known: Ask) -> None:
    running.show("lathe/power", 1.0)
    asked = asyncio.create_task(known(SCADA | {"changes": 3}))
    async with asyncio.timeout(30):
        while not running.window.monitored:
            await asyncio.sleep(0.02)
    for value, status in ((2.0, 0), (0.0, StatusCode.BadSensorFailure)):
        running.show("lathe/power", value, status, T0 + int(value))
        await running.window.push()
    (told,) = await asked
    assert told.get("error") is None
    assert [(c["value"], c["status"]) for c in told["changes"]] == [
        (1.0, 0),
        (2.0, 0),
        (None, StatusCode.BadSensorFailure),
    ]
    assert told["changes"][1]["source_time"] == T0 + 2
    assert running.window.monitored == 0


async def test_the_other_policies(known: Ask) -> None:
    policies = ("Aes256_Sha256_RsaPss", "Aes128_Sha256_RsaOaep")
    told = await known(*(SCADA | {"policy": policy} for policy in policies))
    assert told == [{"connected": True, "session": True}] * 2


NONE = {"mode": "None", "policy": "None"}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"user": "scada", "password": "wrong"}, "BadUserAccessDenied"),
    ({"user": "admin", "password": "admin"}, "BadUserAccessDenied"),
    ({"user": "admin", "password": ""}, "BadUserAccessDenied"),
    ({}, "anonymous"),
    (SCADA | NONE, "end point"),
    (NONE, "end point"),
    (SCADA | {"mode": "Sign"}, "cannot find an endpoint"),
    (SCADA | {"policy": "Basic256"}, "cannot find an endpoint"),
]


async def test_it_is_refused(known: Ask) -> None:
    told = await known(*(what for what, _ in REFUSED))
    for (what, why), answer in zip(REFUSED, told, strict=True):
        assert "session" not in answer, what
        assert why.lower() in answer["error"].lower(), what
