"""What the embedded historian holds, without its reader: Parquet files by DuckDB."""

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import apsw
import duckdb

from bench.stored import COPY, NO_VALUE, Stored
from plant.errors import Unavailable
from twin.historian.database import connect


class Files:
    """The embedded historian's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _database(self) -> contextlib.closing[apsw.Connection]:
        try:
            opened = connect(self.folder / "historian.sqlite", apsw.SQLITE_OPEN_READWRITE)
        except apsw.CantOpenError as error:
            raise Unavailable(f"{self.folder}: {error}") from error
        opened.set_busy_timeout(10_000)
        return contextlib.closing(opened)

    def received(self) -> int:
        """See ``Store``."""
        with self._database() as db:
            hot = db.execute("SELECT max(received) FROM hot").get
            sealed = db.execute("SELECT max(last_received) FROM segment").get
        return max(hot or 0, sealed or 0)

    def followed(self) -> int:
        """See ``Store``."""
        with self._database() as db:
            return db.execute("SELECT max(offset) FROM mark WHERE edge = ?", (COPY,)).get or 0

    def built(self) -> bool:
        """Whether nothing of its tiers is dirty."""
        with self._database() as db:
            return not db.execute("SELECT count(*) FROM dirty").get

    def rows(self, index: Mapping[str, int]) -> Stored:
        """See ``Store``."""
        with self._database() as db:
            if db.execute("SELECT count(*) FROM hot").get:
                raise RuntimeError(f"{self.folder} has rows that are not sealed")
            ids = {
                id_: index[str(path)]
                for id_, path in db.execute("SELECT id, path FROM signal")
                if path in index
            }
            files = [str(row[0]) for row in db.execute("SELECT file FROM segment")]
            found = Stored(
                gaps=Counter(str(row[0]) for row in db.execute("SELECT reason FROM gap"))
            )
            named = {
                row[0]
                for table in ("segment", "retired", "tier")
                for row in db.execute(f"SELECT file FROM {table}")
            }
        there = {f.name: f for f in self.folder.rglob("*.p*") if f.parent != self.folder}
        found.strays = len(there.keys() - named)
        with contextlib.closing(duckdb.connect()) as duck:
            for id_, at, value, status, received in _rows(duck, [there[f] for f in files]):
                if id_ in ids:
                    found.add((ids[id_], at, value, status), received)
        return found

    def cells(self) -> tuple[int, int]:
        """See ``Store``."""
        with self._database() as db:
            files = [str(row[0]) for row in db.execute("SELECT file FROM segment")]
            tiers = [(str(t), str(f)) for t, f in db.execute("SELECT tier, file FROM tier")]
            dirty = list(db.execute("SELECT signal, first, upto FROM dirty"))
        there = {f.name: str(f) for f in self.folder.rglob("*.parquet")}
        total = wrong = 0
        with contextlib.closing(duckdb.connect()) as duck:
            duck.execute(_NEWEST, [[there[f] for f in files]])
            duck.execute("CREATE TEMP TABLE dirty (signal INTEGER, first BIGINT, upto BIGINT)")
            if dirty:
                duck.executemany("INSERT INTO dirty VALUES (?, ?, ?)", dirty)
            for tier, width_ms in (("minute", 60_000), ("hour", 3_600_000)):
                some = [there[f] for t, f in tiers if t == tier]
                if some:
                    duck.execute(_CELLS.format(width=width_ms), [some])
                    row = duck.fetchone()
                    total += row[0] if row else 0
                    wrong += row[1] if row else 0
        return total, wrong


_NEWEST = """CREATE TEMP TABLE newest AS
SELECT signal, source_time, arg_max(value, received_time) AS value,
    arg_max(status, received_time) AS status
FROM read_parquet(?) GROUP BY ALL"""

_CELLS = """WITH brute AS (
    SELECT signal, source_time - source_time % {width} AS start, count(*) AS count,
        min(value) FILTER (status < 2147483648) AS low,
        max(value) FILTER (status < 2147483648) AS high,
        arg_min(value, source_time) FILTER (status < 2147483648) AS first,
        arg_max(value, source_time) FILTER (status < 2147483648) AS last
    FROM newest GROUP BY ALL)
SELECT count(*), count(*) FILTER (b.count IS NULL OR b.count != c.count
    OR b.low IS DISTINCT FROM nullif(c.low, 'nan'::DOUBLE)
    OR b.high IS DISTINCT FROM nullif(c.high, 'nan'::DOUBLE)
    OR b.first IS DISTINCT FROM nullif(c.first, 'nan'::DOUBLE)
    OR b.last IS DISTINCT FROM nullif(c.last, 'nan'::DOUBLE))
FROM read_parquet(?) c LEFT JOIN brute b USING (signal, start)
WHERE NOT EXISTS (SELECT * FROM dirty d WHERE d.signal IN (c.signal, -1)
    AND c.start >= d.first AND c.start < d.upto)"""


def _rows(
    duck: duckdb.DuckDBPyConnection, files: Sequence[Path]
) -> Iterator[tuple[int, int, float, int, int]]:
    value = "CASE WHEN value IS NULL OR isnan(value) THEN ? ELSE value END"
    query = f"SELECT signal, source_time, {value}, status, received_time FROM read_parquet(?)"
    cursor = duck.execute(query, [NO_VALUE, [str(f) for f in files]])
    while part := cursor.fetchmany(100_000):
        yield from part
