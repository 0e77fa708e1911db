"""The embedded broker: nobody is anonymous; only the twin answers, only the gateway requests."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from zoneinfo import ZoneInfo

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from deploy import broker
from deploy.access import ANALYTICS, OBSERVER, TWIN, client_ids, publish_filters
from deploy.demo.session import free_port
from deploy.vault import Vault
from plant.errors import Unavailable
from plant.flow.clock import UtcClock
from plant.flow.port import Ports
from plant.model.plant import Broker, Edge, Gateway, Plant
from plant.model.signal import Label

NAME = Label("厂", "plant")


def a_plant(port: int) -> Plant:
    return Plant(
        enterprise="kaikou", site="demo", name=NAME, timezone=ZoneInfo("UTC"), host_id="kaikou",
        broker=Broker(port=port, embedded=True), historian=None, gateway=Gateway(), lines={},
        edges={"edge1": Edge("edge1", NAME, {})}, assets={}, simulated=True, hash="0",
    )  # fmt: skip


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[int, dict[str, str]]]:
    plant = a_plant(free_port([], set()))
    accounts = Vault(tmp_path).accounts(publish_filters(plant))
    ready = asyncio.Event()
    ports = Ports(UtcClock(), tmp_path, ready=ready.set, options={"accounts": accounts})
    task = asyncio.create_task(broker.run(plant, ports), name="broker")
    async with asyncio.timeout(10):
        await ready.wait()
    yield plant.broker.port, accounts
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


class Client:
    """A paho client on its own thread, told what happens."""

    def __init__(
        self, port: int, user: str | None, password: str | None, id: str = "", clean: bool = True
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.got: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        self.connected: asyncio.Future[bool] = self.loop.create_future()
        self.subscribed = asyncio.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, id, clean)
        if user is not None:
            self.client.username_pw_set(user, password)
        self.client.on_connect = lambda c, u, f, code, p: self._settle(not code.is_failure)
        self.client.on_disconnect = lambda c, u, f, code, p: self._settle(False)
        self.client.on_subscribe = self._on_subscribe
        self.client.on_message = self._on_message
        self.port = port

    def _on_subscribe(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.subscribed.set)

    def _on_message(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        got = (message.topic, bytes(message.payload))
        self.loop.call_soon_threadsafe(self.got.put_nowait, got)

    async def publish(self, topic: str, payload: bytes, retain: bool = False) -> None:
        sent = self.client.publish(topic, payload, 1, retain)
        await asyncio.to_thread(sent.wait_for_publish, 10)

    def _settle(self, good: bool) -> None:
        def settle() -> None:
            if not self.connected.done():
                self.connected.set_result(good)

        self.loop.call_soon_threadsafe(settle)

    async def connect(self) -> bool:
        await asyncio.to_thread(self.client.connect, "127.0.0.1", self.port)
        self.client.loop_start()
        async with asyncio.timeout(10):
            return await self.connected

    async def close(self) -> None:
        self.client.disconnect()
        await asyncio.to_thread(self.client.loop_stop)


@pytest.mark.parametrize(
    ("user", "password"), [(None, None), (OBSERVER, "wrong"), ("nobody", "x"), (TWIN, "")]
)
async def test_strangers_are_refused(
    served: tuple[int, dict[str, str]], user: str | None, password: str | None
) -> None:
    client = Client(served[0], user, password)
    assert await client.connect() is False
    await client.close()


async def test_everybody_publishes_what_is_theirs_alone(served: tuple[int, dict[str, str]]) -> None:
    port, accounts = served
    watcher = Client(port, OBSERVER, accounts[OBSERVER])
    assert await watcher.connect()
    watcher.client.subscribe([("kaikou/#", 1), ("spBv1.0/#", 1)])
    async with asyncio.timeout(10):
        await watcher.subscribed.wait()
    clients = {}
    for name in accounts:
        clients[name] = Client(port, name, accounts[name])
        assert await clients[name].connect()
    for name, client in clients.items():
        await client.publish("kaikou/ack/kaikou-demo/edge1", name.encode())
        await client.publish("kaikou/reply/kaikou-demo/8f3c8f3c", name.encode())
        await client.publish("spBv1.0/kaikou-demo/DCMD/kaikou_twin/saw", name.encode())
        await client.publish("spBv1.0/kaikou-demo/DDATA/edge1/saw", name.encode())
    await clients[TWIN].publish("kaikou/ack/end", b"end")
    seen = []
    async with asyncio.timeout(10):
        while (message := await watcher.got.get())[1] != b"end":
            seen.append((message[0], message[1].decode()))
    assert sorted(seen) == [
        ("kaikou/ack/kaikou-demo/edge1", TWIN),
        ("kaikou/reply/kaikou-demo/8f3c8f3c", TWIN),
        ("spBv1.0/kaikou-demo/DCMD/kaikou_twin/saw", "gateway"),
        ("spBv1.0/kaikou-demo/DDATA/edge1/saw", "edge1"),
    ]
    for client in [watcher, *clients.values()]:
        await client.close()


async def test_a_will_may_not_say_what_its_account_may_not(
    served: tuple[int, dict[str, str]],
) -> None:
    port, accounts = served
    forger = Client(port, OBSERVER, accounts[OBSERVER])
    forger.client.will_set("kaikou/ack/kaikou-demo/edge1", b"all")
    assert await forger.connect() is False
    await forger.close()
    honest = Client(port, "edge1", accounts["edge1"])
    honest.client.will_set("spBv1.0/kaikou-demo/NDEATH/edge1", b"dead", qos=1)
    assert await honest.connect() is True
    await honest.close()


@pytest.mark.parametrize("clean", [True, False])
async def test_nobody_takes_the_client_id_of_another(
    served: tuple[int, dict[str, str]], clean: bool
) -> None:
    port, accounts = served
    ids = client_ids(a_plant(port))
    for id in ("kaikou-demo/edge1", "kaikou-kaikou-demo"):
        owner, thief = ids[id], OBSERVER
        true = Client(port, owner, accounts[owner], id)
        assert await true.connect()
        true.client.subscribe("kaikou/ack/#", 1)
        async with asyncio.timeout(10):
            await true.subscribed.wait()
        for password in (accounts[thief], "wrong"):
            false = Client(port, thief, password, id, clean)
            assert await false.connect() is False, id
            await false.close()
        twin = Client(port, TWIN, accounts[TWIN])
        assert await twin.connect()
        await twin.publish("kaikou/ack/kaikou-demo/edge1", id.encode())
        async with asyncio.timeout(10):
            assert (await true.got.get())[1] == id.encode(), "it is connected and subscribed"
        await true.close()
        await twin.close()


async def test_a_wrong_password_gives_no_session_another_account(
    served: tuple[int, dict[str, str]],
) -> None:
    port, accounts = served
    watcher = Client(port, TWIN, accounts[TWIN])
    assert await watcher.connect()
    watcher.client.subscribe("kaikou/ack/#", 1)
    async with asyncio.timeout(10):
        await watcher.subscribed.wait()
    liar = Client(port, OBSERVER, accounts[OBSERVER], "some-id", clean=False)
    assert await liar.connect()
    other = Client(port, TWIN, "wrong", "some-id", clean=False)
    assert await other.connect() is False
    await liar.publish("kaikou/ack/kaikou-demo/edge1", b"forged")
    await watcher.publish("kaikou/ack/kaikou-demo/edge1", b"true")
    async with asyncio.timeout(10):
        assert (await watcher.got.get())[1] == b"true"
    for client in (watcher, liar, other):
        await client.close()


async def test_a_retained_message_waits(served: tuple[int, dict[str, str]]) -> None:
    port, accounts = served
    twin = Client(port, TWIN, accounts[TWIN])
    assert await twin.connect()
    await twin.publish("spBv1.0/STATE/kaikou", b"{}", retain=True)
    late = Client(port, ANALYTICS, accounts[ANALYTICS])
    assert await late.connect()
    late.client.subscribe("spBv1.0/STATE/kaikou", 1)
    async with asyncio.timeout(10):
        assert await late.got.get() == ("spBv1.0/STATE/kaikou", b"{}")
    await twin.close()
    await late.close()


async def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ports = Ports(UtcClock(), tmp_path, options={"accounts": {"a": "b"}})
        with pytest.raises(Unavailable, match=f"port {port} for the MQTT broker"):
            await broker.run(a_plant(port), ports)


def test_secrets_are_kept_and_private(tmp_path: Path) -> None:
    first = Vault(tmp_path).accounts(["edge1", TWIN])
    again = Vault(tmp_path).accounts(["edge1", TWIN, OBSERVER])
    assert {k: again[k] for k in first} == first
    assert len(set(again.values())) == 3
    assert (tmp_path / "secret.json").stat().st_mode & 0o777 == 0o600
