"""The bound of the outbox: which rows go when it is reached, and the record of it.

All of it happens inside a transaction of ``file``; ``runs`` are its working copies.
"""

import json
from collections.abc import Mapping

import apsw

from plant.outbox.row import OVERHEAD_BYTES, Loss, RowClass, Run

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
    victims: list[tuple[int, str, int, int, int, int]] = []
    freed = 0
    for row_class in (RowClass.SAMPLE, RowClass.EVENT):
        if freed >= over:
            break
        for victim in database.execute(
            "SELECT id, device, first, last, samples, length(metrics) FROM row "
            "WHERE class = ? AND id > ? ORDER BY id",
            (row_class, above if row_class is RowClass.SAMPLE else 0),
        ):
            if freed >= wanted:
                break
            victims.append(victim)
            freed += victim[5] + OVERHEAD_BYTES
            if row_class is RowClass.SAMPLE:
                above = victim[0]
    if freed < over:
        raise NoRoom
    database.executemany("DELETE FROM row WHERE id = ?", [(victim[0],) for victim in victims])
    dropped = [_forget(runs, at, device, size) for at, device, _, _, _, size in victims]
    loss = Loss(
        min(victim[2] for victim in victims),
        max(victim[3] for victim in victims),
        sum(victim[4] for victim in victims),
        DROPPED,
        frozenset(victim[1] for victim in victims),
    )
    return loss, dropped, above


def merge_records(database: apsw.Connection, runs: Mapping[str, Run], loss: Loss) -> Loss:
    """Take earlier gap records of this kind in, when many wait; they may have been sent."""
    earlier = list(
        database.execute(
            "SELECT id, first, last, samples, devices FROM loss WHERE reason = ?", (loss.reason,)
        )
    )
    if len(earlier) < MERGE_ABOVE:
        return loss
    for at, first, last, samples, devices in earlier:
        size = database.execute("SELECT length(metrics) FROM row WHERE id = ?", (at,)).get
        loss = loss.plus(Loss(first, last, samples, loss.reason, frozenset(json.loads(devices))))
        _forget(runs, at, "", size)
        database.execute("DELETE FROM row WHERE id = ?", (at,))
        database.execute("DELETE FROM loss WHERE id = ?", (at,))
    return loss


def _forget(runs: Mapping[str, Run], at: int, device: str, size: int) -> tuple[str, int]:
    run = next(run for run in runs.values() if run.base < at <= run.last)
    run.remove(device, 1, size + OVERHEAD_BYTES)
    return run.name, at - run.base
