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

from plant.outbox.sender_event import (
    Acked,
    Birth,
    Changed,
    Committed,
    DeviceBorn,
    DeviceDied,
    Dropped,
    Fetch,
    Forget,
    Move,
    Moved,
    Offline,
    Online,
    Read,
    Renewed,
    RowAhead,
    SenderAction,
    SenderEvent,
    SendLive,
    SendRow,
    Tick,
)
from plant.outbox.sender_state import Flight, Lane, Rules, State

RULES = Rules()
Step = tuple[State, list[SenderAction]]


def start(host: str, lanes: Sequence[Lane], rules: Rules = RULES) -> State:
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
            case Renewed():
                self._renewed(event)
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

    def _renewed(self, event: Renewed) -> None:
        """Nothing in flight is sure to be kept; the births announce the runs that there are."""
        lanes = tuple(Lane(run, acked, last, acked) for run, acked, last in event.runs)
        self.state = replace(
            self.state,
            lanes=lanes,
            window=(),
            commits=(),
            covered=lanes[-1].last,
            epoch=self.state.epoch + 1,
            reading=False,
            moving=False,
        )
        if self.state.online:
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
