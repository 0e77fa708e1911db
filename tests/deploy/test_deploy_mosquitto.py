"""``kaikou init mosquitto``: a real Mosquitto with what was made from plant.yaml."""

import asyncio
import contextlib
import socket
import ssl
import stat
import subprocess
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from deploy.cli import main
from deploy.mosquitto import ACCESS, ACCOUNTS, CONFIG, _read_passwords, accounts, init_mosquitto
from deploy.room import read_plant
from plant.errors import ConfigError, Unavailable
from plant.model.plant import TWIN, Broker, Plant
from plant.wire.client import MqttClient
from plant.wire.message import Outgoing
from tests.wire.broker_support import free_port, listening

PLANT = """
kaikou: 1
enterprise: acme
site: {{id: one, name: {{zh: 一, en: One}}, timezone: Asia/Shanghai}}
broker:
  {{host: 127.0.0.1, port: {port}, username: "${{KAIKOU_USER}}", password: "${{KAIKOU_KEY}}"{more}}}
edges:
  edge1:
    name: {{zh: 一, en: One}}
    opcua: {{port: 4840, feed: broker, users: [{{name: scada, password: "${{KAIKOU_SCADA}}"}}]}}
    sources: {{io: {{kind: modbus, host: 127.0.0.1, poll_ms: 1000}}}}
  edge2:
    name: {{zh: 二, en: Two}}
    sources: {{io2: {{kind: modbus, host: 127.0.0.1, poll_ms: 1000}}}}
"""


def a_plant(tmp_path: Path, port: int, more: str = "") -> tuple[Path, Plant]:
    file = tmp_path / "plant.yaml"
    file.write_text(PLANT.format(port=port, more=more), "utf-8")
    return file, read_plant(file)


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USER", "KEY", "SCADA"):
        monkeypatch.setenv(f"KAIKOU_{name}", "correct horse battery")


class Bus:
    """A Mosquitto that was made for a plant."""

    def __init__(self, plant: Plant, passwords: Mapping[str, str]) -> None:
        self.plant = plant
        self.passwords = passwords

    def client(self, account: str, client_id: str | None = None) -> MqttClient:
        known = accounts(self.plant)[account]
        broker = replace(
            self.plant.broker, username=account, password=self.passwords.get(account, "wrong")
        )
        return MqttClient(broker, client_id or known.client_id or f"any-{account}")


@contextlib.asynccontextmanager
async def serving(program: str, tmp_path: Path, more: str = "") -> AsyncIterator[Bus]:
    file, plant = a_plant(tmp_path, free_port(), more)
    folder = tmp_path / "mosquitto"
    assert await asyncio.to_thread(main, ["init", "mosquitto", str(file), "--to", str(folder)]) == 0
    if more:
        own_certificate(folder)
    config = folder / CONFIG
    text = await asyncio.to_thread(config.read_text)
    await asyncio.to_thread(config.write_text, f"user root\n{text}")
    process = await asyncio.create_subprocess_exec(
        program, "-c", str(config), stderr=subprocess.DEVNULL
    )
    try:
        await listening(plant.broker.port)
        yield Bus(plant, _read_passwords(folder / ACCOUNTS))
    finally:
        process.terminate()
        await process.wait()


@pytest.fixture
async def bus(need, tmp_path: Path) -> AsyncIterator[Bus]:
    async with serving(need("mosquitto"), tmp_path) as it:
        yield it


GROUP = "acme-one"
EDGE1 = [
    f"spBv1.0/{GROUP}/NBIRTH/edge1",
    f"spBv1.0/{GROUP}/NDATA/edge1",
    f"spBv1.0/{GROUP}/DDATA/edge1/press",
]
TWINS = [
    f"kaikou/ack/{GROUP}/edge1",
    f"kaikou/reply/{GROUP}/1",
    "spBv1.0/STATE/kaikou",
    f"spBv1.0/{GROUP}/NDATA/{TWIN}",
    f"spBv1.0/{GROUP}/NCMD/edge1",
]
GATEWAYS = [f"spBv1.0/{GROUP}/DCMD/kaikou_twin/press"]


async def heard(bus: Bus, account: str, topics: list[str]) -> list[str]:
    """Which of the messages that an account publishes are delivered."""
    async with bus.client("observer") as observer:
        await observer.subscribe([("spBv1.0/#", 0), ("kaikou/#", 0)])
        async with bus.client(account) as client:
            for topic in topics:
                await client.publish(Outgoing(topic, b"x"))
            got: list[str] = []
            # the last word is one that the account may surely say: then all others were judged
            async with bus.client("edge2") as last:
                await asyncio.sleep(0.2)
                await last.publish(Outgoing(f"spBv1.0/{GROUP}/NDATA/edge2", b"end"))
                async with asyncio.timeout(10):
                    while not got or not got[-1].endswith("/NDATA/edge2"):
                        got += [message.topic for message in await observer.receive()]
    return got[:-1]


