"""Recorded machines over the whole road: energy per machine and state against the file alone.

``python -m bench recorded --file CSV --protocol modbus|opcua|both --json``

The simulators serve the rows of a CSV in the shape of ``sme-retrofit-power`` as devices, each row
with its own time; edge, broker and twin carry them; what the historian port gives back is compared
with a reading of the file that uses nothing of ours. Truth is power x time to the asset's next
row, by the state at its start; intervals over 15 minutes are unknown and reported as seconds.
"""

import argparse
import asyncio
import csv
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import numpy as np

from analytics.energy import Steps, account_power
from bench.machine import machine
from bench.rig import Rooms, folder, free_ports
from deploy.kinds import kinds
from plant.flow.port import HistorianReader
from plant.model.load import load

RECORD = "sme-retrofit-power/company_A_labelled_subset_first70.csv"
LONGEST_MS = 15 * 60_000
ROOMS = ("broker", "simulators", "twin", "edge")
SIGNALS = {
    "row": ("input:4 uint32", "Row"),
    "status": ("input:6 uint16", "Status"),
    "alarm": ("input:7 uint16", "Alarm"),
    "product": ("input:8 uint16", "Product"),
    "power": ("input:10 float64", "Power"),
    "items": ("input:14 float64", "Items"),
    "status_time": ("input:18 float64", "StatusTime"),
    "cycle_time": ("input:22 float64", "CycleTime"),
}

Energy = dict[tuple[int, int], float]
"""(machine, state) -> kWh."""


def truth(file: Path) -> tuple[Energy, dict[int, float], dict[int, list[tuple[int, float]]]]:
    """Energy per machine and state, unknown seconds, (time, items) per machine: the file alone."""
    rows: dict[int, list[tuple[int, int, float, float]]] = defaultdict(list)
    with file.open(newline="", encoding="utf-8") as text:
        for r in csv.DictReader(text):
            at = round(datetime.fromisoformat(r["ts"]).timestamp() * 1000)
            status, power = int(float(r["status"])), float(r["power_avg"])
            rows[int(float(r["asset"]))].append((at, status, power, float(r["items"])))
    energy: Energy = defaultdict(float)
    unknown: dict[int, float] = defaultdict(float)
    for asset, mine in rows.items():
        for (at, status, power, _), (after, *_) in pairwise(mine):
            if after - at > LONGEST_MS:
                unknown[asset] += (after - at) / 1000
            else:
                energy[asset, status] += power * (after - at) / 3_600_000
    items = {asset: [(at, n) for at, _, _, n in mine] for asset, mine in rows.items()}
    return dict(energy), dict(unknown), items


def read_back(
    reader: HistorianReader, items: dict[int, list[tuple[int, float]]]
) -> tuple[Energy, dict[int, float], int, int]:
    """Energy, unknown seconds, items that differ, rows that are missing: the historian alone.

    The energy is the product's own (``analytics.energy``), from the rows that the machine told.
    """
    energy: Energy = {}
    unknown: dict[int, float] = {}
    wrong = missed = 0
    for asset, expected in items.items():
        start, end = expected[0][0] - 1000, expected[-1][0] + 1000
        row, status, power, count = (
            Steps.of(reader.read([f"m{asset}/{name}"], start, end))
            for name in ("row", "status", "power", "items")
        )
        told = row.time[~np.isnan(row.value)]
        at = np.array([time_ms for time_ms, _ in expected], np.int64)
        missed += len(np.setdiff1d(at, told))
        wrong += int((count.at(at) != np.array([n for _, n in expected])).sum())
        account = account_power(
            Steps(told, power.at(told)), status, int(told[-1]), max_gap_ms=LONGEST_MS
        )
        energy |= {(asset, state): kwh for state, kwh in account.kwh.items()}
        unknown[asset] = account.unknown_s
    return energy, unknown, wrong, missed


def write_plant(place: Path, protocol: str, machines: Sequence[int], ports: Sequence[int]) -> Path:
    """plant.yaml with the machines of the record, each at its own address."""
    mqtt, web, *devices = ports
    sources: dict[str, object] = {}
    for asset, port in zip(machines, devices, strict=True):
        if protocol == "modbus":
            address = {"kind": "modbus", "host": "127.0.0.1", "port": port, "poll_ms": 20}
            sources[f"s{asset}"] = {**address, "clock": "input:0 uint64", "max_gap": 4}
        else:
            login = {"user": "edge1", "password": "${KAIKOU_BENCH_PASSWORD}"}
            url = f"opc.tcp://127.0.0.1:{port}/"
            sources[f"s{asset}"] = {
                "kind": "opcua",
                "url": url,
                "publish_ms": 100,
                "queue": 20_000,
                **login,
            }
    plant = {
        "kaikou": 1,
        "enterprise": "bench",
        "site": {"id": "record", "name": {"zh": "录制", "en": "Record"}, "timezone": "Europe/Rome"},
        "broker": {"host": "127.0.0.1", "port": mqtt, "embedded": True},
        "gateway": {"port": web},
        "simulated": True,
        "edges": {"edge1": {"name": {"zh": "网关", "en": "Edge"}, "sources": sources}},
        "assets": {
            f"m{asset}": {
                "type": "recorded_machine",
                "name": {"zh": f"机器{asset}", "en": f"Machine {asset}"},
                "edge": "edge1",
                "parameters": {"machine": asset},
                "signals": {
                    name: {
                        "source": f"s{asset}",
                        "at": register if protocol == "modbus" else f"ns=2;s=M{asset}.{node}",
                    }
                    for name, (register, node) in SIGNALS.items()
                },
            }
            for asset in machines
        },
    }
    file = place / "plant.yaml"
    file.write_text(json.dumps(plant, ensure_ascii=False), "utf-8")
    return file


