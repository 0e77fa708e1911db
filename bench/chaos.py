"""SIGKILL at random over edge, broker and twin under load; nothing accepted may be missing.

``python -m bench chaos --seconds 180 --kills 60 --rate 2000 --json``

Every row that the edge made durable is appended to a ledger by a hook the bench hands in
(``bench.ledger``). When the outbox is empty, at most 60 s after the last kill, each line must be
something a device served, and must be in the historian with the same signal, time, value and
status. ``--bug ack-early`` runs a twin, built here, that acknowledges before it commits; then
``missing`` must not be 0.
"""

import argparse
import asyncio
import contextlib
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import apsw
import duckdb
import numpy as np
from numpy.typing import NDArray

from bench.ledger import ledger_paths, read_ledger
from bench.machine import machine
from bench.rig import Device, Ports, answer_number, folder, free_ports, serving, write_plant
from deploy.kinds import kinds
from plant.flow.port import HistorianReader
from plant.model.load import load
from plant.model.plant import Plant

SIGNALS = 50
VICTIMS = ("edge", "broker", "twin")
DRAIN_S = 60.0
QUIET_S = 4.0
NO_VALUE = -1.0
"""Stands for NaN, which equals nothing; no device serves it."""


class Victim:
    """A process that is started again the moment it was killed."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self._command = list(command)
        self._log = log.open("ab")
        self._live: subprocess.Popen[bytes] | None = None
        self.kills: list[float] = []

    def start(self) -> None:
        """Start it."""
        self._live = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
        )

    def kill(self) -> None:
        """SIGKILL, and start again at once."""
        if self._live is None or self._live.poll() is not None:
            raise RuntimeError(f"{self.name} had ended by itself; see its log")
        self._live.kill()
        self.kills.append(time.monotonic())
        self._live.wait()
        self.start()

    def stop(self) -> None:
        """SIGTERM, then wait."""
        if self._live is not None and self._live.poll() is None:
            self._live.send_signal(signal.SIGTERM)
            try:
                self._live.wait(20)
            except subprocess.TimeoutExpired:
                self._live.kill()
                self._live.wait()
        self._log.close()


def _victims(file: Path, data: Path, place: Path, port: int, bug: str | None) -> dict[str, Victim]:
    config = place / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
    python = [sys.executable, "-P", "-m"]
    twin = ["bench.early", str(file), str(data)] if bug else ["deploy", "run", "twin", str(file)]
    twin += [] if bug else ["--data", str(data)]
    commands = {
        "broker": ["/usr/sbin/mosquitto", "-c", str(config)],
        "twin": [*python, *twin],
        "edge": [*python, "bench.ledger", str(file), str(data), str(place / "ledger")],
    }
    return {n: Victim(n, c, place / f"{n}.log") for n, c in commands.items()}


def _plan(
    seconds: float, kills: int, victims: Sequence[str], chance: random.Random
) -> list[tuple[float, str]]:
    """Times and victims: random, of all three each at least a sixth of all kills."""
    each = kills // 6
    names = [v for v in victims for _ in range(each)]
    names += [chance.choice(victims) for _ in range(kills - len(names))]
    chance.shuffle(names)
    times = sorted(chance.uniform(0.0, seconds) for _ in names)
    return list(zip(times, names, strict=True))


def outbox_rows(data: Path) -> int:
    """Rows that still wait in the outbox of an edge that has ended."""
    with contextlib.closing(apsw.Connection(str(data / "edge1" / "outbox.db"))) as db:
        rows = db.execute("SELECT count(*) FROM row").get
    return int(rows)


def of_devices(lines: NDArray[np.void], paths: Sequence[str]) -> NDArray[np.void]:
    """The lines of what devices served, without what the edge says of itself."""
    served = np.array([p.partition("/")[2].startswith("v") for p in paths])
    chosen: NDArray[np.void] = lines[served[lines["signal"]]]
    return chosen


def waiting(plant: Plant, reader: HistorianReader, ledger: Path) -> int:
    """Lines of the last five minutes that the historian does not show yet."""
    paths = ledger_paths(plant, "edge1")
    lines = of_devices(read_ledger(ledger), paths)
    last = int(lines["time"].max())
    lines = lines[lines["time"] > last - 300_000]
    rows = reader.read(paths, last - 300_000 + 1, last + 1)
    have = set(zip(rows.signal.tolist(), rows.source_time.tolist(), strict=True))
    return len(set(zip(lines["signal"].tolist(), lines["time"].tolist(), strict=True)) - have)


async def run(given: argparse.Namespace) -> dict[str, object]:
    """Drive the whole; the figures."""
    chance = random.Random(given.seed)
    devices = [Device(n, SIGNALS) for n in range(max(1, given.rate // SIGNALS))]
    with folder() as place:
        ports = Ports(*free_ports(3))
        async with serving(devices):
            file = write_plant(place, devices, ports, embedded=False, opcua=False)
            data = place / "data"
            victims = _victims(file, data, place, ports.broker, given.bug)
            try:
                for victim in victims.values():
                    victim.start()
                await _until_ledger(place / "ledger", 60.0)
                await _kill(victims, _plan(given.seconds, given.kills, given.victims, chance))
                plant = load(file, kinds(), {})
                drain_s = await _drain(plant, devices, data, place / "ledger", given.drain)
            except BaseException:
                for name in victims:
                    log = (place / f"{name}.log").read_text("utf-8", "replace")
                    print(f"--- {name}\n{log[-3000:]}", file=sys.stderr)
                raise
            finally:
                for name in ("edge", "twin", "broker"):
                    victims[name].stop()
            figures = _count(plant, data, place, devices)
            if given.keep:
                await asyncio.to_thread(shutil.copytree, place, given.keep)
            return {
                **figures,
                "asked": int(given.rate * given.seconds),
                "kills": {name: len(v.kills) for name, v in victims.items()},
                "edge_restart_s": _restart_s(place / "ledger.starts", victims["edge"].kills),
                "drain_s": round(drain_s, 1),
                "outbox_rows_left": outbox_rows(data),
            }


async def _until_ledger(ledger: Path, timeout_s: float) -> None:
    end = time.monotonic() + timeout_s
    while not len(await asyncio.to_thread(read_ledger, ledger)):
        if time.monotonic() > end:
            raise TimeoutError(f"no row became durable within {timeout_s:.0f} s")
        await asyncio.sleep(0.1)


async def _kill(victims: dict[str, Victim], plan: Sequence[tuple[float, str]]) -> None:
    start = time.monotonic()
    for at, name in plan:
        await asyncio.sleep(max(0.0, start + at - time.monotonic()))
        victims[name].kill()
        print(f"{at:7.1f} s  {name}", file=sys.stderr)


async def _drain(
    plant: Plant, devices: Sequence[Device], data: Path, ledger: Path, limit_s: float
) -> float:
    """Devices fall silent; all that waits in the outbox must come before the limit."""
    start = time.monotonic()
    await asyncio.sleep(5.0)  # the last killed one comes up and reads
    for device in devices:
        await device.server.close()
    reader = plant.historian.reader(data / "historian")  # type: ignore[attr-defined]
    try:
        size, quiet_since = -1, start
        while (now := time.monotonic()) - start < limit_s:
            grown = len(of_devices(read_ledger(ledger), ledger_paths(plant, "edge1")))
            if grown != size:  # the edge still says of one device after the other that it is gone
                size, quiet_since = grown, now
            elif now - quiet_since > QUIET_S and not waiting(plant, reader, ledger):
                break
            await asyncio.sleep(1.0)
    finally:
        reader.close()
    return time.monotonic() - start


def _count(plant: Plant, data: Path, place: Path, devices: Sequence[Device]) -> dict[str, object]:
    paths = ledger_paths(plant, "edge1")
    lines = of_devices(read_ledger(place / "ledger"), paths)
    unserved = _unserved(lines, paths, devices)
    stored, doubled, gaps = _stored(plant, data, paths)
    values = np.where(np.isnan(lines["value"]), NO_VALUE, lines["value"])
    columns = (lines["signal"], lines["time"], values, lines["status"])
    wanted = set(zip(*(c.tolist() for c in columns), strict=True))
    missing = len(wanted - stored)
    return {
        "accepted": len(lines),
        "missing": missing,
        "doubled": doubled,
        "declared_gaps": gaps,
        "not_served": unserved,
    }


def _unserved(lines: np.ndarray, paths: Sequence[str], devices: Sequence[Device]) -> int:
    """Good lines whose value no answer of their device held at that time."""
    wrong = 0
    by_name = {d.name: d for d in devices}
    for index in np.unique(lines["signal"]).tolist():
        name, _, id_ = paths[index].partition("/")
        device, position = by_name[name], int(id_[1:])
        mine = lines[(lines["signal"] == index) & (lines["status"] == 0)]
        served = np.array(device.utc)
        near = np.searchsorted(served, mine["time"], side="right")
        for value, time_ms, close in zip(
            mine["value"].tolist(), mine["time"].tolist(), near.tolist(), strict=True
        ):
            number = answer_number(int(value), position, close)
            late = time_ms - int(served[number - 1]) if 1 <= number <= len(served) else None
            # stamped at the end of the transaction: after it was served, within the time-out
            wrong += late is None or not -5 <= late <= 5000
    return wrong


def _stored(
    plant: Plant, data: Path, paths: Sequence[str]
) -> tuple[set[tuple[int, int, float, int]], int, int]:
    """Every stored row, straight from the files: rows, doubled pairs, gap records."""
    place = data / "historian"
    writer = plant.historian.writer(place)  # type: ignore[attr-defined]
    writer.retain(int(time.time() * 1000), force=True)  # all of it into Parquet
    writer.close()
    index = {path: i for i, path in enumerate(paths)}
    with contextlib.closing(apsw.Connection(str(place / "historian.sqlite"))) as db:
        names = {int(str(i)): str(path) for i, path in db.execute("SELECT id, path FROM signal")}
        files = [str(row[0]) for row in db.execute("SELECT file FROM segment")]
        gaps = int(db.execute("SELECT count(*) FROM gap").get)
    rows: set[tuple[int, int, float, int]] = set()
    doubled = 0
    with contextlib.closing(duckdb.connect()) as duck:
        parquet = [str(next(place.rglob(file))) for file in files]
        pairs = duck.execute(
            "SELECT signal, source_time, count(*) FROM read_parquet(?) GROUP BY ALL", [parquet]
        ).fetchall()
        for id_, _, count in pairs:
            path = names[id_]
            doubled += count > 1 and path.partition("/")[2].startswith("v")
        for id_, at, value, status in _rows(duck, parquet):
            if names[id_] in index:
                rows.add((index[names[id_]], at, value, status))
    return rows, doubled, gaps


def _rows(
    duck: duckdb.DuckDBPyConnection, files: Sequence[str]
) -> Iterator[tuple[int, int, float, int]]:
    value = "CASE WHEN value IS NULL OR isnan(value) THEN ? ELSE value END"
    query = f"SELECT signal, source_time, {value}, status FROM read_parquet(?)"
    cursor = duck.execute(query, [NO_VALUE, list(files)])
    while part := cursor.fetchmany(100_000):
        yield from part


def _restart_s(starts: Path, kills: Sequence[float]) -> float | None:
    """Median from a kill of the edge to its next durable row, s."""
    times = [float(line) for line in starts.read_text().split()] if starts.exists() else []
    waits = [min((t - k for t in times if t > k), default=None) for k in kills]
    known = [w for w in waits if w is not None]
    return round(float(np.median(known)), 2) if known else None


def main(argv: list[str]) -> int:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(prog="bench chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--rate", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--victims", nargs="+", choices=VICTIMS, default=VICTIMS)
    parser.add_argument("--drain", type=float, default=DRAIN_S, help="s after the last kill")
    parser.add_argument("--bug", choices=["ack-early"], help="a twin that breaks the promise")
    parser.add_argument("--keep", help="copy the data folder here, to look at")
    parser.add_argument("--json", action="store_true", help="(always: the last line is JSON)")
    given = parser.parse_args(argv)
    figures = asyncio.run(run(given))
    print(json.dumps({"bench": "chaos", "bug": given.bug, **figures, "machine": machine()}))
    return 0
