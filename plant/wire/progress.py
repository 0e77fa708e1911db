"""How far an edge's rows are durable, as every listener on the bus can tell."""

from collections import deque

from plant.wire.message import Row, Runs

_ROWS = 4096


class Progress:
    """How far an edge's rows are durable, from its rows and the twin's acknowledgements.

    >>> progress = Progress()
    >>> progress.announce(Runs("b", ()))
    >>> progress.row(Row("b", 1), 5000)
    >>> progress.ack("b", 1)
    >>> progress.complete_up_to
    5000
    """

    def __init__(self) -> None:
        self._current = ""
        self._known: set[str] = set()
        self._waiting: dict[str, int] = {}
        self._rows: dict[str, deque[tuple[int, int]]] = {}
        self._done: dict[str, int] = {}

    @property
    def complete_up_to(self) -> int:
        """Milliseconds UTC; rows of an earlier run that still wait hold it back."""
        run = next(iter(self._waiting), self._current)
        return self._done.get(run, 0)

    def announce(self, runs: Runs) -> None:
        """What the outbox holds, oldest run first."""
        self._current = runs.current
        held = {r.run: r.kept for r in runs.runs if r.kept > r.acked and r.run != runs.current}
        self._waiting = held
        self._known = known = {*held, runs.current}
        self._rows = {r: rows for r, rows in self._rows.items() if r in known}
        self._done = {r: at for r, at in self._done.items() if r in known}

    def row(self, row: Row, last: int) -> None:
        """A row went by; ``last`` is its newest source time, ms UTC."""
        if row.run not in self._known:
            return
        rows = self._rows.setdefault(row.run, deque(maxlen=_ROWS))
        if not rows or row.offset > rows[-1][0]:
            rows.append((row.offset, last))

    def ack(self, run: str, offset: int) -> None:
        """All rows of a run up to an offset are durable."""
        rows = self._rows.get(run, deque())
        while rows and rows[0][0] <= offset:
            self._done[run] = max(self._done.get(run, 0), rows.popleft()[1])
        if offset >= self._waiting.get(run, offset + 1):
            del self._waiting[run]
