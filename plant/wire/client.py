"""One MQTT connection on the event loop: paho does the protocol, this drives its socket.

An ``MqttClient`` lives for one connection. When it is lost every waiting call raises
``Unavailable`` and the object is done: the caller makes a new one, with a new paho client and a
clean session, because paho's own reconnecting resends and reorders. No thread is involved but
the one that resolves, connects and shakes hands.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from plant.errors import ConfigError, Unavailable
from plant.model.plant import Broker
from plant.wire.inbound import Inbound
from plant.wire.message import Incoming, Outgoing
from plant.wire.topic import NodeId

KEEP_ALIVE_S = 5
"""A half-open link is noticed within twice this; the broker gives up after 1.5 times this."""
_TICK_S = 0.5
_BURST = 64
_YIELD_EVERY = 8
"""Publishing that never has to wait still lets other tasks run after so many messages."""
_SLICE_S = 0.005


class _TlsSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails; paho would leave it open."""

    def do_handshake(self, block: bool = False) -> None:
        """Shake hands, or close."""
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def _tls(broker: Broker) -> ssl.SSLContext:
    """Whom to trust, and our own certificate where the broker asks for one."""
    try:
        context = ssl.create_default_context(cafile=broker.ca_file)
    except OSError as error:
        raise ConfigError(f"broker.ca_file {broker.ca_file!r}: {error}") from error
    if broker.certificate_file is None:
        return context
    try:
        password = broker.key_password or ""  # never asked for on a terminal
        context.load_cert_chain(broker.certificate_file, broker.key_file, lambda: password)
    except OSError as error:
        files = f"{broker.certificate_file!r} with broker.key_file {broker.key_file!r}"
        text = f"broker.certificate_file {files}: {_reason(error, broker.key_file)}"
        raise ConfigError(text) from error
    return context


def _reason(error: OSError, key: str | None) -> str:
    """Why a certificate with its key is not taken."""
    if not isinstance(error, ssl.SSLError):
        return str(error)
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the key is that of another certificate"
    if key is not None and b"ENCRYPTED" in Path(key).read_bytes():
        return "the key is encrypted: key_password is missing, or that of another key"
    return "no certificate with its key in PEM"


