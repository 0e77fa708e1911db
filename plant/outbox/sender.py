"""Which rows leave when: a pure state machine, ``step(state, event) -> (state, actions)``.

It holds no row, no socket and no clock: events carry the monotonic time in seconds, actions are
done by ``uplink``. The rules are DESIGN section 4 (ack, window, live first):

- Rows of a run leave only after the twin answered the birth with its mark of that run; the
  oldest run first, the current one last, in order of their offsets, within a window.
- Only an acknowledgement lets a row go (``Forget``). Without progress the sender goes back to the
  mark. Without any acknowledgement for long, rows wait and current values go alone.
- A row that waited, was sent before, or whose values already went as current values is
  historical: it never touches a live table.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from plant.wire.message import Runs, RunState


@dataclass(frozen=True, slots=True)
class Rules:
    """The numbers of DESIGN section 4. Times in seconds of real monotonic time."""

    window_bytes: int = 2 * 2**20
    read_bytes: int = 2**18
    live_first_s: float = 2.0
    retry_s: float = 2.0
    retry_cap_s: float = 30.0
    silence_s: float = 15.0


# ---------------------------------------------------------------------------------------- state


@dataclass(frozen=True, slots=True)
class Lane:
    """One run as the sender sees it. All numbers are offsets.

    acked     highest acknowledged
    last      highest given
    cursor    highest sent since the last going back
    sent      highest ever sent by this process
    answered  the twin has told its mark of this run in this session
    """

    run: str
    acked: int = 0
    last: int = 0
    cursor: int = 0
    sent: int = 0
    answered: bool = False

    @property
    def waits(self) -> bool:
        """Whether rows are yet to be sent."""
        return self.cursor < self.last

    def back(self) -> "Lane":
        """Begin again at the mark."""
        return replace(self, cursor=self.acked)


@dataclass(frozen=True, slots=True)
class Flight:
    """A row that was sent and is not acknowledged."""

    run: str
    offset: int
    size: int
    device: str


@dataclass(frozen=True, slots=True)
class State:
    """Everything the sender knows. ``lanes`` are in order of age, the current run is the last.

    commits     (offset, time) of transactions of the current run that are not all sent
    covered     rows of the current run up to here went into a birth or as current values
    dead        devices that are dead: their rows are historical
    epoch       rises when rows that were asked to be sent are void
    session     rises with every round of births
    """

    host: str
    lanes: tuple[Lane, ...]
    rules: Rules = Rules()
    online: bool = False
    window: tuple[Flight, ...] = ()
    commits: tuple[tuple[int, float], ...] = ()
    covered: int = 0
    dead: frozenset[str] = frozenset()
    progress_at: float = 0.0
    retry_s: float = 2.0
    heard_at: float = 0.0
    reading: bool = False
    moving: bool = False
    epoch: int = 0
    session: int = 0

    @property
    def current(self) -> Lane:
        """The lane of the run of this process."""
        return self.lanes[-1]

    @property
    def window_bytes(self) -> int:
        """Bytes in flight."""
        return sum(flight.size for flight in self.window)

    def lane(self, run: str) -> Lane | None:
        """The lane of a run, None when it holds nothing (any more)."""
        return next((lane for lane in self.lanes if lane.run == run), None)


def announce(state: State) -> Runs:
    """What NBIRTH says of the outbox: the current run and every run that has rows."""
    runs = tuple(RunState(lane.run, lane.acked, lane.last) for lane in state.lanes)
    return Runs(state.current.run, runs)


# --------------------------------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class Online:
    """All births of a session went out (again), with what ``announce`` said."""

    now: float


@dataclass(frozen=True, slots=True)
class Offline:
    """The connection is gone."""

    now: float


@dataclass(frozen=True, slots=True)
class Committed:
    """Rows of the run up to ``last`` are durable."""

    now: float
    run: str
    last: int


@dataclass(frozen=True, slots=True)
class Changed:
    """Values changed and no row was kept of them: the outbox refuses."""

    now: float


@dataclass(frozen=True, slots=True)
class Dropped:
    """Rows (run, offset) had to go from the outbox."""

    now: float
    rows: frozenset[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class RowAhead:
    """A row that was read from the outbox."""

    offset: int
    size: int
    device: str
    historical: bool = False


@dataclass(frozen=True, slots=True)
class Read:
    """The answer to ``Fetch``: rows kept above ``above`` and up to ``last``, the nearest ones."""

    now: float
    run: str
    above: int
    last: int
    rows: Sequence[RowAhead]


@dataclass(frozen=True, slots=True)
class Acked:
    """An acknowledgement came: (run, offset), all up to there is durable."""

    now: float
    host: str
    marks: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class DeviceDied:
    """A device was lost: what waits of it is historical."""

    now: float
    device: str


@dataclass(frozen=True, slots=True)
class DeviceBorn:
    """A device is back; its birth told its current values."""

    now: float
    device: str


@dataclass(frozen=True, slots=True)
class Moved:
    """The rows of the current run were given a new run, numbered from 1 to ``last``."""

    now: float
    run: str
    last: int


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""

    now: float


SenderEvent = (
    Online
    | Offline
    | Committed
    | Changed
    | Dropped
    | Read
    | Acked
    | DeviceDied
    | DeviceBorn
    | Moved
    | Tick
)

# -------------------------------------------------------------------------------------- actions


@dataclass(frozen=True, slots=True)
class Birth:
    """Publish all births, then say ``Online``."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """Read rows above an offset up to ``last``, one at least, then ``max_bytes``; say ``Read``."""

    run: str
    above: int
    last: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class SendRow:
    """Publish a row; void when the state's epoch is another by then."""

    run: str
    offset: int
    after: int
    historical: bool
    epoch: int


