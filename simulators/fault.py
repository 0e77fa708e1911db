"""What goes wrong: faults of machines, sensors, meters and devices, on a clock of their own.

Fault time is life time: its seconds are real seconds whatever the plant's factor is (the world is
told the ratio), so a bearing that is to last twenty minutes does.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from plant.errors import ConfigError
from plant.model.signal import Label
from simulators.lathe import Lathe
from simulators.machine import Machine
from simulators.mill import Mill
from simulators.press import Press
from simulators.station import Station
from simulators.surroundings import Surroundings


class Stage(Surroundings, Protocol):
    """Surroundings whose machines a fault can reach."""

    @property
    def machines(self) -> Mapping[str, Machine]:
        """By asset id."""


@dataclass(slots=True)
class Fault:
    """One fault of one machine.

    at_s     fault seconds after the live start at which it begins
    clock_s  fault seconds since the live start
    phase    "waiting", "active", "failed" or "over"
    """

    kind: str
    machine: str
    at_s: float = 0.0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    clock_s: float = 0.0
    phase: str = "waiting"

    def step(self, world: Stage, dt_s: float) -> None:
        """Let ``dt_s`` of fault time pass."""
        self.clock_s += dt_s
        if self.phase == "over" or self.clock_s < self.at_s:
            return
        kind = KINDS[self.kind]
        if self.phase == "waiting":
            self.phase = "active"
            world.note(self.machine, "fault", fault=self.kind, phase="active", **self.parameters)
        was = self.phase
        self.phase = kind.act(self, world.machines[self.machine], self.clock_s - self.at_s)
        if self.phase != was:
            world.note(self.machine, "fault", fault=self.kind, phase=self.phase)

    def number(self, name: str) -> float:
        """A parameter, its default where the fault gives none."""
        return float(self.parameters.get(name, KINDS[self.kind].defaults[name]))


Act = Callable[[Fault, Any, float], str]
"""(fault, machine, fault seconds since it began) -> phase."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault.

    usual     the machine it happens to unless another is named
    defaults  its parameters and their usual values
    on        the class of machines it can happen to
    """

    act: Act
    usual: str
    text: Label
    defaults: Mapping[str, Any]
    on: type[Machine] = Machine


def _bearing_wear(fault: Fault, lathe: Lathe, age_s: float) -> str:
    life_s = fault.number("life_s")
    lathe.curve = fault.number("curve")
    if age_s < life_s:
        lathe.wear = age_s / life_s
        return "active"
    if age_s < life_s + fault.number("repair_s"):
        lathe.wear = 1.0
        lathe.stop(1.0)
        return "failed"
    lathe.wear = 0.0
    return "over"


def _loose_sensor(fault: Fault, lathe: Lathe, age_s: float) -> str:
    over = age_s >= fault.number("duration_s")
    lathe.looseness = 0.0 if over else min(1.0, age_s / fault.number("onset_s"))
    return "over" if over else "active"


def _tool_wear(fault: Fault, mill: Mill, age_s: float) -> str:
    over = age_s >= fault.number("life_s") * 1.5
    mill.tool_wear = 0.0 if over else min(1.0, age_s / fault.number("life_s"))
    return "over" if over else "active"


def _jam(fault: Fault, station: Station, age_s: float) -> str:
    if age_s >= fault.number("duration_s"):
        return "over"
    station.stop(1.0)
    return "active"


def _wire_break(fault: Fault, press: Press, age_s: float) -> str:
    loop = str(fault.parameters.get("loop", KINDS[fault.kind].defaults["loop"]))
    if age_s >= fault.number("duration_s"):
        press.broken.discard(loop)
        return "over"
    press.broken.add(loop)
    return "active"


def _meter_reset(fault: Fault, machine: Machine, age_s: float) -> str:
    machine.meter_kwh = 0.0
    return "over"


def _device_offline(fault: Fault, machine: Machine, age_s: float) -> str:
    on = age_s < fault.number("duration_s")
    machine.link.silent = on and bool(fault.number("silent"))
    machine.link.offline = on and not machine.link.silent
    return "active" if on else "over"


def _late_reply(fault: Fault, machine: Machine, age_s: float) -> str:
    on = age_s < fault.number("duration_s")
    machine.link.late_s = fault.number("delay_s") if on else 0.0
    return "active" if on else "over"


KINDS: Mapping[str, Kind] = {
    "bearing-wear": Kind(
        _bearing_wear,
        "lathe",
        Label(
            "主轴轴承逐渐磨损：约5分钟后报警，约20分钟后停机",
            "the spindle bearing wears: a warning after about 5 minutes, failure after about 20",
        ),
        {"life_s": 1200.0, "curve": 2.0, "repair_s": 900.0},
        Lathe,
    ),
    "wire-break": Kind(
        _wire_break,
        "press",
        Label("4-20 mA 回路断线5分钟", "the wire of a 4-20 mA loop is broken for 5 minutes"),
        {"loop": "oil_temperature", "duration_s": 300.0},
        Press,
    ),
    "meter-reset": Kind(
        _meter_reset,
        "compressor",
        Label("电能表读数归零", "the meter's register starts again at zero"),
        {},
    ),
    "device-offline": Kind(
        _device_offline,
        "press",
        Label("设备离线2分钟", "the device is off the network for 2 minutes"),
        {"duration_s": 120.0, "silent": 0.0},
    ),
    "late-reply": Kind(
        _late_reply,
        "gauge",
        Label("设备应答迟到，持续2分钟", "the device answers too late for 2 minutes"),
        {"delay_s": 3.0, "duration_s": 120.0},
    ),
    "jam": Kind(
        _jam,
        "washer",
        Label("工件卡住3分钟", "a part is stuck for 3 minutes"),
        {"duration_s": 180.0},
        Station,
    ),
    "loose-sensor": Kind(
        _loose_sensor,
        "lathe",
        Label("振动传感器松动", "the vibration sensor comes loose"),
        {"onset_s": 120.0, "duration_s": 1800.0},
        Lathe,
    ),
    "tool-wear-scrap": Kind(
        _tool_wear,
        "mill",
        Label(
            "铣刀磨损，约15分钟内废品率升到三分之一，然后换刀",
            "the cutter wears until a third of the parts is scrap (15 minutes), then it is changed",
        ),
        {"life_s": 900.0},
        Mill,
    ),
}
"""Fault name -> what it is."""


def parse(text: str) -> Fault:
    """A fault as given on the command line: ``NAME[:MACHINE][@SECONDS]``.

    >>> parse("jam:press@90")
    Fault(kind='jam', machine='press', at_s=90.0, parameters={}, clock_s=0.0, phase='waiting')
    """
    rest, _, seconds = text.partition("@")
    name, _, machine = rest.partition(":")
    if name not in KINDS:
        raise ConfigError(f"no fault {name!r}; known: {', '.join(KINDS)}")
    try:
        at_s = float(seconds) if seconds else 0.0
    except ValueError:
        raise ConfigError(f"{text!r}: {seconds!r} is no number of seconds") from None
    return Fault(name, machine or KINDS[name].usual, at_s)


def fit(faults: Sequence[Fault], world: Stage) -> None:
    """Complain of what cannot happen to the machines that there are."""
    problems = []
    for fault in faults:
        kind = KINDS[fault.kind]
        machine = world.machines.get(fault.machine)
        if machine is None:
            known = ", ".join(world.machines)
            problems.append(f"{fault.kind}: no simulated machine {fault.machine!r}; known: {known}")
        elif not isinstance(machine, kind.on):
            problems.append(f"{fault.kind}: cannot happen to {fault.machine!r}")
        unknown = sorted(set(fault.parameters) - set(kind.defaults))
        if unknown:
            known = ", ".join(kind.defaults) or "none"
            problems.append(f"{fault.kind}: no parameter {', '.join(unknown)}; known: {known}")
    if problems:
        raise ConfigError("\n".join(problems))
