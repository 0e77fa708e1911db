"""The twin's end of the bus: hears everybody, stores, acknowledges, says that it is there.

Nothing here waits for the historian: messages go into the intake, whose queue is bounded and
drops what its edge will send again. One thread writes; one commit is under way at a time, and
the acknowledgement goes out after it.
"""

import asyncio
import functools
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from plant.errors import Condemned, Unavailable
from plant.flow.clock import Clock
from plant.flow.live import LiveTable, SignalTable
from plant.flow.port import Commit, HistorianWriter
from plant.flow.status import StatusCode
from plant.flow.supervisor import Backoff, Transition
from plant.model.plant import PUBLISHERS, Broker, Plant
from plant.wire.client import MqttClient
from plant.wire.doubt import doubted
from plant.wire.host_event import (
    Born,
    Data,
    Died,
    HostEvent,
    RebirthWanted,
    Refused,
    RunsAnnounced,
    SequenceGap,
)
from plant.wire.host_session import HostSession, rebirth_command
from plant.wire.host_state import HostState
from plant.wire.message import Outgoing
from plant.wire.ownership import Ownership
from plant.wire.refusal import Refusals, one_line
from plant.wire.topic import NodeId
from twin.birth import Births, series_of
from twin.days import Days
from twin.declared import Declared
from twin.intake import COMMIT_SAMPLES, QUEUE_SAMPLES, Intake
from twin.recorded import Recorded

log = logging.getLogger("kaikou.twin")

COMMIT_S = 0.1
REPEAT_S = 5.0
TICK_S = 0.25
RETAIN_S = 5.0
_ASKED = 256
"""So many nodes are told of that are asked for their births."""

Heard = Callable[[Data, bool], None]
"""Called with every data event and whether it was queued to be stored."""


