"""From the bus to the historian: which rows are next, what is committed, what is acknowledged.

Pure: no socket, no clock, no thread. A row is (edge, run, offset); ``held`` is the highest offset
of a run that is durable or queued, ``durable`` the highest that the historian has committed.
Rows at or below ``held`` are dropped before the historian sees them, rows that are not next in
line too: their edge goes back and sends them again. When the queue is full rows are dropped and
not acknowledged, so they come again as well.
"""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from plant.flow.port import Commit, Mark
from plant.flow.rate import Rate
from plant.flow.sample import Gap, SampleBatch
from plant.wire.gate import RUNS
from plant.wire.host_event import Data, RunsAnnounced, SequenceGap
from plant.wire.message import Ack, Outgoing, Row
from plant.wire.topic import NodeId, ack_topic

QUEUE_SAMPLES = 400_000
"""Bound of the queue; about 13 MB of columns."""
FOREIGN_SAMPLES = QUEUE_SAMPLES // 4
"""So full the queue may be for nodes that promise nothing; the rest is for our own."""
NODE_SAMPLES = QUEUE_SAMPLES * 3 // 4
"""So full one node of ours may make it: who sends without end leaves room for the others."""
COMMIT_SAMPLES = 50_000
"""Most samples of one commit; a row is never parted."""
NEW_RUNS, NEW_RUNS_S = 600, 600.0
"""So many runs of one node begin in so many seconds: each keeps a mark for a month."""
GAP_COMMITS = 100
_LOSERS = 1024
_OTHER_COST = 64
_SAMPLE_BYTES = 32
"""What a text, a waveform or an event counts for in the bounds, in samples, and what it holds."""

EARLIER_HISTORIAN = "acknowledged to an earlier historian"
LAGGED = "the historian lagged behind an edge that promises nothing"

RunKey = tuple[NodeId, str]


@dataclass(slots=True)
class IntakeCount:
    """What the intake did, for the platform's own metrics."""

    rows: int = 0
    samples: int = 0
    again: int = 0
    not_next: int = 0
    dropped_rows: int = 0
    dropped_samples: int = 0
    commits: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    """What one message adds to a commit."""

    data: Data | None
    gaps: Sequence[Gap] = ()
    marks: Sequence[tuple[RunKey, int]] = ()

    @property
    def cost(self) -> int:
        if self.data is None:
            return len(self.gaps)
        others = len(self.data.texts) + len(self.data.events) + len(self.data.gaps)
        if not others:
            return len(self.data.samples)
        held = sum(len(text.text) for text in self.data.texts)
        held += sum(len(repr(event.data)) for event in self.data.events)
        return len(self.data.samples) + _OTHER_COST * others + held // _SAMPLE_BYTES


@dataclass(slots=True)
class _Lost:
    """Samples of a foreign edge that found no room, until a gap record tells of them.

    That is not before so many commits: one record stands for many losses.
    """

    samples: int = 0
    first: int = 0
    last: int = 0
    not_before: int = 0

    def add(self, samples: SampleBatch) -> None:
        if not len(samples):
            return
        first, last = int(samples.source_time.min()), int(samples.source_time.max())
        self.first = min(self.first, first) if self.samples else first
        self.last = max(self.last, last) if self.samples else last
        self.samples += len(samples)


