"""Grafana dashboard and compose file: every query runs on a real InfluxDB and finds rows."""

import csv
import io
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from bench.influx import Influx, fresh_prefix
from plant.model.packml import PackML
from tests.influxd import build

DEPLOY = Path(__file__).parents[2] / "deploy"
BOARD = json.loads((DEPLOY / "grafana/dashboards/line.json").read_text("utf-8"))
PANELS = {p["title"].rpartition(" · ")[2]: p for p in BOARD["panels"] if p["type"] != "row"}
VARIABLES = {v["name"]: v for v in BOARD["templating"]["list"]}
COMPOSE = yaml.safe_load((DEPLOY / "container/compose.influxdb.yaml").read_text("utf-8"))

UNCERTAIN, BAD = 0x4095_0000, 0x8031_0000


@dataclass(frozen=True)
class Filled:
    """Buckets with ten minutes of rows before now; times are ms UTC."""

    influx: Influx
    prefix: str
    start: int

    @property
    def stop(self) -> int:
        return self.start + 660_000

    def ask(self, query: str, **more: str) -> list[dict[str, str]]:
        return rows(self.influx.flux(substituted(query, self, **more)))

    def panel(self, title: str, target: int = 0, **more: str) -> list[dict[str, str]]:
        return self.ask(PANELS[title]["targets"][target]["query"], **more)


def telemetry(machine: str, signal: str, ms: int, fields: str, q: int = 0, lag=300, rev="") -> str:
    value = f"{fields}," if fields else ""
    tags = f"site=demo,line=housings,machine={machine},signal={signal}{rev and ',rev='}{rev}"
    return f"telemetry,{tags} {value}q={q}i,rt={ms + lag}i {ms}"


def cell(machine: str, signal: str, ms: int, fields: str) -> str:
    return f"tier,site=demo,line=housings,machine={machine},signal={signal} {fields} {ms}"


def raw(start: int) -> Iterator[str]:
    for machine in ("lathe", "saw"):
        # known before the range; Execute, then Held for two minutes, then Execute again
        yield telemetry(machine, "state", start - 30_000, "i=6i")
        yield telemetry(machine, "state", start + 240_000, "i=5i")
        yield telemetry(machine, "state", start + 360_000, "i=6i")
        for n in range(60):
            at = start + n * 10_000
            if n == 30:
                yield telemetry(machine, "power", at, "", BAD)
            else:
                yield telemetry(machine, "power", at, f"f={2 + n / 10}", UNCERTAIN * (n == 31))
    # corrected a minute later: it was Held (11), not Suspended (5)
    yield telemetry("lathe", "state", start + 240_000, "i=11i", lag=60_000, rev="1")
    yield telemetry("press", "state", start + 60_000, "", BAD)


def minute(start: int) -> Iterator[str]:
    for n in range(10):
        at = start + n * 60_000
        for machine in ("lathe", "saw"):
            mean = 60.0 if machine == "lathe" else 30.0
            known = "known_s=60,good_s=30,count=6i"
            yield cell(machine, "power", at, f"first=1,last=2,low=1,high=9,mean={mean},{known}")
            yield cell(machine, "part_count", at, f"first=0,last=2,increase=2,{known}")
        yield cell("gauge", "good_count", at, "increase=3,known_s=60,good_s=60")
        yield cell("gauge", "reject_count", at, "increase=1,known_s=60,good_s=60")