@dataclass(frozen=True, slots=True)
class SendLive:
    """Publish the values of this moment as plain data: what changed, and all of some devices.

    Void when the state's session is another by then: births told more.
    """

    devices: frozenset[str]
    session: int


@dataclass(frozen=True, slots=True)
class Forget:
    """Rows of the run up to this offset may be deleted."""

    run: str
    offset: int


@dataclass(frozen=True, slots=True)
class Move:
    """Somebody acknowledged rows that were never sent: move the rows, say ``Moved``."""

    run: str
    offset: int
    sent: int


SenderAction = Birth | Fetch | SendRow | SendLive | Forget | Move
Step = tuple[State, list[SenderAction]]


# ----------------------------------------------------------------------------------------- rules


def start(host: str, lanes: Sequence[Lane], rules: Rules = Rules()) -> State:
    """The state of a process that has just opened its outbox; the last lane is its own run."""
    return State(host, tuple(lanes), rules, retry_s=rules.retry_s)


def step(state: State, event: SenderEvent) -> Step:
    """What an event changes, and what is to be done now, in this order."""
    draft = _Draft(state)
    draft.take(event)
    draft.live_first(event.now)
    draft.pump()
    return draft.state, draft.actions


@dataclass(slots=True)
class _Draft:
    """A state on its way to the next one."""

    state: State
    actions: list[SenderAction] = field(default_factory=list)

    def take(self, event: SenderEvent) -> None:
        match event:
            case Committed():
                self._committed(event)
            case Read():
                self._read(event)
            case Acked():
                self._acked(event)
            case Tick():
                self._tick(event.now)
            case Changed():
                self._tell()
            case Dropped():
                self._dropped(event)
            case _:
                self._session(event)

    def _session(self, event: SenderEvent) -> None:
        state = self.state
        match event:
            case Online():
                self._back(lambda lane: replace(lane, answered=False))
                self.state = replace(
                    self.state,
                    online=True,
                    session=state.session + 1,
                    reading=False,
                    covered=state.current.last,
                    heard_at=event.now,
                    progress_at=event.now,
                    retry_s=state.rules.retry_s,
                )
            case Offline():
                self._back(lambda lane: replace(lane, answered=False))
                self.state = replace(self.state, online=False, reading=False)
            case DeviceDied():
                self.state = replace(state, dead=state.dead | {event.device})
            case DeviceBorn():
                self.state = replace(state, dead=state.dead - {event.device})
                self._tell()  # its rows so far are of the past: the birth told newer values
            case Moved():
                self._moved(event)
            case _:
                raise TypeError(event)

    # ------------------------------------------------------------------------------------- events

    def _committed(self, event: Committed) -> None:
        state = self.state
        if event.run != state.current.run or event.last <= state.current.last:
            return
        self._put(replace(state.current, last=event.last))
        commits = state.commits
        if len(commits) > 1 and event.now - commits[1][1] > state.rules.live_first_s:
            commits = ((commits[1][0], commits[0][1]), *commits[2:])  # both waited: one entry
        self.state = replace(self.state, commits=(*commits, (event.last, event.now)))

    def _read(self, event: Read) -> None:
        self.state = state = replace(self.state, reading=False)
        lane = state.lane(event.run)
        if not state.online or lane is None or not lane.answered or lane.cursor != event.above:
            return
        if not event.rows:
            if lane.last == event.last:  # they were dropped; what comes next follows the cursor
                self._put(replace(lane, last=lane.cursor))
                self._end()
            return
        after, flights = lane.cursor, []
        for row in event.rows:
            historical = row.historical or self._is_late(lane, row, event.now)
            self.actions.append(SendRow(lane.run, row.offset, after, historical, state.epoch))
            flights.append(Flight(lane.run, row.offset, row.size, row.device))
            after = row.offset
        self._put(replace(lane, cursor=after, sent=max(lane.sent, after)))
        self.state = replace(
            self.state,
            window=(*state.window, *flights),
            progress_at=self.state.progress_at if state.window else event.now,
            commits=tuple(c for c in state.commits if c[0] > self.state.current.cursor),
        )

    def _is_late(self, lane: Lane, row: RowAhead, now: float) -> bool:
        state = self.state
        if lane is not state.current or row.offset <= max(state.covered, lane.sent):
            return True
        if row.device in state.dead:
            return True
        kept_at = next((at for last, at in state.commits if last >= row.offset), now)
        return now - kept_at > state.rules.live_first_s

    def _acked(self, event: Acked) -> None:
        if event.host != self.state.host:
            return
        self.state = replace(self.state, heard_at=event.now)
        progress = False
        for run, offset in event.marks:
            lane = self.state.lane(run)
            if lane is None:
                continue
            if lane is self.state.current and offset > lane.sent:
                self._unearned(lane, offset)
                continue
            up_to = min(offset, lane.last)
            if up_to > lane.acked:
                progress = True
                self.actions.append(Forget(run, up_to))
            acked = max(lane.acked, up_to)
            lane = replace(lane, acked=acked, cursor=max(lane.cursor, acked), answered=True)
            self._put(lane)
        self._end()
        marks = {lane.run: lane.acked for lane in self.state.lanes}
        window = tuple(f for f in self.state.window if f.offset > marks.get(f.run, f.offset))
        self.state = replace(self.state, window=window)
        if progress:
            self.state = replace(
                self.state, progress_at=event.now, retry_s=self.state.rules.retry_s
            )

    def _unearned(self, lane: Lane, offset: int) -> None:
        if not self.state.moving:
            self.state = replace(self.state, moving=True)
            self.actions.append(Move(lane.run, offset, lane.sent))

    def _moved(self, event: Moved) -> None:
        state = self.state
        lane = Lane(event.run, last=event.last)
        self._back(lambda lane: lane)
        self.state = replace(
            self.state,
            lanes=(*state.lanes[:-1], lane),
            moving=False,
            commits=(),
            covered=event.last,
        )
        if state.online:
            self.actions.append(Birth())

    def _dropped(self, event: Dropped) -> None:
        if any((flight.run, flight.offset) in event.rows for flight in self.state.window):
            self._tell_window()
            self._back(lambda lane: lane)

    def _tick(self, now: float) -> None:
        state = self.state
        if not state.online:
            return
        if now - state.heard_at >= state.rules.silence_s:
            self._tell_window()
            self._back(lambda lane: replace(lane, answered=False))
            self.state = replace(self.state, heard_at=now)
        elif state.window and now - state.progress_at >= state.retry_s:
            self._tell_window()
            self._back(lambda lane: lane)
            self.state = replace(
                self.state,
                progress_at=now,
                retry_s=min(state.retry_s * 2, state.rules.retry_cap_s),
            )

    # ------------------------------------------------------------------------------- after each

    def live_first(self, now: float) -> None:
        """While rows wait, or may not leave, current values go alone, each change once."""
        state = self.state
        if not state.online or state.covered >= state.current.last:
            return
        waited = state.commits and now - state.commits[0][1] > state.rules.live_first_s
        blocked = not state.current.answered or any(lane.waits for lane in state.lanes[:-1])
        if waited or blocked:
            self._tell()

    def pump(self) -> None:
        """Ask for the next rows when the window has room for them."""
        state = self.state
        if not state.online or state.reading or state.moving:
            return
        lane = next((lane for lane in state.lanes if lane.waits), None)
        if lane is None or not lane.answered:
            return
        room = state.rules.window_bytes - state.window_bytes
        if state.window and room < state.rules.window_bytes // 16:
            return
        self.state = replace(state, reading=True)
        self.actions.append(
            Fetch(lane.run, lane.cursor, lane.last, min(room, state.rules.read_bytes))
        )

    # ---------------------------------------------------------------------------------- changing

    def _put(self, lane: Lane) -> None:
        lanes = tuple(lane if old.run == lane.run else old for old in self.state.lanes)
        self.state = replace(self.state, lanes=lanes)

    def _end(self) -> None:
        """Forget ended runs that hold nothing any more."""
        *ended, current = self.state.lanes
        held = [lane for lane in ended if lane.acked < lane.last]
        if len(held) < len(ended):
            self.state = replace(self.state, lanes=(*held, current))

    def _tell(self, devices: frozenset[str] = frozenset()) -> None:
        """Current values now; the rows that hold them are of the past when they leave."""
        state = self.state
        if state.online:
            self.actions.append(SendLive(devices - state.dead, state.session))
            self.state = replace(state, covered=state.current.last)

    def _tell_window(self) -> None:
        """What was in flight may be lost; nobody has to wait for it to know the values of now."""
        self._tell(frozenset(flight.device for flight in self.state.window))

    def _back(self, change: Callable[[Lane], Lane]) -> None:
        """Nothing is in flight any more: every lane begins again at its mark."""
        self.state = replace(
            self.state,
            lanes=tuple(change(lane).back() for lane in self.state.lanes),
            window=(),
            epoch=self.state.epoch + 1,
        )
