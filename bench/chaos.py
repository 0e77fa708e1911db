"""SIGKILL over edge, broker, twin and influxd under load; nothing accepted may be missing.

``python -m bench chaos --seconds 180 --kills 90 --rate 2000 --json``
``python -m bench chaos --historian influxdb --copy embedded``

Every row that the edge made durable is appended to a ledger by a hook the bench hands in
(``bench.ledger``). When the outbox is empty, at most 60 s after the last kill, each line must be
something a device served, and must be in the historian with the same signal, time, value and
status; so in the copy, once it has caught up. Two thirds of the twin's kills wait until it is in
the midst of a write, a seal, a merge, the building of tiers, a page of the copy (``bench.moment``);
``moments`` counts the kills that did fall there. ``--bug ack-early`` runs a twin, built here, that
acknowledges before it commits: then ``missing`` must not be 0. With ``--bug mark-early`` the mark
of the copy moves before its rows come: then ``copy_missing`` must not be 0.
"""

import argparse
import asyncio
import contextlib
import json
import random
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import apsw
import numpy as np

from bench.files import Files
from bench.ledger import ledger_paths, read_ledger
from bench.machine import machine
from bench.moment import MOMENTS
from bench.rig import Device, folder, serving
from bench.scene import Scene, set_scene
from bench.tally import count, of_devices
from bench.victim import Kill, Process, Server, Victim, catch, plan
from plant.errors import Unavailable
from plant.flow.port import HistorianReader

SIGNALS = 50
VICTIMS = ("edge", "broker", "twin", "influxd")
KINDS = ("embedded", "influxdb")
BUGS = ("ack-early", "mark-early")
DRAIN_S = 60.0
QUIET_S = 4.0
REST_S = 2.0
BUILT_S = 15.0