@pytest.fixture(scope="module")
def filled(influx: Influx) -> Iterator[Filled]:
    start = (time.time_ns() // 60_000_000_000 - 10) * 60_000
    with fresh_prefix(influx) as prefix:
        for name in ("raw", "minute", "hour", "day", "event"):
            influx.create_bucket(f"{prefix}_{name}")
        influx.write(f"{prefix}_raw", "\n".join(raw(start)))
        influx.write(f"{prefix}_minute", "\n".join(minute(start)))
        event = r'event,machine=lathe,kind=alarm data="{\"text\":\"spindle\"}"'
        gap = 'gap,machine=lathe,signal=power reason="outbox full",count=12i'
        influx.write(f"{prefix}_event", f"{event} {start}\n{gap} {start + 1000}")
        yield Filled(influx, prefix, start)


def substituted(query: str, filled: Filled, **more: str) -> str:
    """As Grafana fills it in: its variables in the browser, the rest in the server."""
    values = {
        "prefix": filled.prefix, "site": "demo", "tier": "minute",
        "machine:regex": "(lathe|saw|press|gauge)", "signal:regex": "(power|state)", **more,
    }  # fmt: skip
    for name, value in values.items():
        query = query.replace(f"${{{name}}}", value)
    query = query.replace("v.timeRangeStart", iso(filled.start))
    query = query.replace("v.timeRangeStop", iso(filled.stop))
    query = query.replace("v.windowPeriod", "1m0s")
    assert "${" not in query
    return query


def iso(ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ms // 1000))


def rows(text: str) -> list[dict[str, str]]:
    """Rows of all tables of an answer; each table brings its own header."""
    found = []
    for table in re.split(r"\r\n\r\n", text.strip()):
        found += list(csv.DictReader(io.StringIO(table)))
    return found


QUERIES = [(t, n) for t, p in PANELS.items() for n in range(len(p["targets"]))]


@pytest.mark.parametrize(("title", "target"), QUERIES, ids=lambda v: str(v).replace(" ", "-"))
def test_every_query_gives_rows(filled, title, target):
    found = filled.panel(title, target)
    assert found
    assert not [r for r in found if r.get("error")]


@pytest.mark.parametrize(("title", "target"), QUERIES, ids=lambda v: str(v).replace(" ", "-"))
def test_every_answer_has_the_columns_that_its_panel_draws(filled, title, target):
    """Group columns become labels in Grafana; a series is ``_time`` and ``_value`` beside them."""
    query = substituted(PANELS[title]["targets"][target]["query"], filled)
    body = {"query": query, "dialect": {"annotations": ["group"], "header": True}}
    org = {"org": filled.influx.org}
    text = filled.influx.call("POST", "/api/v2/query", body, org).decode()
    lines = list(csv.reader(io.StringIO(text)))
    at = [n for n, line in enumerate(lines) if line and line[0] == "#group"]
    assert at
    for n in at:
        grouped = {c for c, g in zip(lines[n + 1], lines[n], strict=True) if g == "true"}
        plain = {c for c, g in zip(lines[n + 1], lines[n], strict=True) if g == "false"}
        if PANELS[title]["type"] in {"timeseries", "state-timeline"}:
            assert plain == {"result", "table", "_time", "_value"}
            assert grouped <= {"machine", "signal", "_field"}
        else:
            assert not grouped
            assert not plain & {"_start", "_stop", "_measurement"}


@pytest.mark.parametrize("name", [n for n, v in VARIABLES.items() if v["type"] == "query"])
def test_every_variable_finds_its_values(filled, name):
    found = {r["_value"] for r in filled.ask(VARIABLES[name]["query"]["query"])}
    assert found == {
        "site": {"demo"}, "machine": {"lathe", "saw", "press"}, "signal": {"power", "state"},
    }[name]  # fmt: skip


def test_all_machines_is_a_regular_expression(filled):
    assert VARIABLES["machine"]["allValue"] == ".*"
    every = filled.panel("Power", **{"machine:regex": ".*"})
    assert {r["machine"] for r in every} == {"lathe", "saw"}
    assert {r["machine"] for r in filled.panel("Power", **{"machine:regex": "saw"})} == {"saw"}


def test_states_begin_at_the_range_and_take_corrections(filled):
    found = filled.panel("Machine states")
    of = {
        m: [(r["_time"], r["_value"]) for r in found if r["machine"] == m]
        for m in ("lathe", "saw", "press")
    }
    assert of["lathe"] == [
        (iso(filled.start), "6"),
        (iso(filled.start + 240_000), "11"),
        (iso(filled.start + 360_000), "6"),
    ]
    assert of["saw"] == [
        (iso(filled.start), "6"),
        (iso(filled.start + 240_000), "5"),
        (iso(filled.start + 360_000), "6"),
    ]
    assert of["press"] == [(iso(filled.start + 60_000), "")]


def test_time_in_state(filled):
    found = {r["machine"]: r for r in filled.panel("Time in state")}
    assert float(found["lathe"]["Held"]) == pytest.approx(120 / 3600)
    assert float(found["saw"]["Suspended"]) == pytest.approx(120 / 3600)
    assert float(found["lathe"]["Execute"]) >= 240 / 3600
    assert float(found["press"]["Unknown"]) > 0


def test_parts_and_energy(filled):
    parts = {r["machine"]: r for r in filled.panel("Parts")}
    assert float(parts["lathe"]["part_count"]) == 20
    assert float(parts["gauge"]["good_count"]) == 30
    assert float(parts["gauge"]["reject_count"]) == 10
    energy = [(r["machine"], float(r["_value"])) for r in filled.panel("Energy in the range")]
    assert energy == [("lathe", pytest.approx(10.0)), ("saw", pytest.approx(5.0))]


def test_raw_rows_keep_their_gaps(filled):
    found = [
        r for r in filled.panel("Raw rows") if (r["machine"], r["signal"]) == ("lathe", "power")
    ]
    assert len(found) == 60
    assert [n for n, r in enumerate(found) if r["_value"] == ""] == [30]
    state = [
        r["_value"]
        for r in filled.panel("Raw rows")
        if (r["machine"], r["signal"]) == ("lathe", "state")
    ]
    assert state == ["11", "6"]


def test_the_latest_value_goes_by_status(filled):
    found = {(r["machine"], r["signal"]): r for r in filled.panel("Latest values")}
    assert float(found["lathe", "power"]["value"]) == pytest.approx(7.9)
    assert found["press", "state"]["value"] == ""
    assert int(found["press", "state"]["status"]) == BAD
    assert found["saw", "state"]["time"] == iso(filled.start + 360_000)


def test_shares_coverage_and_lag(filled):
    not_good = [
        float(r["_value"]) for r in filled.panel("Share of rows not Good") if r["machine"] == "saw"
    ]
    assert sorted(not_good)[:-1] == [0.0] * (len(not_good) - 1)
    assert max(not_good) == pytest.approx(2 / 6)
    coverage = {(r["machine"], r["signal"]): r for r in filled.panel("Coverage")}
    power = coverage["lathe", "power"]
    assert float(power["good"]) == pytest.approx(float(power["known"]) / 2)
    assert 0.9 <= float(power["known"]) <= 1.0
    assert {float(r["_value"]) for r in filled.panel("Received-time lag", 0)} == {0.3}
    worst = {
        float(r["_value"]) for r in filled.panel("Received-time lag", 1) if r["machine"] == "lathe"
    }
    assert worst == {0.3, 60.0}
    assert sum(float(r["_value"]) for r in filled.panel("Rows per second")) * 60 == 126


def test_events_and_gaps(filled):
    (event,) = filled.panel("Events")
    assert json.loads(event["data"]) == {"text": "spindle"}
    assert (event["machine"], event["kind"]) == ("lathe", "alarm")
    (gap,) = filled.panel("Gap records")
    assert (gap["reason"], gap["count"]) == ("outbox full", "12")


def test_states_are_named_as_the_model_names_them():
    (mapping,) = PANELS["Machine states"]["fieldConfig"]["defaults"]["mappings"]
    named = {int(k): v["text"].partition(" ")[2] for k, v in mapping["options"].items()}
    assert named == {int(s): s.name for s in PackML}
    query = PANELS["Time in state"]["targets"][0]["query"]
    pairs = {int(k): v for k, v in re.findall(r'\{key: (\d+), value: "(\w+)"\}', query)}
    assert pairs == named


def test_panels_lie_apart_and_every_query_goes_to_the_chosen_source():
    assert len({p["id"] for p in BOARD["panels"]}) == len(BOARD["panels"])
    taken = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not taken & cells
        taken |= cells
    for panel in PANELS.values():
        assert {t["datasource"]["uid"] for t in panel["targets"]} == {"${datasource}"}
        assert panel["description"]
    buckets = re.findall(r'bucket: \\?"([^"\\]+)', json.dumps(BOARD))
    assert set(buckets) == {
        "${prefix}_raw",
        "${prefix}_minute",
        "${prefix}_${tier}",
        "${prefix}_event",
    }


def test_provisioning_reads_what_is_mounted():
    provisioning = DEPLOY / "grafana/provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/kaikou.yaml").read_text("utf-8"))[
        "datasources"
    ]
    (provider,) = yaml.safe_load((provisioning / "dashboards/kaikou.yaml").read_text("utf-8"))[
        "providers"
    ]
    assert VARIABLES["datasource"]["current"]["value"] == source["uid"]
    assert source["url"] == "http://influxdb:8086"
    grafana = COMPOSE["services"]["grafana"]
    mounted = dict(v.split(":")[:2] for v in grafana["volumes"])
    places = {at: (DEPLOY / "container" / here).resolve() for here, at in mounted.items()}
    assert (places[provider["options"]["path"]] / "line.json").is_file()
    for kind in ("datasources", "dashboards"):
        assert places[f"/etc/grafana/provisioning/{kind}"] == provisioning / kind
    secret = source["secureJsonData"]["token"].removeprefix("$")
    assert {secret, source["jsonData"]["organization"].removeprefix("$")} <= set(
        grafana["environment"]
    )


def test_compose_is_the_tested_version_on_loopback_without_a_secret():
    services = COMPOSE["services"]
    assert services["influxdb"]["image"] == f"influxdb:{build.version()}"
    assert services["grafana"]["profiles"] == ["grafana"]
    for name, service in services.items():
        assert all(p.startswith("127.0.0.1:") for p in service["ports"])
        assert service["healthcheck"]["test"]
        named = {v.split(":")[0] for v in service["volumes"]} & set(COMPOSE["volumes"])
        assert named, f"{name} keeps nothing in a named volume"
        for key, value in service["environment"].items():
            if "PASSWORD" in key or "TOKEN" in key:
                wanted = ":?" if name == "influxdb" else ":-}"
                assert re.fullmatch(rf"\$\{{KAIKOU_\w+{re.escape(wanted)}.*\}}?", value), key
    asked = "\n".join(services["grafana"]["entrypoint"])
    assert re.findall(r"\$\$\{(\w+):\?", asked) == [
        "GF_SECURITY_ADMIN_PASSWORD",
        "KAIKOU_INFLUX_READ_TOKEN",
    ]
