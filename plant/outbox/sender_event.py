"""What the sender is told (events) and what it wants done (actions).

Times are real monotonic seconds; rows are named by (run, offset).
"""

from collections.abc import Sequence
from dataclasses import dataclass

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
class Renewed:
    """Another file took the damaged one's place: ``runs`` are (run, acked, last), current last."""

    now: float
    runs: tuple[tuple[str, int, int], ...]


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
    | Renewed
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
