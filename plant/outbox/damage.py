"""Rows of the outbox that were found damaged, until a gap record tells of them."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path

import apsw

from plant.outbox.alias import AliasBook
from plant.outbox.bound import forget
from plant.outbox.checksum import ROW_DAMAGED, SELECT_ROW, known_aliases, read_row
from plant.outbox.row import Loss, NewRow, Run
from plant.outbox.table import read_losses

log = logging.getLogger("kaikou.outbox")


class DamagedRows:
    """Which rows are damaged, by number; they are not given to anybody."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[int, Loss] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def __contains__(self, at: int) -> bool:
        return at in self._found

    def put(self, at: int, loss: Loss) -> None:
        """A row is damaged; ``loss`` is what is known of what it held."""
        if at not in self._found:
            log.error("%s: row %d is damaged and is set aside", self._path, at)
            self._found[at] = loss

    def clear(self) -> None:
        """All are told of."""
        self._found.clear()

    def part(
        self, database: apsw.Connection, runs: Mapping[str, Run], losses: list[Loss]
    ) -> list[tuple[str, int]]:
        """Set them aside, inside a transaction: (run, offset) of each; ``losses`` tell of them.

        A gap record among them is not lost: what it said is written again.
        """
        parted: list[tuple[str, int]] = []
        told: Loss | None = None
        for at, loss in sorted(self._found.items()):
            size = database.execute("SELECT length(metrics) FROM row WHERE id = ?", (at,)).get
            if size is None:
                continue
            again = [found for _, found in read_losses(database, at)]
            losses += again
            if not again:
                told = told.plus(loss) if told else loss
            database.execute(
                "INSERT INTO set_aside SELECT ?, * FROM row WHERE id = ?", (time.time_ns(), at)
            )
            database.execute("DELETE FROM row WHERE id = ?", (at,))
            database.execute("DELETE FROM loss WHERE id = ?", (at,))
            parted.append(forget(runs, at, next(iter(loss.devices), ""), size))
        losses += [told] if told else []
        return parted

    def of_lost_aliases(self, database: apsw.Connection, aliases: AliasBook) -> None:
        """After an alias was found damaged: rows that wait under it belong to nobody."""
        log.error("%s: an alias is damaged: rows that wait under it are set aside", self._path)
        known = aliases.clear()
        for columns in database.execute(SELECT_ROW):
            row = read_row(columns)
            if not isinstance(row, NewRow):
                self.put(columns[0], row)
                continue
            found = known_aliases(row.metrics)
            aliases.above = max([aliases.above, *(found or ())])
            if found is None or not found <= known:
                device = frozenset((row.device,))
                self.put(columns[0], Loss(row.first, row.last, row.samples, ROW_DAMAGED, device))
