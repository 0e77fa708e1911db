"""One connection of an uplink: does what the sender decides, in order, on one socket."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from plant.flow.clock import Clock
from plant.flow.sample import SampleBatch
from plant.outbox.certificate import Certificates
from plant.outbox.current import Current, Values
from plant.outbox.rebirth import Rebirths
from plant.outbox.sender_event import (
    Acked,
    Birth,
    Fetch,
    Online,
    Read,
    RowAhead,
    SenderEvent,
    SendRow,
)
from plant.outbox.sender_state import (
    State,
    announce,
)
from plant.outbox.split import ROW_METRICS, Splitter, as_historical
from plant.outbox.store import Outbox
from plant.wire.birth import DeviceBirth
from plant.wire.client import MqttClient
from plant.wire.codec import TextSample, encode_metrics, encode_texts
from plant.wire.edge_session import AckReceived, Command, EdgeSession, RebirthWanted
from plant.wire.message import Outgoing, Row

if TYPE_CHECKING:
    from plant.outbox.row import KeptRow


@dataclass(frozen=True, slots=True)
class DeviceDeath:
    """Publish DDEATH of a device, if it is born."""

    device: str


@dataclass(frozen=True, slots=True)
class DeviceBack:
    """Publish the DBIRTH of a device, made when it came back; void after a round of births."""

    birth: DeviceBirth
    session: int


@dataclass(frozen=True, slots=True)
class Tell:
    """``SendLive`` with the values of the moment it was decided; void after births."""

    values: Values
    session: int


LinkAction = Birth | Fetch | SendRow | Tell | DeviceDeath | DeviceBack


class Pace:
    """The actions that wait for the socket, in order.

    Bounded by the sender's window, one fetch, one birth, two a device, and the uplink's limit of
    ``tells``, the current values that wait.
    """

    def __init__(self) -> None:
        self._actions: deque[LinkAction] = deque()
        self._some = asyncio.Event()
        self.tells = 0

    def put(self, action: LinkAction) -> None:
        """Do this after everything that waits. A second birth that waits adds nothing."""
        if isinstance(action, Birth) and action in self._actions:
            return
        self.tells += isinstance(action, Tell)
        self._actions.append(action)
        self._some.set()

    def clear(self) -> None:
        """Nothing of it has to be done any more."""
        self._actions.clear()
        self.tells = 0

    async def next(self) -> LinkAction:
        """The next one."""
        while not self._actions:
            self._some.clear()
            await self._some.wait()
        action = self._actions.popleft()
        self.tells -= isinstance(action, Tell)
        return action


@dataclass(frozen=True, slots=True)
class Publication:
    """What a node publishes, as its uplink keeps it; ``dead`` are devices that are lost now."""

    splitter: Splitter
    certificates: Certificates
    current: Current
    dead: set[str]


class Link:
    """Lives as long as one connection. ``state`` gives the sender's state, ``step`` moves it."""

    def __init__(
        self,
        mqtt: MqttClient,
        session: EdgeSession,
        outbox: Outbox,
        publication: Publication,
        *,
        clock: Clock,
        pace: Pace,
        state: Callable[[], State],
        step: Callable[[SenderEvent], None],
        rebirths: Rebirths,
        on_command: Callable[[Command], None] | None = None,
    ) -> None:
        self._rebirths = rebirths
        self.born_dead: set[str] = set()
        self._mqtt = mqtt
        self._session = session
        self._outbox = outbox
        self._splitter = publication.splitter
        self._certificates = publication.certificates
        self._current = publication.current
        self._dead = publication.dead
        self._clock = clock
        self._pace = pace
        self._state = state
        self._step = step
        self._on_command = on_command
        self._ahead: dict[tuple[str, int], KeptRow] = {}

    async def receive(self) -> None:
        """Acknowledgements, rebirth requests and commands, until the connection is lost."""
        while True:
            for message in await self._mqtt.receive():
                for event in self._session.on_message(
                    message.topic, message.payload, message.retain
                ):
                    match event:
                        case AckReceived(ack):
                            self._step(Acked(time.monotonic(), ack.host, ack.marks))
                        case RebirthWanted():
                            if self._rebirths.asked(time.monotonic()):
                                self._pace.put(Birth())
                        case Command() if self._on_command:
                            self._on_command(event)

    async def send(self, message: Outgoing) -> None:
        """Publish what is no data of the session."""
        await self._mqtt.publish(message)

    async def act(self) -> None:
        """Do what has to be done, until the connection is lost."""
        while True:
            match await self._pace.next():
                case SendRow() as action:
                    await self._send_row(action)
                case Fetch() as action:
                    await self._fetch(action)
                case Tell(values, session):
                    if session == self._state().session and self._session.alive:
                        await self._tell(values)
                case Birth():
                    await self._birth()
                case DeviceDeath(device):
                    await self._death(device)
                case DeviceBack(birth, session):
                    if session == self._state().session and self._session.alive:
                        await self._device_birth(birth)

    # ----------------------------------------------------------------------------------- births

    async def _birth(self) -> None:
        """NBIRTH and every DBIRTH, all of one moment; a breath between devices."""
        values = self._current.everything()
        now = self._clock.now()
        self.born_dead.clear()
        self._ahead.clear()
        births = self._session.birth(
            now, [], announce(self._state()), self._certificates.node(values)
        )
        self._step(Online(time.monotonic()))
        for message in births:
            await self._mqtt.publish(message)
        waiting = self._waiting()
        for device in self._certificates.devices:
            if device in self._dead:
                continue
            birth = self._certificates.device(device, values)
            if device in waiting:
                known = await self._outbox.known_metrics(device)
                birth = self._certificates.with_former(birth, known)
            await self._mqtt.publish(self._session.device_birth(birth, now))
            await asyncio.sleep(0)
        for device in waiting - self._session.born:
            await self._dead_birth(device)

    def _waiting(self) -> set[str]:
        """Devices of which rows wait."""
        waiting = {device for run in self._outbox.runs.values() for device in run.devices}
        return waiting - {""}

    async def _device_birth(self, birth: DeviceBirth) -> None:
        if birth.device in self._dead:
            return
        if birth.device in self._waiting():
            known = await self._outbox.known_metrics(birth.device)
            birth = self._certificates.with_former(birth, known)
        self.born_dead.discard(birth.device)
        await self._mqtt.publish(self._session.device_birth(birth, self._clock.now()))

    async def _dead_birth(self, device: str) -> None:
        """So that the aliases of its rows are known; it dies again after the last of them."""
        self.born_dead.add(device)
        birth = self._certificates.dead(device, await self._outbox.known_metrics(device))
        await self._mqtt.publish(self._session.device_birth(birth, self._clock.now()))

    async def _death(self, device: str) -> None:
        if device in self._session.born:
            self.born_dead.discard(device)
            await self._mqtt.publish(self._session.death(device, self._clock.now()))

    def bury(self) -> None:
        """Let devices die again whose last row was acknowledged."""
        if self.born_dead:
            for device in self.born_dead - self._waiting():
                self._pace.put(DeviceDeath(device))

    # ------------------------------------------------------------------------------------- rows

    async def _fetch(self, action: Fetch) -> None:
        ask = (action.run, action.above, action.max_bytes)
        rows = self._outbox.recent(*ask)
        if rows is None:
            rows = await self._outbox.read(*ask)
        rows = [kept for kept in rows if kept.offset <= action.last]
        self._ahead = {(kept.run, kept.offset): kept for kept in rows}
        ahead = [
            RowAhead(kept.offset, kept.row.size, kept.row.device, kept.row.historical)
            for kept in rows
        ]
        self._step(Read(time.monotonic(), action.run, action.above, action.last, ahead))

    async def _send_row(self, action: SendRow) -> None:
        kept = self._ahead.pop((action.run, action.offset), None)
        if kept is None or action.epoch != self._state().epoch:
            return
        device = kept.row.device
        if device and device not in self._session.born:
            await self._dead_birth(device)
        historical = action.historical or device in self.born_dead
        metrics = as_historical(kept.row.metrics) if historical else kept.row.metrics
        row = Row(action.run, action.offset, action.after, historical)
        await self._mqtt.publish(
            self._session.data(device or None, metrics, self._clock.now(), row)
        )

    # ----------------------------------------------------------------------------- current values

    async def _tell(self, values: Values) -> None:
        """Current values without a row: for live tables only. Who is dead has none."""
        codes = self._splitter.device_of[values.samples.signal]
        for code in sorted(set(codes.tolist())):
            device = self._splitter.devices[code]
            if self._may_tell(device):
                await self._tell_samples(device, values.samples.take(codes == code))
        for index, text in values.texts.items():
            device = self._splitter.device(index)
            if self._may_tell(device):
                alias = int(self._splitter.alias[index])
                metrics = encode_texts([TextSample(alias, text.time, text.text, text.status)])
                await self._publish(device, metrics)

    async def _tell_samples(self, device: str, samples: SampleBatch) -> None:
        for start in range(0, len(samples), ROW_METRICS):
            part = samples.take(np.arange(start, min(start + ROW_METRICS, len(samples))))
            await self._publish(device, encode_metrics(self._splitter.alias[part.signal], part))

    async def _publish(self, device: str, metrics: bytes) -> None:
        await self._mqtt.publish(self._session.data(device or None, metrics, self._clock.now()))

    def _may_tell(self, device: str) -> bool:
        return not device or (
            device in self._session.born
            and device not in self._dead
            and device not in self.born_dead
        )
