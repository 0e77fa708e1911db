"""One connection of an uplink: does what the sender decides, in order, on one socket."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from plant.flow.clock import Clock
from plant.flow.live import LiveTable
from plant.flow.sample import Int32, Text
from plant.flow.status import StatusCode
from plant.outbox.certificate import Certificates
from plant.outbox.sender import (
    Acked,
    Birth,
    Fetch,
    Online,
    Read,
    RowAhead,
    SenderEvent,
    SendLive,
    SendRow,
    State,
    announce,
)
from plant.outbox.split import ROW_METRICS, Splitter, as_historical
from plant.outbox.store import Outbox
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
    """Publish the DBIRTH of a device."""

    device: str


LinkAction = Birth | Fetch | SendRow | SendLive | DeviceDeath | DeviceBack


class Pace:
    """The actions that wait for the socket, in order."""

    def __init__(self) -> None:
        self._actions: deque[LinkAction] = deque()
        self._some = asyncio.Event()

    def put(self, action: LinkAction) -> None:
        """Do this after everything that waits. A second birth that waits adds nothing."""
        if isinstance(action, Birth) and action in self._actions:
            return
        self._actions.append(action)
        self._some.set()

    def clear(self) -> None:
        """Nothing of it has to be done any more."""
        self._actions.clear()

    async def next(self) -> LinkAction:
        """The next one."""
        while not self._actions:
            self._some.clear()
            await self._some.wait()
        return self._actions.popleft()


@dataclass(frozen=True, slots=True)
class Publication:
    """What a node publishes, as its uplink keeps it.

    texts  index of a text signal -> its newest string
    dead   devices that are lost now
    """

    splitter: Splitter
    certificates: Certificates
    live: LiveTable
    texts: dict[int, Text]
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
        on_command: Callable[[Command], None] | None = None,
    ) -> None:
        self.born_dead: set[str] = set()
        self._mqtt = mqtt
        self._session = session
        self._outbox = outbox
        self._splitter = publication.splitter
        self._certificates = publication.certificates
        self._live = publication.live
        self._texts = publication.texts
        self._dead = publication.dead
        self._clock = clock
        self._pace = pace
        self._state = state
        self._step = step
        self._on_command = on_command
        self._ahead: dict[tuple[str, int], KeptRow] = {}
        self._changed = publication.live.cursor()
        self._texts_told: dict[int, Text] = {}

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
                            self._pace.put(Birth())
                        case Command() if self._on_command:
                            self._on_command(event)

    async def act(self) -> None:
        """Do what has to be done, until the connection is lost."""
        while True:
            match await self._pace.next():
                case SendRow() as action:
                    await self._send_row(action)
                case Fetch() as action:
                    await self._fetch(action)
                case SendLive(devices):
                    await self._send_live(devices)
                case Birth():
                    await self._birth()
                case DeviceDeath(device):
                    await self._death(device)
                case DeviceBack(device):
                    if device not in self._dead and self._session.alive:
                        await self._device_birth(device)

    # ----------------------------------------------------------------------------------- births

    async def _birth(self) -> None:
        """NBIRTH and every DBIRTH, all of one moment; a breath between devices."""
        values = self._certificates.snapshot()
        now = self._clock.now()
        self.born_dead.clear()
        self._ahead.clear()
        self._changed.changed()
        self._texts_told = dict(self._texts)
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
                birth = self._certificates.with_former(birth)
            await self._mqtt.publish(self._session.device_birth(birth, now))
            await asyncio.sleep(0)
        for device in waiting - self._session.born:
            await self._dead_birth(device)

    def _waiting(self) -> set[str]:
        """Devices of which rows wait."""
        waiting = {device for run in self._outbox.runs.values() for device in run.devices}
        return waiting - {""}

    async def _device_birth(self, device: str) -> None:
        birth = self._certificates.device(device, self._certificates.snapshot())
        if device in self._waiting():
            birth = self._certificates.with_former(birth)
        self.born_dead.discard(device)
        await self._mqtt.publish(self._session.device_birth(birth, self._clock.now()))

    async def _dead_birth(self, device: str) -> None:
        """So that the aliases of its rows are known; it dies again after the last of them."""
        self.born_dead.add(device)
        birth = self._certificates.dead(device)
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

    async def _send_live(self, devices: frozenset[str] | None) -> None:
        """Current values without a row: for live tables only."""
        if devices is None:
            signals = self._changed.changed()
            texts = {i: t for i, t in self._texts.items() if self._texts_told.get(i) is not t}
            self._texts_told.update(texts)
        else:
            codes = [i for i, d in enumerate(self._splitter.devices) if d in devices]
            signals = np.flatnonzero(np.isin(self._splitter.device_of, codes)).astype(np.int32)
            texts = {i: t for i, t in self._texts.items() if self._device(i) in devices}
        for message in self.live_messages(signals, texts):
            await self._mqtt.publish(message)

    def live_messages(self, signals: Int32, texts: Mapping[int, Text]) -> Iterator[Outgoing]:
        """Plain data of current values, by device; what is dead or not born is left out."""
        known = self._live.status[signals] != StatusCode.BadWaitingForInitialData
        signals = signals[known]
        codes = self._splitter.device_of[signals]
        for code in np.unique(codes):
            device = self._splitter.devices[code]
            of_device = signals[codes == code]
            for start in range(0, len(of_device), ROW_METRICS):
                part = of_device[start : start + ROW_METRICS]
                metrics = encode_metrics(self._splitter.alias[part], self._live.snapshot(part))
                if self._may_tell(device):
                    yield self._session.data(device or None, metrics, self._clock.now())
        for index, text in texts.items():
            device = self._device(index)
            alias = int(self._splitter.alias[index])
            if self._may_tell(device):
                metrics = encode_texts([TextSample(alias, text.time, text.text, text.status)])
                yield self._session.data(device or None, metrics, self._clock.now())

    def _device(self, index: int) -> str:
        return self._splitter.device(index)

    def _may_tell(self, device: str) -> bool:
        return not device or (
            device in self._session.born
            and device not in self._dead
            and device not in self.born_dead
        )