async def run(given: argparse.Namespace) -> dict[str, object]:
    """Drive the whole; the figures."""
    chance = random.Random(given.seed)
    devices = [Device(n, SIGNALS) for n in range(max(1, given.rate // SIGNALS))]
    with folder() as place:
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(serving(devices))
            scene = await asyncio.to_thread(set_scene, given, place, devices)
            stack.push_async_callback(_stop, scene, ["edge", "twin", "broker", "influxd"])
            try:
                figures = await _drive(scene, chance)
            except BaseException:
                for log in sorted(place.glob("**/*.log")):
                    tail = log.read_text("utf-8", "replace")[-3000:]
                    print(f"--- {log.name}\n{tail}", file=sys.stderr)
                raise
            finally:
                if given.keep:
                    await asyncio.to_thread(shutil.copytree, place, given.keep)
            return figures


async def _drive(scene: Scene, chance: random.Random) -> dict[str, object]:
    given, victims = scene.given, scene.victims
    for name in ("broker", "twin", "edge"):
        victims[name].start()
    async with asyncio.TaskGroup() as group:
        watch = group.create_task(_watch(victims))
        await _until(lambda: len(read_ledger(scene.ledger)) > 0, 60.0, "no row became durable")
        names = [v for v in given.victims if v in victims]
        kills = plan(given.seconds, given.kills, names, _moments(given), chance)
        started = time.monotonic()
        silence = group.create_task(_fall_silent(scene))
        await _kill_all(scene, kills, chance)
        killed_s = time.monotonic() - started
        await silence
        drain_s = await _drain(scene)
        caught_up_s = await _caught_up(scene)
        await _built(scene)
        watch.cancel()
    await _stop(scene, ["edge"])
    await asyncio.to_thread(victims["twin"].end)
    figures = await asyncio.to_thread(count, scene.plant, scene.place, scene.stores, scene.devices)
    edge, influxd = victims["edge"], victims.get("influxd")
    return {
        "historian": given.historian,
        "copy": given.copy,
        **figures,
        **({"copy_catch_up_s": round(caught_up_s, 1)} if "copy" in scene.stores else {}),
        "asked": int(given.rate * given.seconds),
        "kills": {name: len(v.kills) for name, v in victims.items()},
        "moments": {
            name: scene.caught[name] for name in [*_moments(given), *_IN_POST[not influxd :]]
        },
        "killed_s": round(killed_s, 1),
        "came_back": {n: v.came_back for n, v in victims.items() if isinstance(v, Process)},
        "edge_restart_s": _restart_s(scene.place / "ledger.starts", edge.kills),
        **({"influxd_down_s": _median(influxd.down_s)} if isinstance(influxd, Server) else {}),
        "drain_s": round(drain_s, 1),
        "outbox_rows_left": outbox_rows(scene.data),
    }


_IN_POST = ["influxd in post"]


def _moments(given: argparse.Namespace) -> list[str]:
    """Those that can be, with these historians."""
    used = {given.historian, given.copy}
    never = set() if "embedded" in used else {"seal", "merge"}
    never |= set() if "influxdb" in used else {"post"}
    never |= {"adopt"} if given.copy == "none" else set()
    return [name for name in MOMENTS if name not in never]


# ---------------------------------------------------------------------------------- while it runs


async def _watch(victims: Mapping[str, Victim]) -> None:
    """Whoever ended because something was away comes again."""
    while True:
        for victim in victims.values():
            if isinstance(victim, Process):
                victim.revive()
        await asyncio.sleep(0.1)


async def _fall_silent(scene: Scene) -> None:
    """Three devices end before the others: what kills spoil of theirs nothing later mends."""
    for device in scene.devices[:3]:
        await asyncio.sleep(scene.given.seconds / 4)
        await device.server.close()


async def _until(done: Callable[[], bool], timeout_s: float, what: str) -> float:
    """Ask again and again; the seconds it took."""
    start = time.monotonic()
    while True:
        with contextlib.suppress(Unavailable):
            if await asyncio.to_thread(done):
                return time.monotonic() - start
        if time.monotonic() - start > timeout_s:
            raise TimeoutError(f"{what} within {timeout_s:.0f} s")
        await asyncio.sleep(0.1)


async def _kill_all(scene: Scene, kills: Sequence[Kill], chance: random.Random) -> None:
    """Every victim by its own plan: who waits for its moment holds up nobody else."""
    start = time.monotonic()

    async def one_by_one(name: str) -> None:
        for kill in [k for k in kills if k.victim == name]:
            rest = chance.uniform(0.0, REST_S)  # of one that waited longer for its last moment
            await asyncio.sleep(max(rest, start + kill.at - time.monotonic()))
            inside = await asyncio.to_thread(_kill, scene, kill, chance)
            text = f"{time.monotonic() - start:7.1f} s  {name} {' '.join(inside)}"
            print(text.rstrip(), file=sys.stderr)
            await asyncio.to_thread(scene.victims[name].start)

    async with asyncio.TaskGroup() as group:
        for name in scene.victims:
            group.create_task(one_by_one(name))


def _kill(scene: Scene, kill: Kill, chance: random.Random) -> list[str]:
    """Kill; the moments that it fell into. What a dead twin left in the file stands still."""
    victim, marks = scene.victims[kill.victim], scene.marks
    if kill.moment:
        catch(marks, kill.moment, chance)
    before = marks.entered("post")
    killed = len(victim.kills)
    victim.kill()
    if len(victim.kills) == killed:
        return []
    if kill.victim == "twin":
        inside = marks.now()
        marks.clear()
    elif kill.victim == "influxd" and before and marks.entered("post") == before:
        inside = list(_IN_POST)
    else:
        inside = []
    scene.caught.update(inside)
    return inside


async def _drain(scene: Scene) -> float:
    """Devices fall silent; all that waits in the outbox must come before the limit."""
    start = time.monotonic()
    before = len(read_ledger(scene.ledger))
    await _until(
        lambda: len(read_ledger(scene.ledger)) > before, DRAIN_S, "nothing more was accepted"
    )
    for device in scene.devices:
        await device.server.close()
    paths = ledger_paths(scene.plant, "edge1")
    reader = scene.plant.historian.reader(scene.data / "historian")  # type: ignore[attr-defined]
    try:
        size, quiet_since = -1, start
        while (now := time.monotonic()) - start < scene.given.drain:
            grown = len(of_devices(read_ledger(scene.ledger), paths))
            if grown != size:  # the edge still says of one device after the other that it is gone
                size, quiet_since = grown, now
            elif now - quiet_since > QUIET_S:
                with contextlib.suppress(Unavailable):
                    if not await asyncio.to_thread(_waiting, scene, reader, paths):
                        break
            await asyncio.sleep(1.0)
    finally:
        reader.close()
    return time.monotonic() - start


def _waiting(scene: Scene, reader: HistorianReader, paths: Sequence[str]) -> int:
    """Lines of the last five minutes that the historian does not show yet."""
    lines = of_devices(read_ledger(scene.ledger), paths)
    last = int(lines["time"].max())
    lines = lines[lines["time"] > last - 300_000]
    rows = reader.read(paths, last - 300_000 + 1, last + 1)
    have = set(zip(rows.signal.tolist(), rows.source_time.tolist(), strict=True))
    return len(set(zip(lines["signal"].tolist(), lines["time"].tolist(), strict=True)) - have)


async def _caught_up(scene: Scene) -> float:
    """Until the copy has followed to where the historian is now, s."""
    if "copy" not in scene.stores:
        return 0.0
    first, second = scene.stores["historian"], scene.stores["copy"]
    upto = await asyncio.to_thread(first.received)
    return await _until(
        lambda: second.followed() >= upto, scene.given.drain, "the copy did not catch up"
    )


async def _built(scene: Scene) -> None:
    """A while for the tiers, so that there are cells that kills may have spoiled."""
    for store in scene.stores.values():
        if isinstance(store, Files):
            with contextlib.suppress(TimeoutError):
                await _until(store.built, BUILT_S, "")


async def _stop(scene: Scene, names: Sequence[str]) -> None:
    for name in names:
        if name in scene.victims:
            await asyncio.to_thread(scene.victims[name].stop)


def outbox_rows(data: Path) -> int:
    """Rows that still wait in the outbox of an edge that has ended."""
    with contextlib.closing(apsw.Connection(str(data / "edge1" / "outbox.db"))) as db:
        rows = db.execute("SELECT count(*) FROM row").get
    return int(rows)


# ---------------------------------------------------------------------------------- figures


def _restart_s(starts: Path, kills: Sequence[float]) -> float | None:
    """Median from a kill of the edge to its next durable row, s."""
    times = [float(line) for line in starts.read_text().split()] if starts.exists() else []
    waits = [min((t - k for t in times if t > k), default=None) for k in kills]
    return _median([w for w in waits if w is not None])


def _median(seconds: Sequence[float]) -> float | None:
    return round(float(np.median(seconds)), 2) if seconds else None


def main(argv: list[str]) -> int:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(prog="bench chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--kills", type=int, default=90)
    parser.add_argument("--rate", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--historian", choices=KINDS, default="embedded", help="of record")
    parser.add_argument("--copy", choices=["none", *KINDS], default="none", help="that follows it")
    parser.add_argument("--victims", nargs="+", choices=VICTIMS, default=VICTIMS)
    parser.add_argument("--drain", type=float, default=DRAIN_S, help="s after the last kill")
    parser.add_argument("--bug", choices=BUGS, help="a twin that breaks the promise")
    parser.add_argument("--keep", help="copy the data folder here, to look at")
    parser.add_argument("--json", action="store_true", help="(always: the last line is JSON)")
    given = parser.parse_args(argv)
    if given.copy == given.historian:
        parser.error("a copy is another kind than the historian")
    if given.copy == "none" and given.bug == "mark-early":
        parser.error("mark-early is a bug of a copy")
    figures = asyncio.run(run(given))
    print(json.dumps({"bench": "chaos", "bug": given.bug, **figures, "machine": machine()}))
    return 0
