"""From one historian into another, page by page in the order of knowing.

The mark of what was taken lies in the target, in the transaction of the rows, so a stop at any
moment costs nothing: the next run goes on where this one was, and a page that comes twice changes
nothing.
"""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from plant.flow.port import Changes, HistorianReader, HistorianWriter, Mark
from twin.transfer.tally import Tally, record_hashes, row_hashes

PAGE_ROWS = 200_000
"""About so many rows are taken at a time: 6 MB of columns."""

COPY = "kaikou/copy"
"""The ``edge`` of the mark of a historian that follows another; ``run`` is the other's id."""

Progress = Callable[[Tally, int], None]
"""Called after every page with what was moved and up to which ``received_time``."""


def identity(writer: HistorianWriter) -> str:
    """The name of a historian, given once and kept in it."""
    return writer.remember("id", secrets.token_hex(8))


def quiet(_moved: Tally, _upto: int) -> None:
    """No progress is told."""


def pages(reader: HistorianReader, after: int, rows: int = PAGE_ROWS) -> Iterator[Changes]:
    """Everything that a historian came to know after a ``received_time``, until now."""
    while True:
        page = reader.changes(after, rows)
        if page.upto > after:
            yield page
        if page.last:
            return
        after = page.upto


def follow(
    reader: HistorianReader, writer: HistorianWriter, source: str, progress: Progress = quiet
) -> Tally:
    """Bring the target up to what the source knows now; what was moved by this call.

    ``source`` names the historian read from, for ever the same for the same one. ``Unavailable``
    from either side leaves everything as far as it came.
    """
    moved = Tally()
    for page in pages(reader, writer.marks().get((COPY, source), 0)):
        writer.adopt(page, Mark(COPY, source, page.upto))
        moved += Tally.of(page)
        progress(moved, page.upto)
    return moved


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a comparison found: all of the source, and how much of it the target lacks."""

    tally: Tally
    missing: int

    @property
    def whole(self) -> bool:
        """Whether nothing is missing."""
        return self.missing == 0


def verify(source: Iterator[Changes], target: HistorianReader) -> Verdict:
    """Look for every row of the source in the target, by path, times, value and status.

    The target may hold more, of its own. Only rows of one stretch of received times are in memory.
    """
    tally, missing, after = Tally(), 0, 0
    for page in source:
        tally += Tally.of(page)
        wanted = np.concatenate([row_hashes(page.series, page.samples), record_hashes(page)])
        found = [np.empty(0, np.uint64)]
        for there in pages(target, after):
            found += [row_hashes(there.series, there.samples), record_hashes(there)]
            if there.upto >= page.upto:
                break
        missing += int((~np.isin(wanted, np.concatenate(found))).sum())
        after = page.upto
    return Verdict(tally, missing)