class MqttClient:
    """A connection to the broker: ``async with MqttClient(broker, "edge1", will) as mqtt: ...``.

    ``async with`` raises ``Unavailable`` when the broker refuses or is not there, ``ConfigError``
    when the CA file or our own certificate cannot be read. Leaving it sends DISCONNECT unless an
    exception passes through or the connection is lost: then the broker publishes the will.

    inbound_limit  how many messages of one sender wait for ``receive``; the oldest are dropped and
                   counted in ``dropped`` when there are more, or more than 16 MiB
    own            nodes whose messages come before those of all others (``plant.wire.inbound``);
                   None: all come in the order in which they arrived
    """

    def __init__(
        self,
        broker: Broker,
        client_id: str,
        will: Outgoing | None = None,
        *,
        keep_alive_s: int = KEEP_ALIVE_S,
        inbound_limit: int = 8192,
        timeout_s: float = 5.0,
        own: Collection[NodeId] | None = None,
    ) -> None:
        self._client_id = client_id
        self._broker = broker
        self._keep_alive_s = keep_alive_s
        self._timeout_s = timeout_s
        self._inbound = Inbound(inbound_limit, own)
        self._garbled = 0
        self._yielded_at = 0.0
        self._published = 0
        self._lost: str | None = "not connected yet"
        self._arrived = asyncio.Event()
        self._drained = asyncio.Event()
        self._answers: dict[int, asyncio.Future[None]] = {}
        self._socket: socket.socket | None = None
        self._writing = False
        self._timer: asyncio.TimerHandle | None = None
        self._paho = Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=True,
            protocol=MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        self._configure(will)

    def _configure(self, will: Outgoing | None) -> None:
        paho, broker = self._paho, self._broker
        paho.connect_timeout = self._timeout_s
        if broker.username is not None:
            paho.username_pw_set(broker.username, broker.password)
        if broker.tls:
            context = _tls(broker)
            context.sslsocket_class = _TlsSocket
            paho.tls_set_context(context)
        if will is not None:
            paho.will_set(will.topic, will.payload, will.qos, will.retain)
        paho.on_connect = self._on_connect
        paho.on_disconnect = self._on_disconnect
        paho.on_message = self._on_message
        paho.on_subscribe = self._on_subscribe
        paho.on_publish = self._on_publish
        paho.on_socket_close = self._on_socket_close

    async def __aenter__(self) -> Self:
        where = f"broker {self._broker.host}:{self._broker.port}"
        connecting = asyncio.ensure_future(asyncio.to_thread(self._connect))
        try:
            await asyncio.shield(connecting)
        except (OSError, ValueError) as error:  # ssl.SSLError and name resolution are OSErrors
            unknown = isinstance(error, (socket.gaierror, UnicodeError))
            text = "is not known here: the name cannot be looked up" if unknown else str(error)
            raise Unavailable(f"{where}: {text}") from error
        except asyncio.CancelledError:
            connecting.add_done_callback(lambda _: self._close("cancelled"))
            raise
        sock = self._paho.socket()
        if sock is None:
            raise Unavailable(f"{where}: {self._closed()}")
        self._socket = cast("socket.socket", sock)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._socket, self._readable)
        self._timer = loop.call_later(_TICK_S, self._tick)
        answer = self._answers[0] = loop.create_future()
        try:
            async with asyncio.timeout(self._timeout_s):
                await answer
        except TimeoutError as error:
            self._close("no CONNACK")
            raise Unavailable(f"{where}: no answer to CONNECT") from error
        except BaseException:
            self._close("not connected")
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None and self._lost is None:
                await self.disconnect()
        finally:
            self._close("closed")

    @property
    def dropped(self) -> int:
        """Messages that nobody will receive."""
        return self._inbound.dropped + self._garbled

    @property
    def connected(self) -> bool:
        """Whether messages can be sent now."""
        return self._lost is None

    async def subscribe(self, filters: Sequence[tuple[str, int]]) -> None:
        """Subscribe to (topic filter, QoS) pairs; returns when the broker granted them all."""
        self._check()
        code, mid = self._paho.subscribe(list(filters))
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS or mid is None:
            raise Unavailable(self._lost or f"subscribe: {code.name}")
        await self._answer(mid, "SUBACK")

    async def publish(self, message: Outgoing) -> None:
        """Hand a message to the socket; waits while its buffer is full, QoS 1 for the PUBACK."""
        self._check()
        info = self._paho.publish(message.topic, message.payload, message.qos, message.retain)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS or self._lost is not None:
            raise Unavailable(self._lost or f"publish: {info.rc.name}")
        self._published += 1
        if self._paho.want_write():
            await self._drain()
        elif self._published % _YIELD_EVERY == 0:
            await asyncio.sleep(0)
        if message.qos:
            await self._answer(info.mid, "PUBACK")

    async def receive(self) -> list[Incoming]:
        """The next messages that came, at least one; what is more waits for the next call."""
        if time.monotonic() > self._yielded_at + _SLICE_S:
            await asyncio.sleep(0)  # the socket wants to be read, other tasks to run
            self._yielded_at = time.monotonic()
        while not (messages := self._inbound.take()):
            self._check()
            self._arrived.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._inbound.wait_s()):
                    await self._arrived.wait()
            self._yielded_at = time.monotonic()
        return messages

    async def disconnect(self) -> None:
        """Send DISCONNECT, so that the broker does not publish the will."""
        if self._lost is None:
            self._paho.disconnect()  # may write at once and close
            if self._paho.want_write():
                try:
                    async with asyncio.timeout(self._timeout_s):
                        await self._drain()
                except (TimeoutError, Unavailable):
                    pass
        self._close("disconnected")

    # ------------------------------------------------------------------------------ the socket

    def _connect(self) -> None:
        """In a thread: name resolution, TCP and TLS block."""
        self._paho.connect(self._broker.host, self._broker.port, self._keep_alive_s)

    def _readable(self) -> None:
        for _ in range(_BURST):
            before = self._inbound.arrived
            self._paho.loop_read()
            sock = self._socket
            if sock is None:
                return
            more = isinstance(sock, ssl.SSLSocket) and sock.pending()
            if not more and before == self._inbound.arrived:
                break
        self._flush()

    def _writable(self) -> None:
        self._paho.loop_write()
        self._flush()

    def _flush(self) -> None:
        """Ask the loop for room in the socket while paho holds bytes; wake who waits for that."""
        if self._socket is None:
            return
        wanted = self._paho.want_write()
        if wanted and not self._writing:
            asyncio.get_running_loop().add_writer(self._socket, self._writable)
        elif self._writing and not wanted:
            asyncio.get_running_loop().remove_writer(self._socket)
        self._writing = wanted
        if not wanted:
            self._drained.set()

    def _tick(self) -> None:
        if self._socket is None:
            return
        self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._tick)
        self._paho.loop_misc()
        self._flush()

    async def _drain(self) -> None:
        self._drained.clear()
        self._flush()
        await self._drained.wait()
        self._check()

    async def _answer(self, mid: int, what: str) -> None:
        self._flush()
        answer = self._answers[mid] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._timeout_s):
                await answer
        except TimeoutError as error:
            raise Unavailable(f"no {what} within {self._timeout_s:g} s") from error
        finally:
            self._answers.pop(mid, None)

    def _check(self) -> None:
        if self._lost is not None:
            raise Unavailable(self._lost)

    def _close(self, reason: str) -> None:
        """Forget the connection; who waits is told."""
        if self._lost is None or self._lost == "not connected yet":
            self._lost = reason
        if self._timer is not None:
            self._timer.cancel()
        sock = self._socket or cast("socket.socket | None", self._paho.socket())
        self._forget_socket()
        if sock is not None:
            sock.close()
        self._arrived.set()
        self._drained.set()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(Unavailable(self._lost))

    def _forget_socket(self) -> None:
        if self._socket is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._socket)
            loop.remove_writer(self._socket)
            self._socket = None
            self._writing = False

    # --------------------------------------------------------------------------- paho's callbacks

    def _on_connect(self, _c: Client, _u: Any, _f: Any, reason: Any, _p: Any) -> None:
        answer = self._answers.pop(0)
        if reason.is_failure:
            where = f"broker {self._broker.host}:{self._broker.port}"
            self._close(f"{where}: refused: {reason}")
            if not answer.done():
                answer.set_exception(Unavailable(self._lost))
            return
        self._lost = None
        if not answer.done():
            answer.set_result(None)

    def _on_disconnect(self, _c: Client, _u: Any, _f: Any, reason: Any, _p: Any) -> None:
        text = str(reason)
        if text == "Unspecified error":  # an end of the stream: MQTT 3.1.1 gives no reason
            text = self._closed()
        self._close(f"broker {self._broker.host}:{self._broker.port}: {text}")

    def _closed(self) -> str:
        """What an end of the stream may mean."""
        reasons = ["when it stops"]
        if self._broker.tls:
            mine = "does not accept ours" if self._broker.certificate_file else "wants one of ours"
            reasons.append(f"when it asks for certificates and {mine}")
        reasons.append(
            f"when another client takes the id {self._client_id!r} (does another box run with it?)"
        )
        return f"closed the connection; a broker does so {', or '.join(reasons)}"

    def _on_socket_close(self, _c: Client, _u: Any, _s: Any) -> None:
        self._forget_socket()

    def _on_message(self, _c: Client, _u: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:  # a broker should not let it through
            self._garbled += 1
            return
        self._inbound.put(Incoming(topic, bytes(message.payload), message.retain))
        self._arrived.set()

    def _on_subscribe(self, _c: Client, _u: Any, mid: int, reasons: Any, _p: Any) -> None:
        answer = self._answers.get(mid)
        if answer is None or answer.done():
            return
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            answer.set_exception(Unavailable(f"subscription refused: {', '.join(refused)}"))
        else:
            answer.set_result(None)

    def _on_publish(self, _c: Client, _u: Any, mid: int, _r: Any, _p: Any) -> None:
        answer = self._answers.get(mid)
        if answer is not None and not answer.done():
            answer.set_result(None)