class Host:
    """Session, intake and live table of the twin; its three loops are run by the service.

    ``recorded`` knows which statements of people are the twin's own; no other one is taken.
    """

    def __init__(  # noqa: PLR0917 - what it hears, where to it writes, who listens
        self,
        plant: Plant,
        broker: Broker,
        writer: HistorianWriter,
        clock: Clock,
        heard: Heard,
        recorded: Recorded | None = None,
    ) -> None:
        self.plant = plant
        self.table = SignalTable()
        self.live = LiveTable(self.table)
        own = [*plant.edges, *PUBLISHERS]
        ownership = Ownership.of(plant)
        self.session = HostSession(plant.group, own, self.table, ownership=ownership)
        self.intake = Intake.resume(plant.host_id, writer.marks())
        self.state = HostState(plant.host_id)
        self.connected = False
        self.listening: Callable[[], None] = lambda: None
        self._broker = broker
        self._writer = writer
        self._clock = clock
        self._heard = heard
        self._recorded = Recorded() if recorded is None else recorded
        self._declared = Declared(self.table, series_of(plant, clock.factor))
        self._days = Days(ownership.ours, clock.now)
        self._births = Births(plant, self._declared, ownership, clock.factor)
        self._client: MqttClient | None = None
        self._wake = asyncio.Event()
        self._closing = False
        self._lag = Transition("historian queue")
        self.refusals = Refusals(log)
        self._asked: set[NodeId] = set()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="historian")
        self._sealer = ThreadPoolExecutor(1, thread_name_prefix="sealer")

    # ------------------------------------------------------------------------------ the bus

    async def run_bus(self) -> None:
        """Connect, listen, connect again after every loss; ends when it is cancelled."""
        backoff, transition = Backoff(), Transition(f"{self.plant.host_id}: broker")
        while True:
            try:
                await self._connection(transition, backoff)
            except Unavailable as error:
                transition.down(error)
            finally:
                self._client = None
                self.connected = False
                self.listening()
                self._take(self.session.reset())
            await asyncio.sleep(backoff.next())

    async def _connection(self, transition: Transition, backoff: Backoff) -> None:
        client_id = f"{self.plant.host_id}-{self.plant.group}"
        will = self.state.will(self._clock.now())
        own = self.session.own_nodes
        async with MqttClient(self._broker, client_id, will, own=own) as client:
            await client.subscribe([self.state.subscription, *self.session.subscriptions])
            await client.publish(self.state.online())
            self._client, self.connected = client, True
            transition.up()
            backoff.reset()
            self.listening()
            try:
                while True:
                    await self._receive(client)
            except asyncio.CancelledError:
                if client.connected:
                    await client.publish(self.state.offline(self._clock.now()))
                raise

    async def _receive(self, client: MqttClient) -> None:
        mono = time.monotonic()
        for message in await client.receive():
            again = self.state.on_message(message.topic, message.payload, mono)
            if again is not None:  # somebody, perhaps an earlier will, said that we are not there
                await client.publish(again)
                continue
            events = self.session.on_message(
                message.topic, message.payload, mono, retain=message.retain
            )
            await self._publish(self._take(events))

    async def _publish(self, messages: Sequence[Outgoing]) -> None:
        for message in messages:
            if self._client is None:
                return
            await self._client.publish(message)

    def _take(self, events: Sequence[HostEvent]) -> list[Outgoing]:
        """Obey what the session learned; what is to be published because of it."""
        answers = []
        for event in events:
            match event:
                case Data():
                    self._data(event)
                case RunsAnnounced():
                    answers.append(self.intake.announced(event))
                    self._wake.set()
                case RebirthWanted(node, reason):
                    self._ask(node, reason)
                    answers.append(rebirth_command(node, self._clock.now()))
                case Died(_, _, signals):
                    self.live.mark(signals, StatusCode.BadNoCommunication)
                case Born():
                    self._born(event)
                case SequenceGap():
                    self.intake.gap(event)
                    self._wake.set()
                case Refused():
                    self.refusals.take(event.node, event.reason)
        return answers

    def _born(self, event: Born) -> None:
        if event.announced:
            self._asked.discard(event.node)
        gap = self._births.take(event)
        if gap is not None:
            self.intake.record(gap)

    def _ask(self, node: NodeId, reason: str) -> None:
        """Say once until it is born that a node is asked for its births."""
        if node not in self._asked and len(self._asked) < _ASKED:
            self._asked.add(node)
            log.info("%s: asked for its births: %s", node, one_line(reason))

    def _data(self, event: Data) -> None:
        if self._recorded.forged(event.events):
            text = "a statement that the twin never recorded"
            self.refusals.take(event.node, text)
            return  # the row is not taken either: the true one of this offset may still come
        event, gap = self._days.take(doubted(event, self._clock))
        if gap is not None:
            self.refusals.take(event.node, gap.reason)
            self.intake.record(gap)
        if event.live:
            self.live.update(event.samples)
        dropped = self.intake.count.dropped_rows
        queued = self.intake.data(event)
        if self.intake.count.dropped_rows > dropped:
            self._lag.down("it does not keep up; what is dropped comes again")
        elif queued and self.intake.queued < QUEUE_SAMPLES // 2:
            self._lag.up()
        if queued and self.intake.queued >= COMMIT_SAMPLES:
            self._wake.set()
        self._heard(event, queued)

    # ------------------------------------------------------------------------------ committing

    async def run_commits(self) -> None:
        """Commit what waits, ten times a second or when much waits, until ``close``."""
        transition = Transition("historian")
        while not (self._closing and self.intake.queued == 0):
            started = time.monotonic()
            commit = self.intake.take()
            if commit is not None:
                await self._commit(commit, transition)
                await self._acknowledge(self.intake.committed(self._clock.now()))
            pause = COMMIT_S - (time.monotonic() - started)
            if pause > 0 and not self._closing and self.intake.queued < COMMIT_SAMPLES:
                await self._rest(pause)

    async def _rest(self, pause: float) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(pause):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _commit(self, commit: Commit, transition: Transition) -> None:
        """Durable when this returns; a historian that is away is asked again and again."""
        backoff = Backoff(first_s=0.2)
        while True:
            try:
                await self._in_thread(self._thread, self._write, commit)
            except Condemned:  # the next start begins a new one
                raise
            except Unavailable as error:
                transition.down(error)
                await asyncio.sleep(backoff.next())
            else:
                transition.up()
                return

    def _write(self, commit: Commit) -> None:
        """In the historian's thread."""
        self._declared.tell(self._writer)
        commit = self._declared.placed(commit)
        self._writer.write(commit, self._clock.now())

    async def _acknowledge(self, messages: Sequence[Outgoing]) -> None:
        try:
            await self._publish(messages)
        except Unavailable:
            return  # the edge hears it with the next repetition

    async def _in_thread(
        self, thread: ThreadPoolExecutor, function: Callable[..., object], *given: object
    ) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(thread, functools.partial(function, *given))

    def close(self) -> None:
        """Nothing more will be heard: commit what waits and let ``run_commits`` return."""
        self._closing = True
        self._wake.set()

    def release(self) -> None:
        """After everything has ended: let the threads finish what they do."""
        self._thread.shutdown()
        self._sealer.shutdown()

    # ------------------------------------------------------------------------------ by the clock

    async def run_ticks(self) -> None:
        """What time alone brings: rebirth requests, and the marks once more every 5 s."""
        repeat_at = time.monotonic() + REPEAT_S
        while True:
            await asyncio.sleep(TICK_S)
            mono = time.monotonic()
            answers = self._take(self.session.tick(mono))
            again = self.state.tick(mono)
            if again is not None:
                answers.append(again)
            if mono >= repeat_at:
                answers += self.intake.repeat()
                repeat_at = mono + REPEAT_S
            await self._acknowledge(answers)

    async def run_retain(self) -> None:
        """Seal and drop, in a thread of its own beside the writer's."""
        transition = Transition("sealing")
        while True:
            await asyncio.sleep(RETAIN_S)
            try:
                await self._in_thread(self._sealer, self._writer.retain, self._clock.now())
            except Unavailable as error:
                transition.down(error)
            else:
                transition.up()

    def heard(self) -> dict[str, float]:
        """When each of our own edges that is in a session was heard last."""
        found = {}
        for edge in self.plant.edges:
            node = NodeId(self.plant.group, edge)
            known = self.session.nodes.get(node)
            if known is not None and known.alive:
                found[edge] = known.heard
        return found
