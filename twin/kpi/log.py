"""Everything that the figures of one machine are made of, read from a historian once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from plant.flow.port import HistorianReader
from plant.model.plant import Plant
from twin.calendar import Shift, shifts
from twin.kpi.count import Counts, inspecting, read_counts
from twin.kpi.said import Held, resolve, timeline
from twin.kpi.statement import statements
from twin.run import StateRun, state_runs

MINOR_STOP_MS = 300_000
"""An unexplained stop shorter than this is a minor stop; ISO 22400-2 sets no bound."""


@dataclass(frozen=True, slots=True, eq=False)
class MachineLog:
    """The log of ``asset`` over [start, end), ms UTC.

    States, reasons and modes reach ``MINOR_STOP_MS`` further on both sides (after the end no
    further than rows go), so that a stop at the edge is judged by its whole length.

    name      whose figures these are: the machine's id, or the line's
    products  from when on which product was made; "" where none was told
    counts    None where nothing counts what is made
    """

    plant: Plant
    name: str
    asset: str
    start: int
    end: int
    states: Sequence[StateRun]
    reasons: Sequence[Held]
    modes: Sequence[Held]
    products: Sequence[tuple[int, str]]
    shifts: Sequence[Shift]
    counts: Counts | None

    @property
    def seen(self) -> tuple[int, int]:
        """The range of the states, ms UTC."""
        return self.states[0].start, self.states[-1].end


def read_log(
    reader: HistorianReader,
    plant: Plant,
    asset: str,
    start: int,
    end: int,
    *,
    known_at: int | None = None,
) -> MachineLog:
    """The log of a machine over [start, end); no ``end`` in the future.

    ``known_at`` (ms UTC) reads as the twin then believed: rows, reasons, products and modes.
    Raises ValueError where the range is empty or the asset is no machine of the plant.
    """
    if end <= start:
        raise ValueError("the range is empty")
    machine = plant.assets.get(asset)
    if machine is None:
        raise ValueError(f"no asset {asset!r}")
    first = start - MINOR_STOP_MS
    beyond = reader.read([f"{asset}/state"], end, end + MINOR_STOP_MS, known_at)
    last = int(beyond.source_time[-1]) if len(beyond) else end
    states = state_runs(reader, asset, first, last, known_at)
    said = statements(reader, plant, asset, states, known_at=known_at)
    return MachineLog(
        plant=plant,
        name=asset,
        asset=asset,
        start=start,
        end=end,
        states=states,
        reasons=resolve(said.reasons, first, last),
        modes=resolve(said.modes, first, last),
        products=timeline(said.products, start, end),
        shifts=shifts(plant.calendar, plant.timezone, first, last),
        counts=read_counts(reader, machine, start, end, known_at=known_at),
    )


def line_log(
    reader: HistorianReader,
    plant: Plant,
    line: str,
    constraint: MachineLog,
    *,
    known_at: int | None = None,
) -> MachineLog:
    """The log of a line: the constraint's times, and units as they are counted where inspected.

    Where no station tells good from rejected, the constraint's own counts stay.
    """
    station = inspecting(plant, line)
    counts = constraint.counts
    if station is not None:
        counts = read_counts(reader, station, constraint.start, constraint.end, known_at=known_at)
    return replace(constraint, name=line, counts=counts)
