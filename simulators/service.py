"""The simulators' process: one world, all its devices served at the plant's own addresses."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

from plant.errors import ConfigError, Unavailable
from plant.file import Damaged, read_object, set_aside, write_object
from plant.flow.port import Ports
from plant.flow.supervisor import Supervisor, Transition
from plant.model.plant import Plant
from simulators.device import Device, Setting, build
from simulators.fault import KINDS, Fault, fit
from simulators.ledger import Ledger
from simulators.preload import HOURS, run_ahead, write_preload
from simulators.scenario import gather
from simulators.world import STEP_MS, World

log = logging.getLogger("kaikou.simulators")

TICK_S = (0.05, 0.25)
"""Least and most real seconds between looks at the clock; a fast plant is looked at more often."""
KEEP_S = 10.0
ANEW_MS = 600_000
"""A world that begins anew beside an edge that has counted already begins so long ago."""
MOST_MS = HOURS * 3_600_000
SLICE = 2_000
"""Steps in one piece; the event loop gets its turn between pieces."""


def check_factor(plant: Plant, factor: float) -> None:
    """Refuse a factor at which the fastest poll cannot resolve the fastest machine.

    Polls keep their real interval while production runs ``factor`` times faster; two polls a
    cycle are the least that tell one part from the next.
    """
    if factor < 1.0:
        raise ConfigError(f"--factor {factor:g}: the plant's clock runs at 1 or faster")
    polls = [
        (int(getattr(config, "poll_ms", 0) or getattr(config, "publish_ms", 1000)), id)
        for edge in plant.edges.values()
        for id, config in edge.sources.items()
    ]
    cycles = [(a.cycle_s, a.id) for a in plant.assets.values() if a.cycle_s]
    if not polls or not cycles:
        return
    poll_ms, source = min(polls)
    cycle_s, machine = min(cycles)
    most = cycle_s * 1000.0 / (2.0 * poll_ms)
    if factor > most:
        raise ConfigError(
            f"--factor {factor:g} is too fast: {machine} would finish a part every "
            f"{cycle_s * 1000.0 / factor:.0f} ms of real time, and the fastest poll ({source}) "
            f"comes every {poll_ms} ms; two polls a part allow at most --factor {most:g}"
        )


def announcement(faults: list[Fault]) -> list[str]:
    """What will go wrong, in words."""
    return [
        f"{f.machine}: {KINDS[f.kind].text.en}" + (f" (from {f.at_s:g} s on)" if f.at_s else "")
        for f in faults
    ]


class Simulation:
    """The world with its files: state over restarts, first rows, ledger."""

    def __init__(self, plant: Plant, ports: Ports) -> None:
        self._plant = plant
        self._clock = ports.clock
        self._state = ports.data / "world.json"
        self._disk = Transition("what a restart of the simulators continues from")
        self._ledger = Ledger(ports.data)
        self._foreign = False
        self._options = ports.options
        self.devices: list[Device] = []
        seed = int(str(ports.options.get("seed") or 1))
        self.faults = gather(ports.options)
        self.world = World(plant, self._begin(MOST_MS), seed, self._ledger.note)
        fit(self.faults, self.world)

    def _begin(self, before_ms: int) -> int:
        return (self._clock.now() - before_ms) // STEP_MS * STEP_MS

    def start(self) -> None:
        """Bring the world to the present: from its saved state, or by running a new one ahead."""
        kept = self._kept()
        world = self.world
        if kept is not None:
            world.restore(kept)
            if self._clock.now() - world.now_ms > MOST_MS:
                world.now_ms = self._begin(MOST_MS)
            if kept.get("stopped"):
                self._heal()
            world.advance(self._clock.now())
        elif file := self._options.get("preload"):
            recorder = run_ahead(self._plant, world, self._clock.now())
            rows = write_preload(Path(str(file)), recorder, world)
            log.info("ran %d hours ahead: %d first rows", HOURS, rows)
        else:
            if self._foreign:  # the edge goes on counting from before
                world.now_ms = self._begin(ANEW_MS)
            world.advance(self._clock.now())
        self._begin_faults()
        self.keep()

    def _heal(self) -> None:
        """It was stopped, so what was broken has been mended meanwhile; after a crash it is not."""
        self.world.faults.clear()
        self.world.fault_rate = 0.0
        for machine in self.world:
            machine.heal()

    def _begin_faults(self) -> None:
        going = {(f.kind, f.machine): f for f in self.world.faults if f.phase != "over"}
        asked = [going.pop((f.kind, f.machine), f) for f in self.faults]
        self.world.faults = asked + list(going.values())
        self.world.fault_rate = 1.0 / self._clock.factor
        for line in announcement(asked):
            log.info("fault: %s", line)

    async def live(self) -> None:
        """Keep the world at the plant's time."""
        loop = asyncio.get_running_loop()
        kept = loop.time()
        tick_s = min(TICK_S[1], max(TICK_S[0], STEP_MS / 1000.0 / self._clock.factor))
        while True:
            now_ms = self._clock.now()
            while now_ms - self.world.now_ms >= STEP_MS:
                self.world.advance(min(now_ms, self.world.now_ms + SLICE * STEP_MS))
                await asyncio.sleep(0)
            for device in self.devices:
                await device.show()
            self._ledger.flush()
            if loop.time() - kept >= KEEP_S:
                kept = loop.time()
                self._keep_again()
            await asyncio.sleep(tick_s)

    def keep(self, stopped: bool = False) -> None:
        """Save what a restart continues from; ``stopped`` on the way out."""
        write_object(self._state, {**self.world.snapshot(), "stopped": stopped})
        self._ledger.flush()

    def _keep_again(self) -> None:
        """The same while devices are served, who go on where the disk takes nothing."""
        try:
            self.keep()
        except OSError as error:
            self._disk.down(error.strerror)
        else:
            self._disk.up()

    def _kept(self) -> Mapping[str, Any] | None:
        """The saved state; None where there is none that this version understands."""
        try:
            kept = read_object(self._state, "")
            if kept is not None:  # a trial, not to stop half-way
                World(self._plant, self.world.now_ms).restore(kept)
        except (Damaged, LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as e:
            self._foreign = True
            aside = set_aside(self._state)
            log.warning(
                "%s is not of this version or damaged (%s %s) and is kept as %s: machines and "
                "registers begin anew", self._state, type(e).__name__, str(e)[:200], aside.name,
            )  # fmt: skip
            return None
        return kept


async def run(plant: Plant, ports: Ports) -> None:
    """Serve every device of a simulated plant until stopped.

    ``ports.options``: ``preload`` (file of first rows to write at the first start), ``faults``
    (names as on the command line), ``scenario`` (a YAML file), ``seed``; for recorded machines
    ``file`` (the CSV) and ``rows_per_s`` (real rows a second, 0: the next with every answer).
    """
    check_factor(plant, ports.clock.factor)
    simulation = Simulation(plant, ports)
    record = ports.options.get("file")
    setting = Setting(
        plant,
        simulation.world,
        ports.data,
        Path(str(record)) if record else None,
        float(str(ports.options.get("rows_per_s", 1.0))),
    )
    devices = simulation.devices = build(setting)
    simulation.start()
    async with AsyncExitStack() as stack:
        stack.callback(simulation.keep, stopped=True)
        for device in devices:
            stack.push_async_callback(device.close)
            if not device.slow:
                await _open(device)
        log.info("simulated devices at %s", ", ".join(_place(d) for d in devices))
        async with Supervisor() as supervisor:
            supervisor.on_signals()
            supervisor.source("world", simulation.live, retry=False)
            for device in devices:
                if device.slow:
                    supervisor.source(f"open {_place(device)}", partial(_open, device), retry=False)
            ports.ready()


async def _open(device: Device) -> None:
    try:
        await device.open()
    except OSError as error:
        text = f"simulated {_place(device)} is not to be had: {error.strerror}"
        raise Unavailable(text) from error


def _place(device: Device) -> str:
    return f"{device.line.kind} {device.line.host}:{device.line.port}"
