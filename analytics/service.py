"""The process: stored rows to the estimators in time order, what they find to the outbox.

Analytics reads what the historian holds and nothing else, so every figure can be computed again
from the same rows. It goes as far as the twin says that the edges are complete and the states
final, one cycle behind, and remembers in its outbox, in the transaction of what it published, how
far it came.
"""

import asyncio
import logging

import numpy as np

from analytics.course import Course
from plant.errors import ConfigError, Unavailable
from plant.flow.clock import Clock
from plant.flow.port import HistorianReader, Ports
from plant.flow.supervisor import Supervisor, Transition
from plant.model.plant import ANALYTICS, TWIN, Plant
from plant.model.signal import Origin
from plant.outbox.uplink import Uplink

log = logging.getLogger("kaikou.analytics")

CYCLE_S = 5.0
FIRST_LOOK_MS = 24 * 3_600_000
"""A new analytics begins so long before what is complete now."""
ENOUGH = 2000
"""Samples of one commit while much is worked off."""


async def run(plant: Plant, ports: Ports) -> None:
    """Run until SIGTERM or SIGINT."""
    if ports.reader is None:
        raise ConfigError("analytics needs a historian to read from")
    uplink = Uplink(
        plant.group,
        ANALYTICS,
        plant.broker,
        ports.data,
        plant.published(Origin.ANALYTICS),
        ports.clock,
        plant.host_id,
        plant_hash=plant.hash,
    )
    course = Course(plant, uplink.saved, ports.clock.factor)
    log.info("%d methods over %d signals", len(course.estimators), len(course.paths))
    async with Supervisor() as supervisor:
        supervisor.on_signals()
        supervisor.start("uplink", uplink.run)
        supervisor.source("course", lambda: _follow(plant, ports, course, uplink))
        supervisor.start("end", lambda: _end(supervisor, uplink))
        ports.ready()


async def _end(supervisor: Supervisor, uplink: Uplink) -> None:
    await supervisor.stopping.wait()
    uplink.close()


async def _follow(plant: Plant, ports: Ports, course: Course, uplink: Uplink) -> None:
    if not course.estimators or ports.reader is None:
        return
    reader, transition = await _open(ports), Transition("historian")
    try:
        bound = 0
        while True:
            await asyncio.sleep(CYCLE_S)
            try:
                seen = await asyncio.to_thread(complete, reader, plant, ports.clock)
                # where no states are told: those of the rows up to here came in the last cycle
                await _advance(reader, course, uplink, bound, ports.clock.now())
                bound = seen
                transition.up()
            except Unavailable as error:
                transition.down(error)
    finally:
        reader.close()


async def _open(ports: Ports) -> HistorianReader:
    assert ports.reader is not None  # noqa: S101 - asked before
    waiting = Transition("historian")
    while True:
        try:
            reader = await asyncio.to_thread(ports.reader)
        except Unavailable as error:
            waiting.down(error)
            await asyncio.sleep(CYCLE_S)
        else:
            waiting.up()
            return reader


def complete(reader: HistorianReader, plant: Plant, clock: Clock) -> int:
    """Up to which source time (ms UTC) all rows are stored and states are final; 0: not known."""
    edges = [f"{edge}/complete_up_to" for edge in plant.edges]
    rows = reader.as_of([*edges, f"{TWIN}/final_up_to"], clock.now() + 1)
    told = set(rows.signal.tolist())
    if not told >= set(range(len(edges))) or np.isnan(rows.value).any():
        return 0
    return int(rows.value.min())


async def _advance(
    reader: HistorianReader, course: Course, uplink: Uplink, bound: int, now: int
) -> None:
    if bound <= 0:
        return
    if not course.until:
        course.begin(bound - FIRST_LOOK_MS)
    course.received = course.received or now
    await asyncio.to_thread(course.look_for_late, reader)
    if course.resumed:
        await asyncio.to_thread(course.warm, reader)
    while course.next() <= bound:
        before = course.done
        found, events = await asyncio.to_thread(course.catch_up, reader, bound, ENOUGH)
        if course.done == before:  # worked on again, nothing new
            continue
        live = course.next() > bound
        accepted = uplink.accept(found, events=events, state=course.saved(), live=live)
        if not live:
            await accepted