async def run(file: Path, protocol: str) -> dict[str, object]:
    """Play the record over one protocol; the figures."""
    energy, unknown, items = truth(file)
    rows = sum(map(len, items.values()))
    began = time.monotonic()
    with folder() as place:
        ports = free_ports(2 + len(items))
        plant_file = write_plant(place, protocol, list(items), ports)
        rooms = Rooms(plant_file, place / "data")
        rate = "0" if protocol == "modbus" else "200"
        try:
            more = ["--file", str(file), "--rows-per-s", rate]
            await rooms.start("broker")
            await rooms.start("simulators", more=more)
            await rooms.start("twin", "edge")
            plant = load(plant_file, kinds())
            reader: HistorianReader = plant.historian.reader(place / "data" / "historian")  # type: ignore[attr-defined]
            try:
                await _whole(reader, items, deadline_s=60 + rows / 30)
                await asyncio.sleep(2.0)
                found = read_back(reader, items)
            finally:
                reader.close()
        except BaseException:
            print("\n".join(rooms.lines[-40:]), file=sys.stderr)
            raise
        finally:
            await rooms.stop("edge", "twin", "simulators", "broker")
    stored, stored_unknown, wrong, missed = found
    keys = set(energy) | set(stored)
    errors = [_relative(stored.get(k, 0.0), energy.get(k, 0.0)) for k in keys]
    return {
        "rows": rows,
        "rows_missed": missed,
        "items_wrong": wrong,
        "max_relative_error": max(errors),
        "energy_kwh": {f"m{a}/{s}": round(e, 3) for (a, s), e in sorted(stored.items())},
        "truth_kwh": {f"m{a}/{s}": round(e, 3) for (a, s), e in sorted(energy.items())},
        "unknown_s": {f"m{a}": s for a, s in sorted(stored_unknown.items())},
        "unknown_wrong": sum(stored_unknown.get(a) != s for a, s in unknown.items()),
        "seconds": round(time.monotonic() - began, 1),
    }


def _relative(value: float, true: float) -> float:
    return abs(value - true) / abs(true) if true else abs(value)


async def _whole(
    reader: HistorianReader, items: dict[int, list[tuple[int, float]]], deadline_s: float
) -> None:
    """Until the last row of every machine is stored, or no more time is left."""
    end = time.monotonic() + deadline_s
    ends = {f"m{asset}/row": float(len(rows)) for asset, rows in items.items()}
    at = max(rows[-1][0] for rows in items.values())  # what is Bad by now is stamped now
    while time.monotonic() < end:
        last = reader.as_of(list(ends), at)
        if len(last) == len(ends) and last.value.tolist() == [
            ends[path] for path in (list(ends)[i] for i in last.signal.tolist())
        ]:
            return
        await asyncio.sleep(0.5)
    print("the record did not arrive whole in time", file=sys.stderr)


def main(argv: list[str]) -> int:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(prog="bench recorded", description=__doc__)
    parser.add_argument(
        "--file", type=Path, help=f"a CSV of this shape (default: {RECORD} under KAIKOU_DATA)"
    )
    parser.add_argument("--protocol", choices=["modbus", "opcua", "both"], default="both")
    parser.add_argument("--json", action="store_true", help="(always: the last line is JSON)")
    given = parser.parse_args(argv)
    if given.file is None and (data := os.environ.get("KAIKOU_DATA")):
        given.file = Path(data) / RECORD
    if given.file is None or not given.file.is_file():
        parser.error(f"no record: give --file, or KAIKOU_DATA with {RECORD} in it")
    os.environ.setdefault("KAIKOU_BENCH_PASSWORD", "bench-" + os.urandom(8).hex())
    protocols = ["modbus", "opcua"] if given.protocol == "both" else [given.protocol]
    figures = {p: asyncio.run(run(given.file.resolve(), p)) for p in protocols}
    worst = {
        key: max(float(str(f[key])) for f in figures.values())
        for key in ("rows_missed", "items_wrong", "max_relative_error")
    }
    print(json.dumps({"bench": "recorded", **worst, **figures, "machine": machine()}))
    return 0 if worst["rows_missed"] == worst["items_wrong"] == 0 else 1
