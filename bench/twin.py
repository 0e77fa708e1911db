"""The twin: Sparkplug bytes in, committed to the embedded historian and sealed, states on.

Bytes made beforehand go the way of the twin's own process, without a broker: session with alias
look-up, intake, live table, states (as they are heard, and ticks), commits in the historian's
thread, acknowledgements, sealing. Every sample is read back and compared. ``samples_per_cpu_s``
counts user and system time of all threads until all is sealed; ``p99_ms`` is from bytes to the
acknowledgement after their commit at 10,000 samples a second; ``bare_decode_per_s`` is protobuf
alone over the same bytes, without doing anything with them.
"""

import argparse
import asyncio
import json
import resource
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.machine import machine
from bench.twin_plant import EDGE, MACHINES, RUN, SIGNALS, Edge1, Sent, the_plant
from plant.errors import Unavailable
from plant.flow.clock import ManualClock
from plant.flow.sample import SampleBatch
from plant.model.plant import Broker, Plant
from plant.wire import sparkplug_b_pb2 as pb
from plant.wire.message import Ack, Outgoing
from plant.wire.topic import NodeId, ack_topic
from twin.derive import Derivation
from twin.host import Host

START = 1_795_000_000_000
PACED_PER_S = 10_000
PACED_S = 20
_AHEAD = 100_000
"""Samples in the intake at full speed: a broker would make the edge wait, or send again."""
_DERIVE_S = 0.25


def main(argv: list[str]) -> int:
    """Print one JSON object as the last line."""
    parser = argparse.ArgumentParser(prog="python -m bench twin", description=__doc__)
    parser.add_argument(
        "--seconds", type=int, default=4000, help="of plant time, 1,000 samples each"
    )
    parser.add_argument("--paced", type=float, default=PACED_S, help="seconds at 10,000/s")
    parser.add_argument("--json", action="store_true", help="nothing but the JSON line")
    given = parser.parse_args(argv)
    told: dict[str, object] = {}
    for size in (500, 100):
        told[f"size_{size}"] = asyncio.run(full_speed(given.seconds, size))
    told["samples_per_cpu_s"] = told["size_500"]["samples_per_cpu_s"]  # type: ignore[index]
    told["samples_per_cpu_s_at_100"] = told["size_100"]["samples_per_cpu_s"]  # type: ignore[index]
    told["bare_decode_per_s"] = told["size_500"]["bare_decode_per_s"]  # type: ignore[index]
    told |= asyncio.run(paced(given.paced, 500))
    if not given.json:
        for name, value in told.items():
            print(f"{name:>26}  {value}", file=sys.stderr)
    print(json.dumps({"bench": "twin", **told, "machine": machine()}))
    return 0


# ------------------------------------------------------------------------------------ the rig


@dataclass(frozen=True, slots=True)
class _Received:
    topic: str
    payload: bytes
    retain: bool = False


class _Bus:
    """Stands for the MQTT client: gives what is due, hears acknowledgements."""

    connected = True

    def __init__(self, host: Host, clock: ManualClock) -> None:
        self._host = host
        self._clock = clock
        self._due: deque[Outgoing] = deque()
        self._wake = asyncio.Event()
        self.acked = 0
        self.heard: list[tuple[int, float]] = []

    def put(self, messages: Sequence[Outgoing]) -> None:
        self._due.extend(messages)
        self._wake.set()

    async def receive(self) -> list[_Received]:
        while not self._due:
            self._wake.clear()
            await self._wake.wait()
        await asyncio.sleep(0)
        batch = [self._due.popleft() for _ in range(min(len(self._due), 64))]
        return [_Received(m.topic, m.payload) for m in batch]

    async def publish(self, message: Outgoing) -> None:
        if message.topic == ack_topic(NodeId(self._host.plant.group, EDGE)):
            marks = dict(Ack.decode(message.payload).marks)
            self.acked = max(self.acked, marks.get(RUN, 0))
            self.heard.append((self.acked, time.perf_counter()))


