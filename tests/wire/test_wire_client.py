"""The MQTT connection over real brokers, and over lines that fail in every way."""

import asyncio
import datetime
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from plant.errors import ConfigError, Unavailable
from plant.model.plant import Broker
from plant.wire.client import MqttClient
from plant.wire.message import Incoming, Outgoing
from tests.wire.broker_support import DEADLINE_S, Line, Mosquitto, free_port, until


async def collect(client: MqttClient, count: int) -> list[Incoming]:
    """So many messages, within the deadline."""
    got: list[Incoming] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(got) < count:
            got += await client.receive()
    return got


async def test_messages_go_round(broker: Broker) -> None:
    async with MqttClient(broker, "a") as a, MqttClient(broker, "b") as b:
        await b.subscribe([("t/+", 1), ("u/#", 0)])
        for i in range(300):
            await a.publish(Outgoing(f"t/{i % 7}", bytes([i % 256]) * i))
        got = await collect(b, 300)
    assert [m.payload for m in got] == [bytes([i % 256]) * i for i in range(300)]
    assert b.dropped == 0


async def test_qos_1_waits_for_the_broker(broker: Broker) -> None:
    async with MqttClient(broker, "a") as a, MqttClient(broker, "b") as b:
        await a.publish(Outgoing("spBv1.0/STATE/x", b"kept", qos=1, retain=True))
        await b.subscribe([("spBv1.0/STATE/x", 1)])
        (message,) = await collect(b, 1)
    assert (message.payload, message.retain) == (b"kept", True)


async def test_a_will_is_told_when_the_process_is_gone(broker: Broker) -> None:
    """tck: message-flow-edge-node-birth-publish-will-message payloads-ndeath-will-message-publisher
    operational-behavior-host-application-connect-will
    """
    async with MqttClient(broker, "watch") as watch:
        await watch.subscribe([("w", 0)])
        with pytest.raises(RuntimeError, match="crash"):
            async with MqttClient(broker, "a", Outgoing("w", b"gone", qos=1)):
                raise RuntimeError("crash")
        assert [m.payload for m in await collect(watch, 1)] == [b"gone"]


async def test_no_will_after_an_intended_disconnect(broker: Broker) -> None:
    """tck: operational-behavior-edge-node-intentional-disconnect-ndeath
    operational-behavior-edge-node-intentional-disconnect-packet
    payloads-ndeath-will-message-publisher-disconnect-mqtt311
    operational-behavior-host-application-termination
    operational-behavior-host-application-disconnect-intentional
    """
    async with MqttClient(broker, "watch") as watch:
        await watch.subscribe([("w", 0)])
        async with MqttClient(broker, "a", Outgoing("w", b"will", qos=1)) as a:
            await a.publish(Outgoing("w", b"I go", qos=1))
        async with MqttClient(broker, "b") as b:
            await b.publish(Outgoing("w", b"last", qos=1))
        assert [m.payload for m in await collect(watch, 2)] == [b"I go", b"last"]


async def test_a_clean_session_remembers_nothing(mosquitto: Mosquitto) -> None:
    """tck: message-flow-phid-sparkplug-clean-session-311"""
    async with MqttClient(mosquitto.broker, "a") as a:
        await a.subscribe([("t", 1)])
    async with MqttClient(mosquitto.broker, "other") as other:
        await other.publish(Outgoing("t", b"missed", qos=1))
        async with MqttClient(mosquitto.broker, "a") as again:
            await again.subscribe([("u", 0)])
            await other.publish(Outgoing("u", b"heard"))
            assert [m.payload for m in await collect(again, 1)] == [b"heard"]


async def test_nobody_listens() -> None:
    broker = Broker("127.0.0.1", free_port())
    with pytest.raises(Unavailable, match="refused"):
        async with MqttClient(broker, "a"):
            pass


async def test_a_name_that_does_not_exist() -> None:
    with pytest.raises(Unavailable):
        async with MqttClient(Broker("no-such-host.invalid"), "a"):
            pass


async def test_a_listener_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        broker = Broker("127.0.0.1", server.getsockname()[1])
        with pytest.raises(Unavailable, match="no answer"):
            async with MqttClient(broker, "a", timeout_s=0.3):
                pass


async def test_nothing_is_published_without_a_connection() -> None:
    client = MqttClient(Broker(), "a")
    with pytest.raises(Unavailable):
        await client.publish(Outgoing("t", b""))
    with pytest.raises(Unavailable):
        await client.subscribe([("t", 0)])
    with pytest.raises(Unavailable):
        await client.receive()


async def test_a_killed_broker_is_told_to_everybody_and_a_new_client_goes_on(
    mosquitto: Mosquitto,
) -> None:
    async with MqttClient(mosquitto.broker, "a") as a:
        await a.subscribe([("t", 0)])
        waiting = asyncio.ensure_future(a.receive())
        await asyncio.sleep(0)
        mosquitto.kill()
        with pytest.raises(Unavailable):
            await asyncio.wait_for(waiting, DEADLINE_S)
        with pytest.raises(Unavailable):
            await a.publish(Outgoing("t", b"lost"))
        assert not a.connected
    await mosquitto.start()
    async with MqttClient(mosquitto.broker, "a") as again:
        await again.subscribe([("t", 0)])
        await again.publish(Outgoing("t", b"on"))
        assert [m.payload for m in await collect(again, 1)] == [b"on"]


