"""The way from samples to the broker: durable first, then sent until acknowledged.

The edge, the twin (node ``kaikou_twin``) and analytics (``kaikou_analytics``) each have one.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from plant.errors import DecodeError, Unavailable
from plant.flow.clock import Clock
from plant.flow.live import LiveTable, SignalTable
from plant.flow.sample import Event, SampleBatch, Text
from plant.flow.status import StatusCode
from plant.flow.supervisor import Backoff, Transition
from plant.model.plant import Broker
from plant.model.plant import Outbox as OutboxOptions
from plant.model.signal import Signal
from plant.outbox.alias import FIRST_ALIAS
from plant.outbox.certificate import Certificates
from plant.outbox.current import Current, Values
from plant.outbox.feed import Feed
from plant.outbox.link import DeviceBack, DeviceDeath, Link, Pace, Publication, Tell
from plant.outbox.pending import Pending
from plant.outbox.rebirth import Rebirths
from plant.outbox.row import Loss, NewRow, Outcome, RowClass, Run
from plant.outbox.sender import (
    start,
    step,
)
from plant.outbox.sender_event import (
    Birth,
    Changed,
    Committed,
    DeviceBorn,
    DeviceDied,
    Dropped,
    Forget,
    Move,
    Moved,
    Offline,
    Renewed,
    SenderEvent,
    SendLive,
    Tick,
)
from plant.outbox.sender_state import (
    Lane,
)
from plant.outbox.split import Splitter, alias_keys
from plant.outbox.store import TOO_FAST, Acceptance, Outbox
from plant.wire.birth import DeviceBirth, MetricBirth
from plant.wire.client import MqttClient
from plant.wire.codec import TextSample, decode_payload, encode_texts
from plant.wire.edge_session import Command, EdgeSession
from plant.wire.message import Outgoing
from plant.wire.record import decode_record, encode_gap

log = logging.getLogger("kaikou.uplink")

TICK_S = 0.5
REPORT_S = 5.0
WAITING_TELLS = 32
DEFAULTS = OutboxOptions()
_GAP_PATHS = 200


class Uplink:
    """Accepts samples durably and brings them to the twin; current values go along.

    signals   what this node publishes; batches given to ``accept`` count in this list
    folder    where ``outbox.db`` lies
    host_id   the twin whose acknowledgements are obeyed
    clock     the plant's time, stamps messages and gap records

    Opening reads the file: ``ConfigError`` where it is of a newer version, ``Unavailable`` while
    another process holds it. ``run`` works until ``close``.

    ``on_command`` is called with every command that is no rebirth request.
    While ``is_trusted`` says that the clock is not, what is of now is accepted as Uncertain.
    ``outbox.on_commit`` may be set to see every row that became durable; ``feed`` can be served on
    a local socket for the OPC UA server.
    """

    def __init__(  # noqa: PLR0917 - who publishes, where to, from where, what, when, for whom
        self,
        group: str,
        node: str,
        broker: Broker,
        folder: Path,
        signals: Sequence[Signal],
        clock: Clock,
        host_id: str,
        *,
        options: OutboxOptions = DEFAULTS,
        plant_hash: str = "",
    ) -> None:
        self.node = node
        self.signals = tuple(signals)
        self.live = LiveTable(SignalTable([signal.path for signal in signals]))
        self.texts: dict[int, Text] = {}
        self.dropped_before_accept = 0
        self.is_trusted: Callable[[], bool] = _always
        self.on_command: Callable[[Command], None] | None = None
        self._edge = f"{group}/{node}"
        self._broker = broker
        self._clock = clock
        self.outbox = Outbox(
            folder / "outbox.db",
            self._gap_row,
            max_mb=options.max_mb,
            when_full=options.when_full,
            commit_ms=options.commit_ms,
        )
        self.outbox.collect = self._collect
        self.outbox.on_outcome = self._on_outcome
        self.outbox.on_renewed = self._on_renewed
        self.feed = Feed(group, node, clock, self._births)
        self._session = EdgeSession(group, node, ack_host=host_id, plant_hash=plant_hash)
        self._state = start(host_id, [_lane(run) for run in self.outbox.runs.values()])
        self._pace = Pace()
        self._rebirths = Rebirths()
        self._link: Link | None = None
        self._dead: set[str] = set()
        self._pending = Pending()
        self._handed: list[NewRow] = []
        self._handed_texts: list[Text] = []
        self._record_alias = FIRST_ALIAS
        self._owed: frozenset[str] | None = None
        self._moving = asyncio.Event()
        self._renewed = asyncio.Event()
        self._closing = asyncio.Event()
        self._publication: Publication | None = None
        self._own = {s.id: i for i, s in enumerate(self.signals) if s.asset == node}
        self._paths: dict[str, list[str]] = {}
        for signal in self.signals:
            device = "" if signal.asset == node else signal.asset
            self._paths.setdefault(device, []).append(signal.path)

    async def publish(self, message: Outgoing) -> None:
        """Send what is no data, an answer to a command; ``Unavailable`` where it is not sent."""
        if self._link is None:
            raise Unavailable(f"{self._edge}: no broker")
        await self._link.send(message)

    # ---------------------------------------------------------------------------------- accepting

    @property
    def saved(self) -> Mapping[str, Mapping[str, float]]:
        """Numbers that were accepted with ``state`` before, also by earlier processes."""
        return self.outbox.state

    def accept(
        self,
        batch: SampleBatch | None = None,
        texts: Sequence[Text] = (),
        events: Sequence[Event] = (),
        *,
        state: Mapping[str, Mapping[str, float]] | None = None,
        live: bool = True,
    ) -> Acceptance:
        """Hand over samples; ``await`` the answer to know that they are durable.

        Current values are taken over at once. ``state`` is committed in the same transaction.
        ``live=False`` is for samples of the past: stored, never shown as current. Of two values
        of one signal in the same millisecond, handed over together, the later is kept and the other
        counted; later it is a correction.
        """
        if live and not self.is_trusted():
            batch, texts = _doubted(batch), [_doubted_text(text) for text in texts]
        if live and batch is not None:
            self.live.update(batch)
        if live:
            self.texts.update({text.signal: text for text in texts})
        if not self._pending.put(batch, texts, events, state, live=live):
            self.dropped_before_accept += len(batch) if batch is not None else 0
            if batch is not None and len(batch):
                self._lose(batch)
            refused = Acceptance()
            refused.settle(TOO_FAST)
            return refused
        self.outbox.wake()
        return self.outbox.waiting

    def waiting_events(self) -> list[Event]:
        """Events that earlier processes accepted and nobody acknowledged; called before ``run``."""
        found: list[Event] = []
        for metrics in self.outbox.of_class(RowClass.EVENT):
            with suppress(DecodeError):  # texts are of this class too
                records = [decode_record(t.text or "") for t in decode_payload(metrics).texts]
                found += [r for r in records if isinstance(r, Event)]
        return found

    def _lose(self, batch: SampleBatch) -> None:
        """More than the disk takes: a gap record says so once the disk takes anything."""
        times, paths = batch.source_time, batch.signal
        devices = {self.signals[at].asset for at in np.unique(paths).tolist()}
        loss = Loss(
            int(times.min()), int(times.max()), len(batch), TOO_FAST,
            frozenset("" if device == self.node else device for device in devices),
        )  # fmt: skip
        self.outbox.lose(loss)

    def device_lost(self, device: str) -> None:
        """Its DDEATH goes out at once; rows of it that wait are still delivered."""
        if device in self._dead:
            return
        self._dead.add(device)
        self._step(DeviceDied(time.monotonic(), device))
        self._pace.put(DeviceDeath(device))
        self.feed.death(device)

    def device_back(self, device: str) -> None:
        """It is there again: its DBIRTH goes out with the current values."""
        if device not in self._dead:
            return
        self._dead.discard(device)
        if self._publication:
            certificates, current = self._publication.certificates, self._publication.current
            birth = certificates.device(device, current.device())
            self._pace.put(DeviceBack(birth, self._state.session))
            if self.feed.wanted:
                self.feed.birth(certificates.device(device, Values.of(self.live, self.texts)))
        self._step(DeviceBorn(time.monotonic(), device))

    def _collect(self) -> None:
        """Rows of everything that was handed over since the last transaction."""
        if self._publication is None:
            return
        split = self._publication.splitter
        before = split.duplicates
        rows, self._handed_texts, state = self._pending.take(split)
        self.dropped_before_accept += split.duplicates - before
        self._handed = rows
        if rows or state:
            self.outbox.accept(rows, state, self._clock.now() if self.is_trusted() else 0)
        if self.feed.wanted:
            self._tell_feed(rows)

    def _tell_feed(self, rows: Sequence[NewRow]) -> None:
        for row in rows:
            if not row.historical and row.device not in self._dead:
                self.feed.data(row.device, row.metrics)

    def _births(self) -> tuple[Sequence[MetricBirth], Sequence[DeviceBirth]]:
        """All births as of now, for a client of the feed."""
        if self._publication is None:
            return (), ()
        certificates = self._publication.certificates
        values = Values.of(self.live, self.texts)
        there = [d for d in certificates.devices if d not in self._dead]
        return certificates.node(values), [certificates.device(d, values) for d in there]

    def _gap_row(self, loss: Loss) -> NewRow:
        """A gap record as a row; called on the outbox's thread."""
        paths = [path for device in sorted(loss.devices) for path in self._paths.get(device, ())]
        if len(paths) > _GAP_PATHS:
            paths = []
        now = self._clock.now()
        text = encode_gap(loss.gap(self._edge, paths))
        metrics = encode_texts([TextSample(self._record_alias, now, text)])
        return NewRow("", RowClass.GAP, now, now, 0, metrics)

    # --------------------------------------------------------------------------------- the sender

    def _step(self, event: SenderEvent) -> None:
        self._state, actions = step(self._state, event)
        for action in actions:
            match action:
                case Forget(run, offset):
                    self.outbox.acknowledge(run, offset)
                case Move(run, offset, sent):
                    log.error(
                        "%s: row %d of run %s was acknowledged, but only %d were sent",
                        self._edge,
                        offset,
                        run,
                        sent,
                    )
                    data = {"run": run, "acknowledged": offset, "sent": sent}
                    event_ = Event(self._clock.now(), self.node, "edge.unearned_ack", data)
                    self.accept(events=[event_])
                    self._moving.set()
                case SendLive(devices):
                    self._owed = (self._owed or frozenset()) | devices
                    self._pay()
                case _:
                    self._pace.put(action)

    def _pay(self) -> None:
        """Queue the current values that are owed; later, when the socket is far behind."""
        if self._owed is None or self._publication is None or self._pace.tells >= WAITING_TELLS:
            return
        values = self._publication.current.changed(self._owed)
        self._owed = None
        self._pace.put(Tell(values, self._state.session))

    def _on_outcome(self, outcome: Outcome) -> None:
        now = time.monotonic()
        if self._publication:
            self._publication.current.settle(self._handed, self._handed_texts)
        if outcome.dropped:
            self._step(Dropped(now, frozenset(outcome.dropped)))
        if outcome.kept:
            last = outcome.kept[-1]
            self._step(Committed(now, last.run, last.offset))
        if outcome.refused:
            self._step(Changed(now))
        if self._link:
            self._link.bury()

    async def _move(self) -> None:
        """Rows go into a new run on a task of their own: it has to end once it has begun."""
        while True:
            await self._moving.wait()
            self._moving.clear()
            run = await self.outbox.move()
            self._step(Moved(time.monotonic(), run.name, run.kept))

    def _on_renewed(self) -> None:
        """A new file took the place of a damaged one; what is known of runs is what it holds."""
        runs = tuple((run.name, run.acked, run.kept) for run in self.outbox.runs.values())
        self._step(Renewed(time.monotonic(), runs))
        self._renewed.set()

    async def _teach(self) -> None:
        """A new file learns the aliases that this process uses."""
        while True:
            await self._renewed.wait()
            self._renewed.clear()
            if self._publication is not None:
                splitter = self._publication.splitter
                keys = alias_keys(self.signals, self.node)
                before = splitter.given(self.signals, self.node)
                with suppress(Unavailable):  # the next connection finds out, and asks again
                    await self.outbox.alias(keys, before)

    # ------------------------------------------------------------------------------------ running

    async def run(self) -> None:
        """Commit, connect, send, and connect again after every loss, until ``close``."""
        splitter = Splitter(
            self.signals,
            self.node,
            await self.outbox.alias(alias_keys(self.signals, self.node)),
        )
        self._record_alias = splitter.record
        self._publication = Publication(
            splitter,
            Certificates(self.signals, splitter),
            Current(splitter, [signal.path for signal in self.signals]),
            self._dead,
        )
        self.feed.ready.set()
        self.outbox.wake()
        try:
            async with asyncio.TaskGroup() as group:
                named = partial(_named, group, self.node)
                committing = named("commit", self.outbox.run())
                others = [
                    named("uplink", self._connect()),
                    named("move", self._move()),
                    named("aliases", self._teach()),
                    named("tick", self._tick()),
                ]
                await self._closing.wait()
                self.outbox.close()
                await committing
                for task in others:
                    task.cancel()
        finally:
            self.outbox.release()

    def close(self) -> None:
        """No more samples come: commit what was accepted, say good-bye, let ``run`` return."""
        self._closing.set()

    async def _connect(self) -> None:
        backoff, transition = Backoff(), Transition(f"{self._edge}: broker")
        while True:
            try:
                await self._session_once(transition, backoff)
            except* Unavailable as lost:
                transition.down(lost.exceptions[0])
            finally:
                self._link = None
                self._session.lost()
                self._pace.clear()
                self._owed = None
                self._step(Offline(time.monotonic()))
            await asyncio.sleep(backoff.next())

    async def _session_once(self, transition: Transition, backoff: Backoff) -> None:
        if self._publication is None:
            raise RuntimeError("no session before run")
        will = self._session.will(await self.outbox.next_bd_seq())
        async with MqttClient(self._broker, self._edge, will, own=()) as mqtt:
            await mqtt.subscribe(self._session.subscriptions)
            transition.up()
            backoff.reset()
            link = Link(
                mqtt,
                self._session,
                self.outbox,
                self._publication,
                clock=self._clock,
                pace=self._pace,
                state=lambda: self._state,
                step=self._step,
                rebirths=self._rebirths,
                on_command=self.on_command,
            )
            self._pace.clear()
            self._pace.put(Birth())
            self._link = link
            try:
                async with asyncio.TaskGroup() as group:
                    _named(group, self.node, "receive", link.receive())
                    _named(group, self.node, "send", link.act())
            except asyncio.CancelledError:
                await self._say_goodbye(mqtt)
                raise

    async def _say_goodbye(self, mqtt: MqttClient) -> None:
        if mqtt.connected and self._session.alive:
            with suppress(Unavailable):
                await mqtt.publish(self._session.node_death())
                await mqtt.disconnect()

    async def _tick(self) -> None:
        report_at = time.monotonic() + REPORT_S
        accepted = self.outbox.count.accepted_samples
        while True:
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            self._step(Tick(now))
            if self._link is not None and self._rebirths.due(now):
                self._pace.put(Birth())
            if self._owed is not None:
                self._step(Changed(now))
            if now >= report_at:
                count = self.outbox.count.accepted_samples
                self._report((count - accepted) / (now - report_at + REPORT_S))
                report_at, accepted = now + REPORT_S, count

    def _report(self, samples_per_s: float) -> None:
        """The outbox's own signals, where this node has them."""
        count = self.outbox.count
        values = {
            "outbox_rows": count.rows,
            "outbox_bytes": count.bytes,
            "dropped_rows": count.dropped_rows + count.refused_rows,
            "dropped_before_accept": self.dropped_before_accept,
            "samples_per_s": round(samples_per_s, 1),
        }
        known = {self._own[name]: value for name, value in values.items() if name in self._own}
        if known:
            now = np.int64(self._clock.now())
            self.accept(SampleBatch.of(list(known), now, list(map(float, known.values()))))


def _always() -> bool:
    return True


def _doubted(batch: SampleBatch | None) -> SampleBatch | None:
    """The same samples, none Good: what dates them is a clock that is wrong."""
    if batch is None:
        return None
    doubt = np.uint32(StatusCode.Uncertain)
    status = np.where(batch.status >> np.uint32(30), batch.status, doubt)
    return SampleBatch.of(batch.signal, batch.source_time, batch.value, status)


def _doubted_text(text: Text) -> Text:
    return text if text.status >> 30 else replace(text, status=int(StatusCode.Uncertain))


def _lane(run: Run) -> Lane:
    return Lane(run.name, run.acked, run.kept, run.acked)


def _named(
    group: asyncio.TaskGroup, node: str, name: str, work: Coroutine[None, None, None]
) -> asyncio.Task[None]:
    return group.create_task(work, name=f"{node} {name}")