class _Rig:
    """The twin's own objects on a historian of their own."""

    def __init__(self, folder: Path) -> None:
        self.plant: Plant = the_plant(Broker())
        self.clock = ManualClock(START)
        self.folder = folder
        self.writer = self.plant.historian.writer(folder)  # type: ignore[attr-defined]
        self.derived = 0
        derivation = Derivation(self.plant, self.clock, self._accept)
        self.host = Host(self.plant, self.plant.broker, self.writer, self.clock, derivation.heard)
        derivation.attach(self.host)
        self.derivation = derivation
        self.bus = _Bus(self.host, self.clock)
        self.host._client = self.bus  # type: ignore[assignment]
        self._tasks: list[asyncio.Task[None]] = []

    def _accept(self, batch: SampleBatch, live: bool) -> None:
        self.derived += len(batch)

    def begin(self, births: Sequence[Outgoing]) -> None:
        self.bus.put(births)
        loops = (self._bus_loop(), self.host.run_commits(), self.host.run_retain(), self._ticks())
        self._tasks = [asyncio.create_task(loop) for loop in loops]

    async def _bus_loop(self) -> None:
        while True:
            await self.host._receive(self.bus)  # type: ignore[arg-type]

    async def _ticks(self) -> None:
        while True:
            await asyncio.sleep(_DERIVE_S)
            self.derivation.tick()

    def check(self) -> None:
        """A loop that ended says why."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def acked(self, offset: int) -> None:
        """Wait for the acknowledgement of a row."""
        while self.bus.acked < offset:
            await asyncio.sleep(0.01)
            self.check()

    async def end(self) -> None:
        self.host.close()
        await self._tasks[1]
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.host.release()
        try:
            self.writer.retain(self.clock.now(), force=True)
        except Unavailable as error:
            raise RuntimeError("not sealed") from error


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


# ------------------------------------------------------------------------------------ full speed


async def full_speed(seconds: int, size: int) -> dict[str, float]:
    """CPU of so many seconds of plant time, as fast as it goes."""
    with tempfile.TemporaryDirectory() as place:
        rig = _Rig(Path(place) / "historian")
        edge = Edge1(rig.plant, START)
        births = edge.births()
        made = list(edge.rows(seconds, size))
        sent = [m for m, _, _ in made]
        samples = sum(m.samples for m in sent)
        cpu, begun = _cpu(), time.perf_counter()
        rig.begin(births)
        for message in sent:
            rig.clock.advance(max(0, message.time - rig.clock.now()))
            rig.bus.put([message.message])
            while rig.host.intake.queued > _AHEAD or len(rig.bus._due) > 256:
                await asyncio.sleep(0)
                rig.check()
        await rig.acked(sent[-1].offset)
        await rig.end()
        cpu_s, wall_s = _cpu() - cpu, time.perf_counter() - begun
        rig.writer.close()
        _compare(rig, made)
        if rig.host.intake.count.dropped_samples or rig.host.session.refused:
            raise RuntimeError("the intake dropped rows, or the session refused some")
        return {
            "samples_per_cpu_s": round(samples / cpu_s),
            "samples_per_s": round(samples / wall_s),
            "cpu_us_per_sample": round(cpu_s / samples * 1e6, 3),
            "samples": samples,
            "states": rig.derived,
            "bare_decode_per_s": round(samples / _bare(sent)),
        }


def _compare(rig: _Rig, made: Sequence[tuple[Sent, int, SampleBatch]]) -> None:
    reader = rig.plant.historian.reader(rig.folder)  # type: ignore[attr-defined]
    try:
        for m in range(MACHINES):
            paths = [s.path for s in rig.plant.assets[f"m{m}"].signals[:SIGNALS]]
            found = reader.read(paths, START, START * 2)
            wanted = SampleBatch.concat([rows for _, n, rows in made if n == m]).sorted()
            if not found.same_as(wanted):
                raise RuntimeError(f"m{m}: {len(found)} rows came back of {len(wanted)}")
    finally:
        reader.close()


def _bare(sent: Sequence[Sent]) -> float:
    begun = _cpu()
    for message in sent:
        payload = pb.Payload.FromString(message.message.payload)
        for metric in payload.metrics:
            metric.alias, metric.timestamp, metric.double_value  # noqa: B018 - that is the work
    return _cpu() - begun


# ------------------------------------------------------------------------------------ paced


async def paced(seconds: float, size: int) -> dict[str, object]:
    """From bytes to the acknowledgement after the commit, at 10,000 samples a second."""
    with tempfile.TemporaryDirectory() as place:
        rig = _Rig(Path(place) / "historian")
        edge = Edge1(rig.plant, START)
        births = edge.births()
        made = list(edge.rows(max(1, int(seconds * PACED_PER_S / 1000)), size))
        rig.begin(births)
        begun, total = time.perf_counter(), 0
        given: dict[int, float] = {}
        for message, _, _ in made:
            due = begun + total / PACED_PER_S
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            rig.clock.advance(max(0, message.time - rig.clock.now()))
            given[message.offset] = time.perf_counter()
            rig.bus.put([message.message])
            total += message.samples
        await rig.acked(made[-1][0].offset)
        await rig.end()
        rig.writer.close()
        _compare(rig, made)
        marks = np.array([m for m, _ in rig.bus.heard])
        times = np.array([t for _, t in rig.bus.heard])
        at = np.searchsorted(np.maximum.accumulate(marks), list(given), "left")
        late = (times[at] - np.array(list(given.values()))) * 1000
        return {
            "p50_ms": round(float(np.percentile(late, 50)), 1),
            "p99_ms": round(float(np.percentile(late, 99)), 1),
            "paced_per_s": round(total / (max(given.values()) - begun)),
        }