@dataclass(slots=True)
class Intake:
    """State of the way in. ``host`` is the id that acknowledgements carry."""

    host: str
    durable: dict[RunKey, int] = field(default_factory=dict)
    held: dict[RunKey, int] = field(default_factory=dict)
    complete_up_to: dict[NodeId, int] = field(default_factory=dict)
    count: IntakeCount = field(default_factory=IntakeCount)
    _named: dict[NodeId, list[str]] = field(default_factory=dict)
    _queue: deque[_Entry] = field(default_factory=deque)
    _queued: int = 0
    _queued_of: Counter[NodeId] = field(default_factory=Counter)
    _begun: dict[NodeId, Rate] = field(default_factory=dict)
    _lost: dict[NodeId, _Lost] = field(default_factory=dict)
    _flight: list[_Entry] = field(default_factory=list)

    @classmethod
    def resume(cls, host: str, marks: Mapping[tuple[str, str], int]) -> "Intake":
        """Go on from the historian's marks."""
        durable = {}
        for (edge, run), offset in marks.items():
            group, _, node = edge.partition("/")
            durable[NodeId(group, node), run] = offset
        return cls(host, durable, dict(durable))

    @property
    def queued(self) -> int:
        """Samples that wait (texts and events count for more)."""
        return self._queued

    # ------------------------------------------------------------------------------ from the bus

    def announced(self, event: RunsAnnounced) -> Outgoing:
        """An edge says what its outbox holds; the answer is the durable marks of these runs.

        Where a mark is below what the edge says was acknowledged, another historian had those
        rows: a gap record says so and the mark moves, in one commit.
        """
        runs = [run.run for run in event.runs.runs]
        if event.runs.current not in runs:
            runs.append(event.runs.current)
        self._named[event.node] = runs
        gaps, marks = [], []
        for run in event.runs.runs:
            key = (event.node, run.run)
            mine = self.held.get(key, 0)
            if run.acked > mine and self._may_begin(key):
                gaps.append(
                    Gap(
                        str(event.node),
                        0,
                        0,
                        -1,
                        f"{EARLIER_HISTORIAN}: run {run.run}, rows {mine + 1} to {run.acked}",
                    )
                )
                self.held[key] = mine = run.acked
            if mine:
                marks.append((key, mine))  # also keeps the mark from being forgotten
        if marks:
            self._put(_Entry(None, gaps, marks))
        return self._ack(event.node, runs)

    def data(self, event: Data) -> bool:
        """Take samples that belong in the historian; whether they were queued."""
        if not event.stored:
            return False
        if event.row is None:
            return self._foreign(event)
        return self._row(event, event.row)

    def _row(self, event: Data, row: Row) -> bool:
        key = (event.node, row.run)
        held = self.held.get(key, 0)
        if row.offset <= held:
            self.count.again += 1
            return False
        if row.after > held or not self._may_begin(key):
            self.count.not_next += 1
            return False
        if self._full(event.node):
            self.count.dropped_rows += 1
            self.count.dropped_samples += len(event.samples)
            return False
        self.held[key] = row.offset
        named = self._named.setdefault(event.node, [])
        if row.run not in named:
            named.append(row.run)
            del named[:-RUNS]
        self._put(_Entry(event, (), ((key, row.offset),)))
        self.count.rows += 1
        return True

    def _may_begin(self, key: RunKey) -> bool:
        """Whether a run is known, or its node did not begin too many of late."""
        if key in self.held:
            return True
        return self._begun.setdefault(key[0], Rate(NEW_RUNS, NEW_RUNS_S)).take()

    def _foreign(self, event: Data) -> bool:
        lost = self._lost.get(event.node)
        if lost is not None and not lost.samples:
            lost = None
        if self._queued >= FOREIGN_SAMPLES:
            if event.node not in self._lost and len(self._lost) >= _LOSERS:
                self._lost.clear()
            self._lost.setdefault(event.node, _Lost()).add(event.samples)
            self.count.dropped_samples += len(event.samples)
            return False
        gaps = []
        if lost is not None and self.count.commits >= lost.not_before:
            gaps = [Gap(str(event.node), lost.first, lost.last, lost.samples, LAGGED)]
            self._lost[event.node] = _Lost(not_before=self.count.commits + GAP_COMMITS)
        self._put(_Entry(event, gaps))
        return True

    def gap(self, event: SequenceGap) -> None:
        """Messages were lost: of our own edges they come again, of others a record remains."""
        if not event.announced:
            reason = f"{event.reason}: at least {event.lost} messages"
            self._put(_Entry(None, [Gap(str(event.node), event.first, event.last, -1, reason)]))

    def record(self, gap: Gap) -> None:
        """A gap record of the twin's own goes with the next commit."""
        self._put(_Entry(None, [gap]))

    def _full(self, node: NodeId) -> bool:
        return self._queued >= QUEUE_SAMPLES or self._queued_of[node] >= NODE_SAMPLES

    def _put(self, entry: _Entry) -> None:
        self._queue.append(entry)
        self._queued += entry.cost
        if entry.data is not None:
            if entry.data.row is not None:
                self._queued_of[entry.data.node] += entry.cost
            self.count.samples += len(entry.data.samples)

    # ---------------------------------------------------------------------------- to the historian

    def take(self) -> Commit | None:
        """The next commit, None when nothing waits; it is in flight until ``committed``."""
        if self._flight:
            raise RuntimeError("a commit is in flight")
        cost = 0
        while self._queue and cost < COMMIT_SAMPLES:
            entry = self._queue.popleft()
            self._flight.append(entry)
            cost += entry.cost
        if not self._flight:
            return None
        data = [entry.data for entry in self._flight if entry.data is not None]
        marks = {key: offset for entry in self._flight for key, offset in entry.marks}
        gaps = [gap for entry in self._flight for gap in entry.gaps]
        return Commit(
            SampleBatch.concat(d.samples for d in data),
            texts=[text for d in data for text in d.texts],
            events=[event for d in data for event in d.events],
            gaps=gaps + [gap for d in data for gap in d.gaps],
            marks=[Mark(str(node), run, offset) for (node, run), offset in marks.items()],
        )

    def committed(self, now: int) -> list[Outgoing]:
        """The commit in flight is durable: the acknowledgements that may go out."""
        touched: dict[NodeId, None] = {}
        for entry in self._flight:
            self._queued -= entry.cost
            if entry.data is not None and entry.data.row is not None:
                self._queued_of[entry.data.node] -= entry.cost
            for (node, run), offset in entry.marks:
                self.durable[node, run] = offset
                touched[node] = None
            if entry.data is not None and len(entry.data.samples):
                self._complete(entry.data, now)
        self._flight.clear()
        self.count.commits += 1
        return [self._ack(node, self._named.get(node, [])) for node in touched]

    def _complete(self, data: Data, now: int) -> None:
        """Rows of an edge come in order, so all up to the newest of them is here."""
        newest = min(int(data.samples.source_time.max()), now)
        self.complete_up_to[data.node] = max(newest, self.complete_up_to.get(data.node, 0))

    def repeat(self) -> list[Outgoing]:
        """The marks of every run that an edge named, once more: a lost answer heals."""
        return [self._ack(node, runs) for node, runs in self._named.items()]

    def _ack(self, node: NodeId, runs: Sequence[str]) -> Outgoing:
        marks = tuple((run, self.durable.get((node, run), 0)) for run in runs)
        return Outgoing(ack_topic(node), Ack(self.host, marks).encode())
