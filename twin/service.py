"""The twin's process: hears the plant, stores it, derives states, says that it is there."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from plant.errors import ConfigError, Unavailable
from plant.flow.port import HistorianWriter, Ports
from plant.flow.supervisor import Supervisor, Transition
from plant.model.plant import TWIN, Plant
from plant.outbox.uplink import Uplink
from twin.copy import Copy
from twin.derive import Derivation
from twin.host import Host
from twin.kpi.current import CurrentFigures
from twin.recorded import Recorded
from twin.request import Requests
from twin.resume import Resume
from twin.statement import Vocabulary
from twin.transfer.follow import identity

log = logging.getLogger("kaikou.twin")

DERIVE_S = 0.25


async def run(plant: Plant, ports: Ports) -> None:
    """Run until SIGTERM or SIGINT; what was heard by then is committed before this returns."""
    if ports.writer is None:
        raise ConfigError("the twin needs a historian to write to")
    writer = claimed(ports.writer, plant)
    try:
        await _serve(plant, ports, writer)
    finally:
        writer.close()


def claimed(opener: Callable[[], HistorianWriter], plant: Plant) -> HistorianWriter:
    """An opened writer that this plant may use; what it may not use is closed again."""
    writer = opener()
    try:
        claim(writer, plant)
    except BaseException:  # a writer left open would lock out the next try
        writer.close()
        raise
    return writer


def claim(writer: HistorianWriter, plant: Plant) -> None:
    """Refuse to mix simulated with real values; a new historian takes this plant's."""
    mine = "simulated" if plant.simulated else "real"
    held = writer.remember("values", mine)
    if held != mine:
        raise ConfigError(
            f"the historian holds {held} values and this plant's are {mine}: "
            "give it a data folder of its own (--data)"
        )


async def _serve(plant: Plant, ports: Ports, writer: HistorianWriter) -> None:
    clock = ports.clock
    derivation = Derivation(plant, clock, lambda batch, live: uplink.accept(batch, live=live))
    uplink = Uplink(
        plant.group,
        TWIN,
        plant.broker,
        ports.data,
        derivation.signals,
        clock,
        plant.host_id,
        plant_hash=plant.hash,
    )
    copy = _copy(plant, ports, writer)
    recorded = Recorded(uplink.waiting_events())
    requests = Requests(Vocabulary.of(plant), clock, uplink, plant.group, recorded)
    uplink.on_command = requests.on_command
    host = Host(plant, plant.broker, writer, clock, derivation.heard, recorded)
    derivation.attach(host)
    derivation.run = uplink.outbox.current
    resume, keeping = Resume(ports.data), Transition("states to go on from")
    if ports.reader is not None:
        reader = ports.reader()
        try:
            snapshots = resume.read(derivation.fingerprints())
            await asyncio.to_thread(derivation.warm, reader, snapshots)
            await _keep(derivation, resume, keeping)
        finally:
            reader.close()
    figures = CurrentFigures(plant, clock, ports.reader, derivation.tell) if ports.reader else None
    try:
        async with Supervisor() as supervisor:
            supervisor.on_signals()
            commits = supervisor.start("commits", host.run_commits)
            supervisor.start("uplink", uplink.run)
            supervisor.source("bus", host.run_bus)
            supervisor.source("ticks", host.run_ticks)
            supervisor.source("sealing", host.run_retain)
            if copy is not None:
                supervisor.source("copy", copy.run, contained=True)
            supervisor.source("requests", requests.run, contained=True)
            supervisor.source("derive", partial(_derive, derivation, resume, keeping))
            if figures is not None:
                supervisor.source("figures", figures.run, contained=True)
            supervisor.start("end", partial(_end, supervisor, host, uplink, commits))
            ports.ready()
    finally:
        host.release()
        if copy is not None:
            await asyncio.to_thread(copy.close)
        if figures is not None:
            await asyncio.to_thread(figures.close)


def _copy(plant: Plant, ports: Ports, writer: HistorianWriter) -> Copy | None:
    """The second historian, where the plant has one."""
    if ports.copy is None or ports.reader is None:
        return None
    opener = partial(claimed, ports.copy, plant)
    return Copy(ports.reader, opener, identity(writer), ports.clock)


async def _derive(derivation: Derivation, resume: Resume, keeping: Transition) -> None:
    while True:
        await asyncio.sleep(DERIVE_S)
        derivation.tick()
        await _keep(derivation, resume, keeping)


async def _keep(derivation: Derivation, resume: Resume, keeping: Transition) -> None:
    """Write down what a restart begins from, where that is another than before."""
    kept = derivation.keep()
    if not kept:
        return
    try:
        await asyncio.to_thread(resume.write, kept)
    except Unavailable as error:
        keeping.down(error)
    else:
        keeping.up()


async def _end(
    supervisor: Supervisor, host: Host, uplink: Uplink, commits: asyncio.Task[None]
) -> None:
    """Downstream: the uplink says good-bye, then what is queued is committed."""
    await supervisor.stopping.wait()
    uplink.close()
    host.close()
    await commits
    log.info(
        "%d samples stored, %d rows came again", host.intake.count.samples, host.intake.count.again
    )
