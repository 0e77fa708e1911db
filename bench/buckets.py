"""What the InfluxDB historian holds, without its reader: Flux over plain HTTP."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime

import numpy as np

from bench.influx import Influx
from bench.stored import COPY, NO_VALUE, Stored
from plant.errors import Rejected, Unavailable


class Buckets:
    """The buckets of the InfluxDB historian."""

    def __init__(self, influx: Influx, prefix: str) -> None:
        self.influx = influx
        self.prefix = prefix

    def _flux(self, bucket: str, *steps: str) -> Iterator[dict[str, str]]:
        name = json.dumps(f"{self.prefix}_{bucket}")
        chain = [f"from(bucket: {name})", "range(start: 0, stop: 2100-01-01T00:00:00Z)", *steps]
        return _table(self.influx.flux(" |> ".join(chain)))

    def _last(self, measurement: str, field_: str, *steps: str) -> int:
        wanted = f'filter(fn: (r) => r._measurement == "{measurement}" and r._field == "{field_}")'
        try:
            rows = list(self._flux("mark", wanted, *steps, "last()"))
        except Rejected as error:
            raise Unavailable(str(error)) from error
        return max((int(row["_value"]) for row in rows), default=0)

    def received(self) -> int:
        """See ``Store``."""
        return self._last("commit", "upto")

    def followed(self) -> int:
        """See ``Store``."""
        return self._last("mark", "offset", f'filter(fn: (r) => r.edge == "{COPY}")')

    def rows(self, index: Mapping[str, int]) -> Stored:
        """See ``Store``."""
        found = Stored()
        for machine in sorted({path.rpartition("/")[0] for path in index}):
            where = f'r._measurement == "telemetry" and r.machine == {json.dumps(machine)}'
            for place, at, fields in self._points("raw", f"filter(fn: (r) => {where})"):
                number = index.get("/".join(place))
                if number is not None:
                    sample = number, at, _value(fields), int(fields["q"])
                    found.add(sample, int(fields["rt"]))
        wanted = 'filter(fn: (r) => r._measurement == "gap" and r._field == "gap")'
        found.gaps.update(json.loads(row["_value"])[3] for row in self._flux("event", wanted))
        return found

    def cells(self) -> tuple[int, int]:
        """See ``Store``; here an hour with rows and without a cell is wrong, too."""
        rows: dict[tuple[str, str], dict[int, tuple[int, dict[str, str]]]] = {}
        wanted = 'filter(fn: (r) => r._measurement == "telemetry")'
        for place, at, fields in self._points("raw", wanted):
            times, received = rows.setdefault(place, {}), int(fields["rt"])
            times[at] = max(times.get(at, (0, {})), (received, fields), key=lambda v: v[0])
        total = wrong = 0
        for tier, width_ms in (("minute", 60_000), ("hour", 3_600_000)):
            brute = {
                (place, start): figures
                for place, times in rows.items()
                for start, figures in _figures(times, width_ms).items()
            }
            for place, start, fields in self._points(tier, 'filter(fn: (r) => r._field != "cell")'):
                told = tuple(fields.get(name, "") for name in _FIGURES)
                total += 1
                wrong += brute.pop((place, start), None) != tuple(
                    float(text) if text else None for text in told
                )
            wrong += len(brute) if tier == "hour" else 0
        return total, wrong

    def _points(
        self, bucket: str, *steps: str
    ) -> Iterator[tuple[tuple[str, str], int, dict[str, str]]]:
        """(machine and signal, ms UTC, fields) of every point."""
        points: dict[tuple[str, str, str, str], dict[str, str]] = {}
        for row in self._flux(bucket, *steps):
            key = row.get("machine", ""), row["signal"], row["_time"], row.get("rev", "")
            points.setdefault(key, {})[row["_field"]] = row["_value"]
        for (machine, signal, at, _), fields in points.items():
            yield (machine, signal), _ms(at), fields


_FIGURES = ("count", "low", "high", "first", "last")


def _figures(
    times: Mapping[int, tuple[int, dict[str, str]]], width_ms: int
) -> dict[int, tuple[float | None, ...]]:
    """Of the rows of one signal: start of a cell -> its figures, None where there is none."""
    inside: dict[int, list[float]] = {}
    count: Counter[int] = Counter()
    for at, (_, fields) in sorted(times.items()):
        start = at - at % width_ms
        count[start] += 1
        if "f" in fields or "i" in fields:
            inside.setdefault(start, []).append(float(fields.get("f", fields.get("i", ""))))
    none = (None,) * 4
    return {
        start: (float(many), *((min(v), max(v), v[0], v[-1]) if v else none))
        for start, many in count.items()
        for v in [inside.get(start, [])]
    }


def _table(text: str) -> Iterator[dict[str, str]]:
    """Rows of Flux's CSV: an empty line ends a block, each block begins with its names."""
    names: list[str] = []
    for cells in csv.reader(io.StringIO(text)):
        if not cells:
            names = []
        elif not names:
            names = cells
        else:
            yield dict(zip(names, cells, strict=True))


def _ms(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return round(moment.timestamp() * 1000)


def _value(fields: dict[str, str]) -> float:
    """Of a measurement: field ``f``, ``b`` where it is Bad but has a value, else none."""
    text = fields.get("f", fields.get("b"))
    value = NO_VALUE if text is None else float(text)
    return NO_VALUE if np.isnan(value) else value
