"""A broker that asks for client certificates, and one whose client's id is taken."""

import asyncio
import datetime
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from plant.errors import ConfigError, Unavailable
from plant.model.plant import Broker
from plant.wire.client import MqttClient
from plant.wire.message import Outgoing
from tests.wire.broker_support import Mosquitto

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


class Authority:
    """Signs certificates of brokers and clients, into files of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        self.file = self._write(
            "authority.crt", self._built(self._name, self._key.public_key(), NOW - DAY, ca=True)
        )

    def sign(
        self, name: str, *, begins: datetime.datetime = NOW - DAY, password: str = ""
    ) -> tuple[str, str]:
        """Files of a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        built = self._built(subject, key.public_key(), begins, ca=False)
        cipher: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password:
            cipher = serialization.BestAvailableEncryption(password.encode())
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            cipher,
        )
        file = self._folder / f"{name}.key"
        file.write_bytes(pem)
        return self._write(f"{name}.crt", built), str(file)

    def _built(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        begins: datetime.datetime,
        *,
        ca: bool,
    ) -> x509.Certificate:
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(NOW + 10 * DAY)
            .add_extension(x509.SubjectAlternativeName([address]), False)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), True)
            .sign(self._key, hashes.SHA256())
        )

    def _write(self, name: str, certificate: x509.Certificate) -> str:
        file = self._folder / name
        file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return str(file)


async def _publish(broker: Broker) -> None:
    async with MqttClient(broker, "edge1") as mqtt:
        await mqtt.publish(Outgoing("t", b"x", qos=1))


async def test_a_broker_that_asks_for_a_certificate_gets_ours(
    need: Callable[[str], str], tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    crt, key = authority.sign("broker")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    it = Mosquitto(
        need("mosquitto"), tmp_path, "allow_anonymous false", f"cafile {authority.file}",
        f"certfile {crt}", f"keyfile {key}", "require_certificate true",
        "use_identity_as_username true",
    )  # fmt: skip
    await it.start()
    try:
        without = replace(it.broker, tls=True, ca_file=authority.file)
        mine, secret = authority.sign("edge1")
        await _publish(replace(without, certificate_file=mine, key_file=secret))
        sealed, locked = authority.sign("edge2", password="opened")
        encrypted = replace(without, certificate_file=sealed, key_file=locked)
        await _publish(replace(encrypted, key_password="opened"))
        stranger = Authority(elsewhere).sign("stranger")
        for wrong in (
            without,
            replace(without, certificate_file=stranger[0], key_file=stranger[1]),
        ):
            with pytest.raises(Unavailable, match=r"certificate|unknown ca"):
                await _publish(wrong)
    finally:
        it.kill()


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"key_file": "other.key"}, "the key is that of another certificate"),
        ({"key_file": "locked.key"}, "the key is encrypted"),
        ({"certificate_file": "none.crt"}, "No such file"),
        ({"certificate_file": "text.crt"}, "no certificate with its key in PEM"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_told(
    tmp_path: Path, changed: dict[str, str], expected: str
) -> None:
    authority = Authority(tmp_path)
    authority.sign("other")
    authority.sign("locked", password="opened")
    (tmp_path / "text.crt").write_text("no certificate")
    crt, key = authority.sign("mine")
    broker = Broker(tls=True, ca_file=authority.file, certificate_file=crt, key_file=key)
    files = {name: str(tmp_path / file) for name, file in changed.items()}
    with pytest.raises(ConfigError, match=expected):
        MqttClient(replace(broker, **files), "edge1")  # type: ignore[arg-type]


async def test_a_brokers_certificate_that_is_not_valid_yet_is_called_that(
    need: Callable[[str], str], tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    crt, key = authority.sign("broker", begins=NOW + DAY)
    it = Mosquitto(
        need("mosquitto"), tmp_path, "allow_anonymous true", f"certfile {crt}", f"keyfile {key}"
    )
    await it.start()
    try:
        with pytest.raises(Unavailable, match="not yet valid"):
            await _publish(replace(it.broker, tls=True, ca_file=authority.file))
    finally:
        it.kill()


async def test_a_client_whose_id_is_taken_is_told_what_may_be(
    need: Callable[[str], str], tmp_path: Path
) -> None:
    it = Mosquitto(need("mosquitto"), tmp_path)
    await it.start()
    try:
        async with MqttClient(it.broker, "edge1") as first, MqttClient(it.broker, "edge1"):
            async with asyncio.timeout(20):
                with pytest.raises(Unavailable, match="another client takes the id 'edge1'"):
                    await first.receive()
    finally:
        it.kill()


async def test_a_broker_that_cannot_be_looked_up_is_called_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nobody(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    with pytest.raises(Unavailable, match="broker mqtt7:1883: is not known here"):
        await _publish(Broker("mqtt7"))