async def test_a_half_open_line_is_noticed(mosquitto: Mosquitto) -> None:
    async with Line(mosquitto.port) as line:
        broker = Broker("127.0.0.1", line.port)
        async with MqttClient(broker, "a", keep_alive_s=1) as a:
            line.flowing.clear()
            with pytest.raises(Unavailable):
                await asyncio.wait_for(a.receive(), DEADLINE_S)
            line.flowing.set()


async def test_a_half_open_line_is_noticed_while_sending(mosquitto: Mosquitto) -> None:
    async with Line(mosquitto.port) as line:
        broker = Broker("127.0.0.1", line.port)
        async with MqttClient(broker, "a", keep_alive_s=1) as a:
            line.flowing.clear()

            async def send() -> None:
                while True:
                    await a.publish(Outgoing("t", b"x" * 1000))
                    await asyncio.sleep(0.01)

            with pytest.raises(Unavailable):
                await asyncio.wait_for(send(), DEADLINE_S)
            line.flowing.set()


async def test_a_full_socket_holds_the_sender_back(mosquitto: Mosquitto) -> None:
    async with Line(mosquitto.port) as line, MqttClient(mosquitto.broker, "watch") as watch:
        await watch.subscribe([("t", 0)])
        broker = Broker("127.0.0.1", line.port)
        async with MqttClient(broker, "a", keep_alive_s=60) as a:
            line.flowing.clear()
            sent = 0

            async def send() -> None:
                nonlocal sent
                for i in range(400):
                    await a.publish(Outgoing("t", i.to_bytes(2, "big") + bytes(100_000)))
                    sent += 1

            sending = asyncio.ensure_future(send())
            seen = -1
            while seen != sent:  # until it moves no more
                seen = sent
                await asyncio.sleep(0.2)
            assert not sending.done()
            assert sent < 400
            line.flowing.set()
            got = await collect(watch, 400)
            await sending
    assert [int.from_bytes(m.payload[:2], "big") for m in got] == list(range(400))


async def test_what_nobody_takes_is_dropped_oldest_first_and_counted(mosquitto: Mosquitto) -> None:
    async with (
        MqttClient(mosquitto.broker, "a") as a,
        MqttClient(mosquitto.broker, "b", inbound_limit=10) as b,
    ):
        await b.subscribe([("t", 0)])
        for i in range(25):
            await a.publish(Outgoing("t", bytes([i])))
        await until(lambda: b.dropped == 15, "dropping")
        assert [m.payload[0] for m in await b.receive()] == list(range(15, 25))


async def test_accounts(need: Callable[[str], str], tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    process = await asyncio.create_subprocess_exec(
        need("mosquitto_passwd"), "-b", "-c", str(passwords), "edge1", "right",
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert await process.wait() == 0
    passwords.chmod(0o644)
    it = Mosquitto(
        need("mosquitto"), tmp_path, "allow_anonymous false", f"password_file {passwords}"
    )
    await it.start()
    try:
        async with MqttClient(replace(it.broker, username="edge1", password="right"), "a") as a:
            await a.publish(Outgoing("t", b"", qos=1))
        for wrong in (it.broker, replace(it.broker, username="edge1", password="wrong")):
            with pytest.raises(Unavailable, match="refused"):
                async with MqttClient(wrong, "a"):
                    pass
    finally:
        it.kill()


def certificates(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that vouches for itself, and its key."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    crt, pem = folder / f"{name}.crt", folder / f"{name}.key"
    crt.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    pem.chmod(0o644)
    return crt, pem


async def test_tls(need: Callable[[str], str], tmp_path: Path) -> None:
    crt, key = certificates(tmp_path, "broker")
    other, _ = certificates(tmp_path, "other")
    it = Mosquitto(
        need("mosquitto"), tmp_path, "allow_anonymous true", f"certfile {crt}", f"keyfile {key}"
    )
    await it.start()
    try:
        secure = replace(it.broker, tls=True, ca_file=str(crt))
        async with MqttClient(secure, "a") as a, MqttClient(secure, "b") as b:
            await b.subscribe([("t", 0)])
            for i in range(100):
                await a.publish(Outgoing("t", bytes([i]) * 5000))
            got = await collect(b, 100)
            assert [m.payload[0] for m in got] == list(range(100))
        with pytest.raises(Unavailable, match="certificate"):
            async with MqttClient(replace(secure, ca_file=str(other)), "a"):
                pass
        with pytest.raises(ConfigError, match="ca_file"):
            MqttClient(replace(secure, ca_file=str(tmp_path / "none.crt")), "a")
    finally:
        it.kill()
