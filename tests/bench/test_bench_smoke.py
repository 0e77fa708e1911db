"""Every bench at smoke size: its last line is JSON and says that nothing was lost.

Figures of time and load are looked at by people, never by a test.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bench.__main__ import names

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 240.0
SMOKED = {
    "bus", "chaos", "damage", "fuzz", "health", "historian", "historian_read", "powercut",
    "recorded", "restart", "road", "states", "twin", "wire",
}  # fmt: skip
LOSSES = ("missing", "doubled", "declared_gaps", "not_served", "stray_files", "cells_wrong")
BY_HAND = {"start"}
"""Installs a fresh clone from the package registries."""

pytestmark = pytest.mark.timeout(TIMEOUT_S + 30)


def bench(*argv: object) -> dict[str, Any]:
    """Run a bench as people do; the object of its last line."""
    command = [sys.executable, "-m", "bench", *map(str, argv), "--json"]
    done = subprocess.run(
        command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert done.returncode == 0, done.stderr[-4000:]
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert told["machine"]["cores"] > 0
    return told


def test_every_bench_is_run_here_or_known_to_be_run_by_hand() -> None:
    assert set(names()) == SMOKED | BY_HAND


@pytest.mark.parametrize("broker", ["embedded", "mosquitto"])
def test_the_road_loses_nothing(broker: str, need: Callable[[str], str]) -> None:
    if broker == "mosquitto":
        need("mosquitto")
    told = bench("road", "--seconds", 3, "--rate", 500, "--broker", broker)
    assert (told["lost"], told["dropped_before_accept"]) == (0, 0)
    assert told["asked"] == 500
    assert told["rate"] > 0
    assert told["shown"] > 0
    assert not told["asyncua_in_edge"]


@pytest.mark.parametrize(
    ("target", "count"), [("modbus", 200), ("dlt645", 200), ("opcua", 3), ("outbox", 60)]
)
def test_spoiled_answers_end_nothing_and_are_not_taken(target: str, count: int) -> None:
    told = bench("fuzz", "--target", target, "--count", count)
    assert told["targets"][target]["cases"] >= count
    bars = ("process_ended", "wrongly_taken", "never_healed")
    assert [told[figure] for figure in bars] == [0, 0, 0]


def test_kills_lose_and_double_nothing(need: Callable[[str], str]) -> None:
    need("mosquitto")
    told = bench("chaos", "--seconds", 6, "--kills", 6, "--rate", 500)
    assert told["accepted"] > 0
    assert min(told["kills"].values()) >= 1
    assert sum(told["moments"].values()) >= 1
    assert [told[name] for name in LOSSES] == [0] * len(LOSSES)


@pytest.mark.parametrize(("historian", "copy"), [("influxdb", "none"), ("embedded", "influxdb")])
def test_kills_of_influxd_lose_and_double_nothing(
    historian: str, copy: str, need: Callable[[str], str]
) -> None:
    need("mosquitto")
    need("influxd")
    told = bench(
        "chaos", "--seconds", 4, "--kills", 4, "--victims", "twin", "influxd", "--rate", 500,
        "--historian", historian, "--copy", copy,
    )  # fmt: skip
    assert told["accepted"] > 0
    assert min(told["kills"][name] for name in ("twin", "influxd")) >= 1
    assert sum(told["moments"].values()) >= 1
    assert [told[name] for name in LOSSES] == [0] * len(LOSSES)
    if copy != "none":
        copied = [told[f"copy_{name}"] for name in ("missing", "doubled", "differs", "cells_wrong")]
        assert copied == [0, 0, 0, 0]


def test_a_twin_that_acknowledges_too_early_is_seen(need: Callable[[str], str]) -> None:
    need("mosquitto")
    told = bench(
        "chaos", "--seconds", 5, "--kills", 3, "--victims", "twin", "--rate", 500,
        "--bug", "ack-early", "--drain", 5,
    )  # fmt: skip
    assert told["bug"] == "ack-early"
    assert told["missing"] > 0


def test_bad_peers_end_nothing_and_forge_nothing(need: Callable[[str], str]) -> None:
    need("mosquitto")
    told = bench("bus", "--messages", 3000, "--quiet", 1)
    assert (told["process_ended"], told["forged"]) == (0, 0)
    assert told["sent"]
    assert told["refused"] > 300
    assert told["opcua_good"] > 50
    assert told["log_mb"] <= 1
    assert told["p99_age_s"] > 0


def test_power_cuts_lose_nothing_that_was_synced() -> None:
    told = bench("powercut", "--cuts", 60, "--seed", 7)
    assert told["cuts"] >= 60
    assert told["accepted"] > 0
    assert [told[name] for name in ("missing", "damaged", "half_done")] == [0, 0, 0]
    assert bench("powercut", "--cuts", 20, "--seed", 7, "--synchronous", "normal")["missing"] > 0


@pytest.mark.parametrize("protocol", ["modbus", "opcua"])
def test_a_record_comes_back_as_it_is_in_the_file(protocol: str, tmp_path: Path) -> None:
    told = bench("recorded", "--file", a_record(tmp_path), "--protocol", protocol)
    assert (told["rows_missed"], told["items_wrong"]) == (0, 0)
    assert told["max_relative_error"] <= 1e-6
    assert told[protocol]["rows"] == 80
    assert told[protocol]["unknown_s"] == {"m1": 3600.0, "m2": 3600.0}
    assert told[protocol]["unknown_wrong"] == 0


def a_record(folder: Path) -> Path:
    """Two machines, forty rows each, an hour of which nobody knows."""
    chance = Random(3)
    lines = ["ts,asset,items,status,status_time,power_avg,cycle_time,alarm,product"]
    for asset in (1, 2):
        at, items = datetime(2024, 3, 1, tzinfo=UTC), 0
        for n in range(40):
            at += timedelta(seconds=3600 if n == 20 else chance.randrange(1, 20))
            items += chance.randrange(3)
            power, duration = chance.uniform(0, 9), chance.uniform(0, 60)
            lines.append(
                f"{at.isoformat()},{asset},{items},{chance.randrange(4)},{duration:.3f},"
                f"{power:.4f},{duration / 2:.2f},0,{chance.randrange(3)}"
            )
    file = folder / "record.csv"
    file.write_text("\n".join(lines) + "\n", "utf-8")
    return file


def test_a_worn_bearing_is_told_from_a_loose_sensor() -> None:
    told = bench("health", "--seeds", 1)
    assert told["alarmed"] == told["worn"] == 1
    assert told["lead_min"] > 0  # minutes of fault time, on the plant clock
    assert told["loose_as_sensor"] == told["loose"] == 1
    nothing = ("alarms_on_sound", "sensor_doubted_on_sound", "false_before_onset")
    assert [told[name] for name in nothing] == [0, 0, 0]


def test_states_follow_the_simulators_ledger() -> None:
    told = bench("states", "--seeds", 1, "--hours", 1.5)
    assert told["waits"] > 0
    assert told["right"] > 0.95
    assert told["told_apart"] > 0.9
    assert told["backlog_agrees"] == 1.0, "a backlog gets the states that the live way got"


def test_restarts_change_no_history() -> None:
    told = bench("restart", "--hours", 0.6, "--kills", 9)
    assert told["twin_starts"] >= 3
    assert told["final_h"] > 0.5
    assert (told["states_differ_ms"], told["energy_differ"], told["oee_differ"]) == (0, 0, 0)


def test_a_historian_gives_back_what_was_written() -> None:
    told = bench("historian", "--only", "write", "--seconds", 1)
    assert told["rows"] >= 60_000  # and each was compared, or the bench had failed
    assert told["ingest_per_cpu_s"] > told["sqlite_ingest_per_cpu_s"] / 100
    assert told["bytes_per_sample"] < told["sqlite_bytes_per_sample"]


def test_influxdb_gives_back_what_was_written(need: Callable[[str], str]) -> None:
    need("influxd")
    told = bench("historian", "--kind", "influxdb", "--only", "write", "--seconds", 1)
    assert told["rows"] >= 50_000
    assert told["rows_missing_or_wrong"] == 0
    assert told["ratio"] > 0


def test_a_historian_draws_and_looks_back_as_brute_force_does() -> None:
    told = bench("historian_read", "--days", 3, "--windows", 2)
    assert told["year_trend_ms"] > 0  # each was compared, or the bench had failed
    assert told["asof_ms"] > 0


def test_the_twin_stores_what_it_hears() -> None:
    told = bench("twin", "--seconds", 20, "--paced", 1)
    assert told["size_500"]["samples"] == told["size_100"]["samples"] == 20_000
    assert told["p99_ms"] > 0
    assert told["bare_decode_per_s"] > 0


def test_damage_of_any_file_is_told_and_deletes_nothing() -> None:
    told = bench("damage", "--trials", 1, "--settle", 1, "--kind", "samples")
    assert told["trials"] == 1
    assert (told["traceback"], told["silently_wrong"], told["deleted_unproven"]) == (0, 0, 0)
