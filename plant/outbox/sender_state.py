"""What the sender knows: the runs it has rows of, what is in flight, and its rules."""

from dataclasses import dataclass, replace

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
