"""Bar 6: a recount of the raw log that knows nothing of the twin agrees to the millisecond."""

import ast
import sys
from pathlib import Path

import oee
import pytest

from tests.twin.kpi_support import MemoryReader, kpi_plant, random_log, store
from tests.twin.recount import Recount
from twin.historian.embedded import Embedded
from twin.kpi.log import read_log
from twin.kpi.measure import kpis

LOGS = 1000
STORED = 24
"""So many of them go through the real embedded historian."""


def test_the_recount_imports_nothing_of_ours() -> None:
    source = Path(__file__).with_name("recount.py").read_text("utf-8")
    names = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or "."]
        )
    }
    assert names <= set(sys.stdlib_module_names)
    assert "__import__" not in source
    assert "importlib" not in source


def _agrees(log, reader):
    """The rows of the twin's code and of the recount, by shift and for the range; how many."""
    plant = kpi_plant(log)
    read = read_log(reader, plant, "lathe", log["start"], log["end"], known_at=log["known_at"])
    counted = Recount(log).rows
    rows = [*kpis(read, "shift"), *kpis(read)]
    for row in rows:
        expected = counted.get(row.key, None) or Recount.row(_Empty(), row.key)
        t = row.times
        found = {
            "pot": t.pot, "pbt": t.pbt, "unknown": t.unknown, "apt": t.apt, "asut": t.asut,
            "adet": t.adet, "adot": t.adot, "pq": row.pq, "pq_unknown": row.pq_unknown,
        }  # fmt: skip
        assert found == {k: expected[k] for k in found}, row.key
        assert t.aupt == expected["apt"] + expected["asut"]
        if t.known:
            assert round(row.count_coverage * t.known) == expected["readable"]
        if row.gq is not None:
            assert row.gq == expected["gq"]
        products = {p.product: [p.pq, p.gq] for p in row.products if p.pq or p.gq}
        if row.gq is None:
            assert {p: made for p, (made, _) in products.items()} == {
                p: made for p, (made, _) in expected["products"].items() if made
            }
        else:
            assert products == {p: u for p, u in expected["products"].items() if any(u)}
        _check_ratios(row)
    assert {k for k in counted if k} <= {row.key for row in rows}
    for by in ("day", "product"):
        _adds_up(kpis(read, by), rows[-1])
    return rows


def _adds_up(parts, whole):
    """Days, and products, share what the range has."""
    for name in ("pot", "pdt", "pbt", "unknown", "apt", "asut", "adet", "adot"):
        assert sum(getattr(p.times, name) for p in parts) == getattr(whole.times, name)
    for name in ("pq", "gq", "pq_unknown"):
        assert sum(getattr(p, name) or 0 for p in parts) == (getattr(whole, name) or 0)


class _Empty:
    def __init__(self):
        self.rows = {}


def _check_ratios(row):
    """OEE is its own product and PyPI's oee agrees; the waterfall adds up; below 80 % nothing."""
    t = row.times
    lost = {x.key: x.ms for x in row.losses}
    stopped = sum(ms for key, ms in lost.items() if key not in {"speed", "scrap"})
    assert t.pbt - stopped == t.apt
    assert sum(s.ms for s in row.stops) == stopped
    if row.oee is None:
        assert row.why_not is not None
        return
    earned = sum(p.earned for p in row.products)
    assert t.pbt - sum(lost.values()) == earned
    assert row.oee == pytest.approx(earned / t.known)
    if not t.apt or row.effectiveness is None:
        return
    quality = 1.0 if row.quality is None and row.gq is None else row.quality
    if quality is None:
        return
    product = (row.availability or 0) * row.effectiveness * quality
    assert row.oee == pytest.approx(product, rel=1e-12)
    if 0 <= quality <= 1 and row.effectiveness <= 1 and row.pq and earned >= 0:
        planned = sum((p.pru or 0) * p.pq for p in row.products)
        other = oee.oee(
            planned_production_time=t.known,
            run_time=t.apt,
            ideal_cycle_time=planned / row.pq,
            total_count=row.pq,
            good_count=row.pq * quality,
        )
        assert other.oee == pytest.approx(row.oee, rel=1e-9)
        assert other.availability == pytest.approx(row.availability)


@pytest.mark.parametrize("chunk", range(20))
def test_a_thousand_random_logs_agree_with_the_recount(chunk: int) -> None:
    figures = 0
    for seed in range(chunk * LOGS // 20, (chunk + 1) * LOGS // 20):
        log = random_log(seed)
        try:
            rows = _agrees(log, MemoryReader(log))
        except AssertionError as error:
            raise AssertionError(f"log {seed}") from error
        figures += sum(row.oee is not None for row in rows)
    assert figures > 10, "hardly any log is whole enough for figures"


@pytest.mark.parametrize("seed", range(STORED))
def test_through_the_embedded_historian_they_agree_too(tmp_path: Path, seed: int) -> None:
    log = random_log(seed)
    writer = Embedded(kind="embedded").writer(tmp_path)
    store(log, writer)
    if seed % 2:
        writer.retain(log["end"] + 3_600_000, force=True)
    reader = Embedded(kind="embedded").reader(tmp_path)
    try:
        _agrees(log, reader)
    finally:
        reader.close()
        writer.close()
