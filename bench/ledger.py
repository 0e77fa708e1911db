"""The edge with a ledger: every row that became durable is appended to a file after its commit.

Run as a process of its own by the chaos bench; the hook is all that differs from ``kaikou run
edge``. A line is (path index, source time, value, status); a line cut short by a kill is no line.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deploy.apart import apart
from deploy.room import open_ports, read_plant, with_account
from edge import service
from plant.model.plant import Plant
from plant.model.signal import Origin
from plant.outbox.row import KeptRow

LINE = np.dtype([("signal", "<i4"), ("time", "<i8"), ("value", "<f8"), ("status", "<u4")])


def ledger_paths(plant: Plant, edge: str) -> list[str]:
    """The paths that ``signal`` of a line counts in."""
    return [s.path for s in plant.published(Origin.EDGE, edge)]


def read_ledger(file: Path) -> NDArray[np.void]:
    """All whole lines of a ledger."""
    data = file.read_bytes() if file.exists() else b""
    lines: NDArray[np.void] = np.frombuffer(
        data[: len(data) // LINE.itemsize * LINE.itemsize], LINE
    )
    return lines


def hook(file: Path) -> Callable[[Sequence[KeptRow]], None]:
    """Appends rows to the ledger, and the time of the first one of this process beside it."""
    ledger = file.open("ab", buffering=0)
    done = ledger.tell() % LINE.itemsize
    if done:  # the last process was killed while it wrote
        ledger.truncate(ledger.tell() - done)
    first = True

    def on_commit(rows: Sequence[KeptRow]) -> None:
        nonlocal first
        parts = [k.row.batch for k in rows if k.row.batch is not None]
        for part in parts:
            lines = np.empty(len(part), LINE)
            lines["signal"], lines["time"] = part.signal, part.source_time
            lines["value"], lines["status"] = part.value, part.status
            ledger.write(lines.tobytes())
        if parts and first:
            first = False
            with file.with_suffix(".starts").open("a") as starts:
                starts.write(f"{time.monotonic()}\n")

    return on_commit


def main(plant_file: Path, data: Path, ledger: Path) -> None:
    """Run the edge."""
    plant = with_account(apart(lambda: read_plant(plant_file, data)), "edge1", data)
    ports = open_ports("edge", plant, data, {"edge": "edge1", "on_commit": hook(ledger)})
    asyncio.run(service.run(plant, ports))


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:4]))
