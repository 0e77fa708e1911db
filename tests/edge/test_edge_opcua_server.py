"""The OPC UA server as clients see it: what they may, and what they may not."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from asyncua import Client, ua
from asyncua.crypto.security_policies import (
    SecurityPolicyAes128Sha256RsaOaep,
    SecurityPolicyAes256Sha256RsaPss,
    SecurityPolicyBasic256Sha256,
)

from edge.opcua import certificate, channel, connection
from edge.opcua.certificate import identity
from edge.opcua.shown import fingerprint
from edge.opcua.trust import TrustStore
from edge.opcua.user import Users
from plant.errors import ConfigError, Unavailable
from plant.flow.sample import Text
from plant.flow.status import StatusCode
from plant.model.plant import OpcUaUser
from tests.edge.opcua_support import (
    PASSWORD,
    T0,
    Notes,
    Pair,
    Running,
    a_certificate,
    a_client,
    a_signal,
    an_asset,
    node,
    serving,
    trust,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """The lathe's server, one for all tests (it takes two seconds to start)."""
    async with serving(tmp_path_factory.mktemp("server") / "pki") as it:
        yield it


@pytest.fixture(scope="module")
def pair(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A certificate and key that the server trusts."""
    made = a_certificate(tmp_path_factory.mktemp("client"))
    trust(running.folder, made)
    return made


@pytest_asyncio.fixture(loop_scope="module")
async def client(running: Running, pair: Pair) -> AsyncIterator[Client]:
    """A client that is let in."""
    async with await a_client(running.url, pair) as it:
        yield it


# ------------------------------------------------------------------------------------- looking


async def test_a_client_browses_by_asset_and_reads_what_a_signal_is(client: Client) -> None:
    assert (await client.get_namespace_array())[2] == "urn:kaikou:kaikou:demo"
    lathe = await client.nodes.objects.get_child(["2:Kaikou", "2:demo", "2:lathe"])
    names = [(await child.read_browse_name()).Name for child in await lathe.get_children()]
    assert names == ["power", "part_count", "activity", "light", "program"]
    power = node(client, "lathe/power")
    assert (await power.read_display_name()).Text == "Power"
    assert (await power.read_description()).Text == "power的名字"
    unit = await (await power.get_child("0:EngineeringUnits")).read_value()
    assert (unit.UnitId, unit.DisplayName.Text) == (4_937_556, "kW")
    extent = await (await power.get_child("0:EURange")).read_value()
    assert (extent.Low, extent.High) == (0.0, 20.0)
    assert await (await power.get_child("0:Simulated")).read_value() is True
    strings = await (await node(client, "lathe/activity").get_child("0:EnumStrings")).read_value()
    assert [text.Text for text in strings] == ["No", "Idle"]
    values = await (await node(client, "lathe/light").get_child("0:EnumValues")).read_value()
    assert [(v.Value, v.DisplayName.Text) for v in values] == [(20, "Green")]


async def test_values_are_read_from_the_live_table_with_status_and_source_time(
    running: Running, client: Client
) -> None:
    power = node(client, "lathe/power")
    waiting = await power.read_data_value(raise_on_bad_status=False)
    assert waiting.StatusCode.value == StatusCode.BadWaitingForInitialData
    assert waiting.Value.Value is None
    running.show("lathe/power", 7.25, StatusCode.Uncertain)
    value = await power.read_data_value(raise_on_bad_status=False)
    assert value.Value.Value == 7.25
    assert value.StatusCode.value == StatusCode.Uncertain
    assert value.SourceTimestamp.timestamp() * 1000 == T0
    running.show("lathe/power", np.nan, StatusCode.BadSensorFailure, T0 + 1)
    value = await power.read_data_value(raise_on_bad_status=False)
    assert (value.StatusCode.value, value.Value.Value) == (StatusCode.BadSensorFailure, None)
    running.show("lathe/light", 20.0)
    assert await node(client, "lathe/light").read_value() == 20
    running.window.text(Text(running.window.live.table.index("lathe/program"), T0, "O1234"))
    assert await node(client, "lathe/program").read_value() == "O1234"


async def test_only_what_is_monitored_is_pushed(running: Running, client: Client) -> None:
    window = running.window
    running.show("lathe/power", 1.0)
    running.show("lathe/part_count", 10.0)
    assert window.monitored == 0
    assert await window.push() == 0
    assert not window.value(window.live.table.index("lathe/power")).StatusCode.value
    notes = Notes()
    subscription = await client.create_subscription(100, notes)
    await subscription.subscribe_data_change(node(client, "lathe/power"))
    assert await notes.next() == ("lathe/power", 1.0)
    assert window.monitored == 1
    running.show("lathe/power", 2.0)
    running.show("lathe/part_count", 11.0)
    assert await window.push() == 1
    assert await notes.next() == ("lathe/power", 2.0)
    await subscription.delete()
    assert window.monitored == 0
    running.show("lathe/power", 3.0)
    assert await window.push() == 0


async def test_names_come_in_the_language_that_is_asked_for(running: Running, pair: Pair) -> None:
    client = await a_client(running.url, pair)
    client._locale = ["zh-CN"]
    async with client:
        assert (await node(client, "lathe/power").read_display_name()).Text == "power的名字"
        lathe = await node(client, "lathe").get_children_descriptions()
        assert lathe[0].DisplayName.Text == "power的名字"


@pytest.mark.parametrize(
    "policy",
    [
        SecurityPolicyAes256Sha256RsaPss,
        SecurityPolicyAes128Sha256RsaOaep,
        SecurityPolicyBasic256Sha256,
    ],
)
async def test_the_three_policies(running: Running, pair: Pair, policy: Any) -> None:
    async with await a_client(running.url, pair, policy=policy) as client:
        assert await client.get_namespace_index("urn:kaikou:kaikou:demo") == 2


async def test_nothing_else_is_offered(running: Running) -> None:
    endpoints = await Client(running.url).connect_and_get_server_endpoints()
    offered = [e.SecurityPolicyUri.rpartition("#")[2] for e in endpoints]
    assert offered == ["Aes256_Sha256_RsaPss", "Aes128_Sha256_RsaOaep", "Basic256Sha256"]
    assert {e.SecurityMode for e in endpoints} == {ua.MessageSecurityMode.SignAndEncrypt}
    tokens = {t.TokenType for e in endpoints for t in e.UserIdentityTokens}
    assert tokens == {ua.UserTokenType.UserName}


async def test_large_assets_are_divided(tmp_path: Path) -> None:
    many = an_asset("press", [a_signal("press", f"s{n}") for n in range(450)])
    async with serving(tmp_path / "pki", [many]) as running:
        pair = a_certificate(tmp_path / "client")
        trust(running.folder, pair)
        async with await a_client(running.url, pair) as client:
            press = await client.nodes.objects.get_child(["2:Kaikou", "2:demo", "2:press"])
            parts = await press.get_children()
            names = [(await part.read_browse_name()).Name for part in parts]
            assert names == ["1-200", "201-400", "401-450"]
            assert len(await parts[2].get_children()) == 50


# ------------------------------------------------------------------------------------ refusing


async def refused(client: Client) -> str:
    """How a client fails to connect."""
    with pytest.raises((ua.UaError, ConnectionError, TimeoutError)) as caught:
        async with client:
            pass
    return f"{type(caught.value).__name__} {caught.value}"


@pytest.mark.parametrize(
    "user",
    [
        None,
        ("admin", "admin"),
        ("Admin", ""),
        ("admin", PASSWORD),
        ("scada", "wrong"),
        ("scada", ""),
    ],
)
async def test_no_anonymous_no_default_admin_no_wrong_password(
    running: Running, pair: Pair, user: tuple[str, str] | None
) -> None:
    assert await refused(await a_client(running.url, pair, user=user))


async def test_a_channel_without_security_is_for_discovery_only(running: Running) -> None:
    client = Client(running.url, timeout=5)
    client.set_user("scada")
    client.set_password(PASSWORD)
    await client.connect_sessionless()
    assert await client.get_endpoints()
    with pytest.raises(ua.UaStatusCodeError) as caught:
        await client.create_session()
    assert caught.value.code == ua.StatusCodes.BadSecurityPolicyRejected
    with pytest.raises(ua.UaError):
        await client.activate_session("scada", PASSWORD)
    client.disconnect_socket()


async def test_signing_alone_is_not_opened_by_a_client_that_does_not_ask(
    running: Running, pair: Pair
) -> None:
    client = await a_client(running.url, pair)
    client.security_policy.Mode = ua.MessageSecurityMode.Sign
    assert await refused(client)


async def test_an_unknown_client_is_kept_until_a_person_lets_it_in(
    running: Running, tmp_path: Path
) -> None:
    pair = a_certificate(tmp_path / "client")
    assert "BadSecurityChecksFailed" in await refused(await a_client(running.url, pair))
    store = TrustStore(running.folder)
    waiting = store.rejected()[0]
    assert (waiting.subject, waiting.uri) == ("CN=Test client", "urn:test:client")
    assert waiting.problems == ()
    accepted = store.accept(waiting.fingerprint[:12].upper())
    assert accepted.fingerprint in [shown.fingerprint for shown in store.trusted()]
    assert accepted.fingerprint not in [shown.fingerprint for shown in store.rejected()]
    async with await a_client(running.url, pair) as client:  # without a restart
        assert await client.get_namespace_array()


async def asked_for_ever(client: Client) -> None:
    """Ask until the server does not answer any more."""
    for _ in range(200):
        await client.get_namespace_array()
        await asyncio.sleep(0.05)


async def test_trust_that_is_taken_back_ends_the_connection(
    running: Running, tmp_path: Path
) -> None:
    pair = a_certificate(tmp_path / "client")
    trust(running.folder, pair)
    store = TrustStore(running.folder)
    async with await a_client(running.url, pair) as client:
        assert await client.get_namespace_array()
        running.server.review()
        assert await client.get_namespace_array()
        store.remove(fingerprint(pair[0].read_bytes()))
        running.server.review()
        with pytest.raises((ConnectionError, ua.UaError, TimeoutError)):
            await asked_for_ever(client)
    assert "BadSecurityChecksFailed" in await refused(await a_client(running.url, pair))


async def test_our_certificate_is_renewed_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = a_certificate(tmp_path / "client")
    async with serving(tmp_path / "pki") as running:
        trust(running.folder, pair)
        async with await a_client(running.url, pair) as client:
            (shown,) = {e.ServerCertificate for e in await client.get_endpoints()}
            assert not await running.server.renew(), "it is good for years"
            monkeypatch.setattr(certificate, "RENEW", certificate.VALID)
            assert await running.server.renew()
            monkeypatch.undo()
            assert await client.get_namespace_array(), "who is there stays"
        async with await a_client(running.url, pair) as client:
            (renewed,) = {e.ServerCertificate for e in await client.get_endpoints()}
            assert renewed != shown
            assert (running.folder / "own" / "certificate.der").read_bytes() == renewed
        (running.folder / "own" / "certificate.der").write_bytes(b"")
        assert not await running.server.renew(), "a broken file changes nothing"
        async with await a_client(running.url, pair) as client:
            assert await client.get_namespace_array()


async def test_accepting_needs_one_match(tmp_path: Path) -> None:
    store = TrustStore(tmp_path)
    with pytest.raises(ConfigError, match="none is waiting"):
        store.accept("ab")


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"days": -1}, "valid only until"),
        ({"begins": 2}, "valid only from"),
        ({"bits": 1024}, "2048"),
        ({"client": False}, "not for a client"),
    ],
)
async def test_a_trusted_certificate_must_still_be_sound(
    tmp_path: Path, wrong: dict[str, Any], why: str
) -> None:
    store = TrustStore(tmp_path / "pki")
    der = a_certificate(tmp_path / "client", **wrong)[0].read_bytes()
    (tmp_path / "pki" / "trusted" / "a.der").write_bytes(der)
    assert why in (store.refusal(der) or "")


async def test_trust_fails_closed(tmp_path: Path) -> None:
    store = TrustStore(tmp_path / "pki")
    der = a_certificate(tmp_path / "client")[0].read_bytes()
    assert "not trusted" in (store.refusal(der) or "")
    for rubbish in (b"", b"\x30\x82", b"hello", der[:-1]):
        assert store.refusal(rubbish)
    (tmp_path / "pki" / "trusted" / "broken.der").write_bytes(b"broken")
    assert "not trusted" in (store.refusal(der) or "")


async def test_an_application_that_is_not_its_certificates_is_refused(
    running: Running, pair: Pair
) -> None:
    assert "Uri" in await refused(await a_client(running.url, pair, uri="urn:somebody:else"))


async def test_a_session_must_name_the_certificate_of_its_channel(
    running: Running, pair: Pair, tmp_path: Path
) -> None:
    other = a_certificate(tmp_path)
    client = await a_client(running.url, pair)
    await client.connect_sessionless()
    client.security_policy.host_certificate = other[0].read_bytes()
    with pytest.raises(ua.UaStatusCodeError) as caught:
        await client.create_session()
    assert caught.value.code == ua.StatusCodes.BadCertificateInvalid
    client.disconnect_socket()


async def test_clients_change_nothing(running: Running, client: Client) -> None:
    running.show("lathe/power", 7.0)
    power = node(client, "lathe/power")
    for attribute, value in (
        (ua.AttributeIds.Value, 1.0),
        (ua.AttributeIds.DisplayName, ua.LocalizedText("mine")),
        (ua.AttributeIds.AccessLevel, ua.Variant(3, ua.VariantType.Byte)),
    ):
        with pytest.raises(ua.uaerrors.BadUserAccessDenied):
            await power.write_attribute(attribute, ua.DataValue(value))
    assert await power.read_value() == 7.0
    with pytest.raises(ua.UaError):
        await client.nodes.objects.add_folder(2, "mine")
    with pytest.raises(ua.UaError):
        await client.delete_nodes([power])
    method = client.get_node(ua.NodeId(ua.ObjectIds.Server_GetMonitoredItems))
    with pytest.raises(ua.UaError):
        await client.nodes.server.call_method(method, 1)
    assert await power.read_value() == 7.0


async def test_subscriptions_are_slowed_and_capped_and_belong_to_their_session(
    running: Running, client: Client, pair: Pair
) -> None:
    subscriptions = []
    for _ in range(10):
        subscriptions.append(await client.create_subscription(0.001, Notes()))
    assert {s.parameters.RequestedPublishingInterval for s in subscriptions}
    inside = running.server._server.iserver.subscription_service.subscriptions.values()  # type: ignore[union-attr]
    assert {s.data.RevisedPublishingInterval for s in inside} == {100.0}
    assert all(s.data.RevisedLifetimeCount * 100 <= 600_000 for s in inside)
    with pytest.raises(ua.uaerrors.BadTooManySubscriptions):
        await client.create_subscription(1000, Notes())
    async with await a_client(running.url, pair) as other:
        (result,) = await other.uaclient.delete_subscriptions([subscriptions[0].subscription_id])
        assert result.value == ua.StatusCodes.BadSubscriptionIdInvalid
    assert len(inside) == 10


async def test_a_name_is_locked_after_five_wrong_passwords() -> None:
    now = 0.0
    users = Users([OpcUaUser("scada", PASSWORD)], lambda: now)
    for _ in range(5):
        assert not users.allows("scada", "wrong")
    assert not users.allows("scada", PASSWORD)
    now = 31.0
    assert users.allows("scada", PASSWORD)


@pytest.mark.parametrize(
    ("users", "why"),
    [((), "no users"), ((OpcUaUser("scada", "short"),), "less than 8")],
)
async def test_a_server_that_nobody_or_everybody_could_enter_does_not_start(
    tmp_path: Path, users: tuple[OpcUaUser, ...], why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        async with serving(tmp_path / "pki", users=users):
            pass


async def test_it_does_not_start_with_half_a_certificate(tmp_path: Path) -> None:
    folder = tmp_path / "pki" / "own"
    made = identity(folder, "kaikou:demo:edge1")
    assert made.uri.endswith(":kaikou:kaikou:demo:edge1")
    assert identity(folder, "another").uri == made.uri  # kept, not made again
    assert (folder / "key.pem").stat().st_mode & 0o077 == 0
    (folder / "key.pem").unlink()
    with pytest.raises(ConfigError, match=r"key\.pem"):
        async with serving(tmp_path / "pki"):
            pass


async def test_a_taken_port_is_said_so(running: Running, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot listen"):
        async with serving(tmp_path / "other", port=running.server.port):
            pass


# -------------------------------------------------------------------------------------- floods


async def raw(running: Running) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A TCP connection."""
    return await asyncio.open_connection("127.0.0.1", running.server.port)


HELLO = (
    b"HELF"
    + (8 + 20 + 4).to_bytes(4, "little")
    + b"".join(n.to_bytes(4, "little") for n in (0, 65_535, 65_535, 0, 0))
    + (0).to_bytes(4, "little")
)


async def ended(reader: asyncio.StreamReader) -> bool:
    """Whether the server closes the connection."""
    async with asyncio.timeout(5):
        while True:
            try:
                if not await reader.read(65_536):
                    return True
            except ConnectionError:
                return True


async def test_a_frame_that_says_it_is_huge_ends_the_connection(running: Running) -> None:
    reader, writer = await raw(running)
    writer.write(HELLO + b"OPNF" + (1 << 31).to_bytes(4, "little"))
    assert await ended(reader)
    writer.close()


def a_chunk(number: int, body: bytes, kind: bytes = b"C") -> bytes:
    """An intermediate MSG chunk of a channel that was never opened."""
    rest = b"".join(n.to_bytes(4, "little") for n in (0, 0, number, 1)) + body
    return b"MSG" + kind + (8 + len(rest)).to_bytes(4, "little") + rest


async def test_a_flood_of_chunks_before_log_in_ends_after_thirty_two(running: Running) -> None:
    reader, writer = await raw(running)
    writer.write(HELLO)
    sent = 0
    body = bytes(60_000)
    try:
        async with asyncio.timeout(20):
            for number in range(1, 2_000):
                writer.write(a_chunk(number, body))
                await writer.drain()
                sent += 1
    except (ConnectionError, TimeoutError):
        pass
    assert await ended(reader)
    assert sent < 200
    writer.close()


async def test_a_flood_of_small_frames_ends(running: Running) -> None:
    reader, writer = await raw(running)
    flood = b"".join(a_chunk(number, b"") for number in range(1, 5_000))
    with contextlib.suppress(ConnectionError):
        writer.write(HELLO + flood)
        await writer.drain()
    assert await ended(reader)
    writer.close()


@pytest.mark.parametrize(
    "rubbish",
    [
        b"GET / HTTP/1.1\r\n\r\n" + bytes(64),
        b"OPNF" + (40).to_bytes(4, "little") + bytes(32),
        b"MSGF" + (24).to_bytes(4, "little") + b"\xff" * 16,
        b"CLOF" + (24).to_bytes(4, "little") + bytes(16),
        b"HELF" + (9).to_bytes(4, "little") + b"\x00",
    ],
)
async def test_rubbish_ends_the_connection_and_disturbs_nobody(
    running: Running, client: Client, rubbish: bytes
) -> None:
    reader, writer = await raw(running)
    writer.write(rubbish)
    assert await ended(reader)
    writer.close()
    assert await client.get_namespace_array()


async def test_who_says_nothing_gives_his_place_to_who_logs_in(
    running: Running, client: Client, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "MAX_CONNECTIONS_PER_ADDRESS", 4)
    silent = [await raw(running) for _ in range(3)]  # with the client in its session: full
    greeted = await raw(running)
    greeted[1].write(HELLO)
    await greeted[0].read(100)
    async with await a_client(running.url, pair) as true:
        assert await true.get_namespace_array()
        assert await client.get_namespace_array()  # who is in is not sent away
    for reader, writer in silent:
        assert await ended(reader)
        writer.close()
    greeted[1].close()


async def test_one_address_gets_no_more_than_its_share_of_sessions(
    running: Running, client: Client, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "MAX_CONNECTIONS_PER_ADDRESS", 1)
    with pytest.raises((OSError, TimeoutError)):
        await (await a_client(running.url, pair)).connect()
    assert await client.get_namespace_array()


async def test_a_connection_without_hello_or_channel_is_ended(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HELLO_S", 0.1)
    monkeypatch.setattr(connection, "CHANNEL_S", 0.3)
    quiet, greeting = await raw(running), await raw(running)
    greeting[1].write(HELLO)
    assert await ended(quiet[0])
    assert await ended(greeting[0])
    quiet[1].close()
    greeting[1].close()


async def test_who_never_logs_in_is_sent_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create: Callable[..., Any] = channel.Core.__init__

    def hasty(self: channel.Core, user_manager: Any) -> None:
        create(self, user_manager)
        self.max_pending_activation_seconds = 0.2

    monkeypatch.setattr(channel.Core, "__init__", hasty)
    async with serving(tmp_path / "pki") as running:
        reader, writer = await raw(running)
        writer.write(HELLO)
        assert await ended(reader)
        writer.close()


async def test_mutated_frames_of_a_real_client_disturb_nobody(
    running: Running, client: Client, pair: Pair
) -> None:
    frames: list[bytes] = []
    probe = await a_client(running.url, pair)
    await probe.connect_socket()
    transport = probe.uaclient.protocol.transport  # type: ignore[union-attr]
    send = transport.write
    transport.write = lambda data: (frames.append(bytes(data)), send(data))[1]  # type: ignore[union-attr]
    await probe.send_hello()
    await probe.open_secure_channel()
    await probe.create_session()
    probe.disconnect_socket()
    chance = random.Random(7)
    for _ in range(150):
        _, writer = await raw(running)
        for frame in frames[: chance.randint(1, len(frames))]:
            mutated = bytearray(frame)
            for _ in range(chance.randint(1, 8)):
                mutated[chance.randrange(len(mutated))] = chance.randrange(256)
            with contextlib.suppress(ConnectionError):
                writer.write(mutated)
                await writer.drain()
        writer.close()
    assert await client.get_namespace_array()
    sessions = running.server._server.iserver._external_sessions  # type: ignore[union-attr]
    async with asyncio.timeout(20):
        while len(sessions) > 1:
            await asyncio.sleep(0.05)
    assert len(running.server._server.bserver.clients) <= 5  # type: ignore[union-attr]
