"""What the OPC UA server's tests share: a plant, a running server, clients with certificates."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edge.opcua.server import OpcUaServer
from edge.opcua.shown import fingerprint
from edge.opcua.window import Window
from plant.flow.live import LiveTable, SignalTable
from plant.flow.sample import SampleBatch
from plant.model.plant import Asset, Broker, Edge, Gateway, OpcUa, OpcUaUser, Plant
from plant.model.signal import Label, Signal, SignalKind

PASSWORD = "correct horse battery"
T0 = 1_790_000_000_000


def a_signal(
    asset: str, name: str, kind: SignalKind = SignalKind.MEASUREMENT, **more: Any
) -> Signal:
    """A signal with names in both languages."""
    label = Label(f"{name}的名字", name.capitalize())
    return Signal(f"{asset}/{name}", asset, name, label, kind, **more)


def a_plant(assets: Sequence[Asset], **opcua: Any) -> Plant:
    """A plant with one edge and its server on a free port."""
    users = (OpcUaUser("scada", PASSWORD),)
    server = OpcUa(**({"port": 0, "users": users} | opcua))
    return Plant(
        enterprise="kaikou",
        site="demo",
        name=Label("示范工厂", "Demo plant"),
        timezone=ZoneInfo("Asia/Shanghai"),
        host_id="kaikou",
        broker=Broker(),
        historian=None,
        gateway=Gateway(),
        lines={},
        edges={"edge1": Edge("edge1", Label("一", "One"), {}, opcua=server)},
        assets={asset.id: asset for asset in assets},
        simulated=True,
        hash="",
    )


def an_asset(name: str, signals: Sequence[Signal]) -> Asset:
    """A machine of edge1."""
    return Asset(name, "lathe", Label("车床", "Lathe"), "machine", "edge1", None, tuple(signals))


LATHE = an_asset(
    "lathe",
    [
        a_signal("lathe", "power", unit="kW", range=(0.0, 20.0), simulated=True),
        a_signal("lathe", "part_count", SignalKind.COUNTER),
        a_signal(
            "lathe",
            "activity",
            SignalKind.STATE,
            states={0: Label("无", "No"), 1: Label("待", "Idle")},
        ),
        a_signal("lathe", "light", SignalKind.STATE, states={20: Label("绿", "Green")}),
        a_signal("lathe", "program", SignalKind.TEXT),
    ],
)


@dataclass
class Running:
    """A server at work, and what it shows."""

    server: OpcUaServer
    window: Window
    folder: Path

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"opc.tcp://127.0.0.1:{self.server.port}/kaikou/edge1"

    def show(self, path: str, value: float, status: int = 0, time: int = T0) -> None:
        """A newer sample."""
        at = self.window.live.table.index(path)
        self.window.live.update(SampleBatch.of([at], [time], [value], [status]))


@contextlib.asynccontextmanager
async def serving(
    folder: Path, assets: Sequence[Asset] = (LATHE,), **opcua: Any
) -> AsyncIterator[Running]:
    """Run a server."""
    window = Window(LiveTable(SignalTable()))
    plant = a_plant(assets, **opcua)
    shown = [(asset, asset.signals) for asset in assets]
    async with OpcUaServer(plant, "edge1", folder, window, shown) as server:
        yield Running(server, window, folder)


Pair = tuple[Path, Path]


def a_certificate(
    folder: Path,
    uri: str = "urn:test:client",
    *,
    begins: int = -100,
    days: int = 30,
    bits: int = 2048,
    client: bool = True,
) -> Pair:
    """A client's certificate and key."""
    folder.mkdir(exist_ok=True)
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test client")])
    now = datetime.now(UTC).timestamp()
    usage = dict.fromkeys(
        ("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"), False
    ) | dict.fromkeys(
        ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"), True
    )
    purpose = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(now + begins * 86_400, UTC))
        .not_valid_after(datetime.fromtimestamp(now + days * 86_400, UTC))
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False
        )
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, key_file = folder / "client.der", folder / "client.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.DER))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate, key_file


async def a_client(
    url: str,
    pair: Pair,
    *,
    policy: Any = SecurityPolicyBasic256Sha256,
    mode: Any = ua.MessageSecurityMode.SignAndEncrypt,
    user: tuple[str, str] | None = ("scada", PASSWORD),
    uri: str = "urn:test:client",
) -> Client:
    """A client with a certificate and a user, not connected yet."""
    client = Client(url, timeout=5)
    client.application_uri = uri
    await client.set_security(policy, pair[0], pair[1], mode=mode)
    if user:
        client.set_user(user[0])
        client.set_password(user[1])
    return client


def trust(folder: Path, pair: Pair) -> None:
    """Let a certificate in, as a person who copies the file does."""
    der = pair[0].read_bytes()
    (folder / "trusted" / f"{fingerprint(der)}.der").write_bytes(der)


def node(client: Client, path: str) -> Any:
    """A node of ours."""
    return client.get_node(f"ns=2;s={path}")


class Notes:
    """Takes notifications."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()

    def datachange_notification(self, node: Any, value: Any, _data: Any) -> None:
        """asyncua calls this."""
        self.queue.put_nowait((node.nodeid.Identifier, value))

    async def next(self) -> tuple[str, Any]:
        """The next one."""
        async with asyncio.timeout(5):
            return await self.queue.get()
