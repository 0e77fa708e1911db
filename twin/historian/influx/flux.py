"""Flux, the only place where it is written. Times are ms UTC, half-open."""

from collections.abc import Iterable, Sequence

MS_NS = 1_000_000
FIRST_MS = -9_223_372_036_854
"""The server's times are int64 ns: 1677 …"""
LAST_MS = 9_223_372_036_854
"""… to 2262."""

Tags = tuple[str, str]
"""Machine and signal as the server shows them; machine "" where a row has none."""

_FEW = 64


def literal(text: str) -> str:
    r"""A string in Flux.

    >>> print(literal('a "b" ${c}'))
    "a \"b\" \${c}"
    """
    safe = text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${")
    return f'"{safe}"'


def within(time: int) -> int:
    """A time that the server can hold."""
    return min(max(time, FIRST_MS), LAST_MS)


def rows(bucket: str, first: int, end: int) -> str:
    """Everything of a bucket in a range."""
    start = within(first) * MS_NS
    stop = max(within(end) * MS_NS, start + 1)
    return (
        f"from(bucket: {literal(bucket)}) |> range(start: time(v: {start}), stop: time(v: {stop}))"
    )


def where(*conditions: str) -> str:
    """A filter; empty conditions are left out."""
    text = " and ".join(c for c in conditions if c)
    return f" |> filter(fn: (r) => {text})"


def equals(**values: str) -> str:
    """Columns with these values.

    >>> print(equals(_measurement="mark", edge="g/e"))
    r._measurement == "mark" and r.edge == "g/e"
    """
    return " and ".join(f"r.{name} == {literal(value)}" for name, value in values.items())


def one_of(column: str, values: Iterable[str]) -> str:
    """A column with any of these values.

    >>> print(one_of("_field", ["f", "q"]))
    (r._field == "f" or r._field == "q")
    """
    return "(" + " or ".join(f"r.{column} == {literal(v)}" for v in values) + ")"


def among(asked: Sequence[Tags], known: int) -> str:
    """Rows of some series; "" where so many of the ``known`` are asked for that all may come."""
    if len(asked) > _FEW and 2 * len(asked) > known:
        return ""
    machines: dict[str, list[str]] = {}
    for machine, signal in asked:
        machines.setdefault(machine, []).append(signal)
    parts = []
    for machine, signals in machines.items():
        at = equals(machine=machine) if machine else "not exists r.machine"
        parts.append(f"({at} and {one_of('signal', dict.fromkeys(signals))})")
    return "(" + " or ".join(parts) + ")"


def keep(*columns: str) -> str:
    """Only these columns, which come in the server's own order."""
    return f" |> keep(columns: [{', '.join(map(literal, columns))}])"


def samples(
    bucket: str, start: int, end: int, series: str, fields: Sequence[str], *, last: bool = False,
    above: int | None = None, upto: int | None = None, first: bool = False, count: bool = False,
) -> str:  # fmt: skip
    """Fields of samples, one table a field and series.

    ``last``, ``first``: only that row of each table; ``count``: only how many it has.

    ``above`` and ``upto`` bound the values (the latter included), for ``rt``.
    """
    bounds = (
        ("" if above is None else f"r._value > {above}"),
        ("" if upto is None else f"r._value <= {upto}"),
    )
    wanted = where(equals(_measurement="telemetry"), series, one_of("_field", fields), *bounds)
    columns = keep("_time", "_value", "_field", "machine", "signal", "rev")
    pick = " |> last()" * last + " |> first()" * first + " |> count()" * count
    return rows(bucket, start, end) + wanted + pick + columns


def cells(bucket: str, start: int, end: int, series: str, alone: bool = False) -> str:
    """Whole cells of a tier; ``alone``: of one series, whose tags are left out."""
    wanted = where(equals(_measurement="tier", _field="cell"), series)
    columns = ("_time", "_value") if alone else ("_time", "_value", "machine", "signal")
    return rows(bucket, start, end) + wanted + keep(*columns)


def records(
    bucket: str, first: int, end: int, series: str = "", last: bool = False, **equal: str
) -> str:
    """Everything else, with all of its tags."""
    bare = ' |> drop(columns: ["_start", "_stop"])'
    wanted = where(series, equals(**equal)) if equal or series else ""
    return rows(bucket, first, end) + wanted + (" |> last()" if last else "") + bare