async def test_each_account_writes_its_own_topics_and_no_others(bus: Bus) -> None:
    everything = [*EDGE1, *TWINS, *GATEWAYS, "$CONTROL/dynamic-security/v1", "elsewhere"]
    assert await heard(bus, "edge1", everything) == EDGE1
    assert await heard(bus, TWIN, everything) == TWINS
    rebirth = f"spBv1.0/{GROUP}/NCMD/edge1"
    assert await heard(bus, "gateway", everything) == [rebirth, *GATEWAYS]
    assert await heard(bus, "opcua-edge1", everything) == [rebirth]
    assert await heard(bus, "kaikou_analytics", everything) == [rebirth]


async def test_nobody_takes_the_client_id_of_another(bus: Bus) -> None:
    async with bus.client("edge1") as edge:
        for thief in ("edge2", "observer", "gateway"):
            with pytest.raises(Unavailable):
                async with bus.client(thief, f"{GROUP}/edge1"):
                    pass
        with pytest.raises(Unavailable):
            async with bus.client("edge1", "another"):
                pass
        await edge.publish(Outgoing(EDGE1[1], b"x"))
        assert edge.connected
    async with bus.client(TWIN, f"kaikou-{GROUP}") as host, bus.client(TWIN, f"{GROUP}/{TWIN}"):
        with pytest.raises(Unavailable):
            async with bus.client("edge1", f"kaikou-{GROUP}"):
                pass
        assert host.connected


async def test_nobody_is_anonymous_and_no_wrong_password_enters(bus: Bus) -> None:
    for broker in (
        Broker("127.0.0.1", bus.plant.broker.port),
        replace(bus.plant.broker, username="edge1", password="wrong"),
        replace(bus.plant.broker, username="admin", password="admin"),
    ):
        with pytest.raises(Unavailable):
            async with MqttClient(broker, f"{GROUP}/edge1"):
                pass


async def test_an_edge_reads_what_is_for_it_alone(bus: Bus) -> None:
    async with bus.client("edge1") as edge, bus.client("edge2") as other:
        await edge.subscribe([(f"kaikou/ack/{GROUP}/edge1", 1)])
        with contextlib.suppress(Unavailable):  # the broker says no, or nothing comes
            await edge.subscribe([(f"spBv1.0/{GROUP}/#", 1)])
        await other.publish(Outgoing(f"spBv1.0/{GROUP}/NDATA/edge2", b"secret"))
        async with bus.client(TWIN) as twin:
            await twin.publish(Outgoing(f"kaikou/ack/{GROUP}/edge1", b"ack"))
        got: list[str] = []
        async with asyncio.timeout(10):
            while not got:
                got += [message.topic for message in await edge.receive()]
        assert got == [f"kaikou/ack/{GROUP}/edge1"]


def own_certificate(folder: Path) -> None:
    """As an administrator puts them there."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (folder / "server.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "server.key").write_bytes(pem)


async def test_with_tls_it_speaks_tls(need, tmp_path: Path) -> None:
    async with serving(need("mosquitto"), tmp_path, ", tls: true") as bus:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

        def handshake() -> str | None:
            with socket.create_connection(("127.0.0.1", bus.plant.broker.port)) as raw:
                with context.wrap_socket(raw) as secured:
                    return secured.version()

        assert await asyncio.to_thread(handshake) in {"TLSv1.2", "TLSv1.3"}


def test_passwords_stay_and_files_are_for_their_owner(tmp_path: Path) -> None:
    _, plant = a_plant(tmp_path, 1883)
    folder = tmp_path / "made"
    list(init_mosquitto(plant, folder))
    first = _read_passwords(folder / ACCOUNTS)
    assert len(set(first.values())) == len(accounts(plant)) >= 7
    told = list(init_mosquitto(plant, folder))
    assert _read_passwords(folder / ACCOUNTS) == first
    assert "0 of them new" in told[0]
    assert {stat.S_IMODE(p.stat().st_mode) for p in folder.iterdir()} == {0o600}
    assert not any(password in (folder / ACCESS).read_text() for password in first.values())
    fewer = replace(plant, edges={"edge1": plant.edges["edge1"]})
    assert any("edge2" in line for line in init_mosquitto(fewer, folder))
    assert "edge2" not in (folder / ACCESS).read_text()


def test_a_plant_with_its_own_broker_needs_none(tmp_path: Path) -> None:
    _, plant = a_plant(tmp_path, 1883)
    with pytest.raises(ConfigError, match="runs its own broker"):
        list(init_mosquitto(replace(plant, broker=Broker(embedded=True)), tmp_path / "made"))
