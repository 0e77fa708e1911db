"""The bound of the outbox: which rows go when it is reached, and the record of it.

All of it happens inside a transaction of ``file``; ``runs`` are its working copies.
"""

from collections.abc import Mapping
from functools import reduce

import apsw

from plant.outbox.checksum import read_head
from plant.outbox.row import OVERHEAD_BYTES, Loss, RowClass, Run
from plant.outbox.table import read_losses

DROPPED = "outbox full: oldest rows dropped"
MERGE_ABOVE = 64
"""Gap records that wait are merged when there are more: a long outage must not fill with them."""


class NoRoom(Exception):
    """The bound of the outbox is reached and nothing older may go."""


def drop_oldest(
    database: apsw.Connection, runs: Mapping[str, Run], over: int, wanted: int, above: int
) -> tuple[Loss, list[tuple[str, int]], int]:
    """Let the oldest rows of the lowest class go: ``over`` bytes at least, ``wanted`` if possible.

    Some more than needed, so that not every transaction has to. There are no samples with ids up
    to ``above``. Gives what is lost, the rows as (run, offset), and the new ``above``; raises
    ``NoRoom`` where that is not enough. Gap records never go.
    """
    victims: list[tuple[int, Loss, int]] = []
    freed = 0
    for row_class in (RowClass.SAMPLE, RowClass.EVENT):
        if freed >= over:
            break
        for *head, size in database.execute(
            "SELECT id, class, CAST(device AS BLOB), first, last, samples, historical, head, "
            "length(metrics) FROM row WHERE class = ? AND id > ? ORDER BY id",
            (row_class, above if row_class is RowClass.SAMPLE else 0),
        ):
            if freed >= wanted:
                break
            victims.append((head[0], read_head(head, DROPPED), size))
            freed += size + OVERHEAD_BYTES
            if row_class is RowClass.SAMPLE:
                above = head[0]
    if freed < over:
        raise NoRoom
    database.executemany("DELETE FROM row WHERE id = ?", [(victim[0],) for victim in victims])
    dropped = [forget(runs, at, next(iter(of.devices), ""), size) for at, of, size in victims]
    return reduce(Loss.plus, (of for _, of, _ in victims)), dropped, above


def merge_records(database: apsw.Connection, runs: Mapping[str, Run], loss: Loss) -> Loss:
    """Take earlier gap records of this kind in, when many wait; they may have been sent."""
    earlier = [found for found in read_losses(database) if found[1].reason == loss.reason]
    if len(earlier) < MERGE_ABOVE:
        return loss
    for at, record in earlier:
        size = database.execute("SELECT length(metrics) FROM row WHERE id = ?", (at,)).get
        if size is None:
            continue
        loss = loss.plus(record)
        forget(runs, at, "", size)
        database.execute("DELETE FROM row WHERE id = ?", (at,))
        database.execute("DELETE FROM loss WHERE id = ?", (at,))
    return loss


def forget(runs: Mapping[str, Run], at: int, device: str, size: int) -> tuple[str, int]:
    """Take a row out of the counts of its run: (run, offset)."""
    run = next((run for run in runs.values() if run.base < at <= run.last), None)
    if run is None:
        return "", at
    run.remove(device, 1, size + OVERHEAD_BYTES)
    return run.name, at - run.base
