"""The InfluxDB of the tests: real, ours alone, and gone afterwards."""

from pathlib import Path

import pytest

from bench.influx import TEST_NAME, Influx, fresh_org, fresh_prefix, named_influx
from bench.influxd import Influxd
from plant.errors import Rejected, Unavailable
from tests.influxd import build


def count(influx: Influx, bucket: str) -> int:
    text = influx.flux(f'from(bucket: "{bucket}") |> range(start: 0) |> count()')
    rows = [line.split(",") for line in text.split("\r\n") if line]
    return int(rows[1][rows[0].index("_value")]) if rows else 0


def test_the_organisation_is_new_and_what_is_written_comes_back(influx, influx_prefix):
    assert influx.org.startswith(TEST_NAME) or named_influx()
    assert influx_prefix.startswith(TEST_NAME)
    bucket = f"{influx_prefix}_raw"
    influx.create_bucket(bucket)
    influx.write(
        bucket, "telemetry,machine=lathe f=1.5,q=0i 1000\ntelemetry,machine=lathe q=1i 2000"
    )
    text = influx.flux(
        f'from(bucket: "{bucket}") |> range(start: 0) |> filter(fn: (r) => r._field == "f")'
    )
    assert "1970-01-01T00:00:01Z,1.5,f,telemetry,lathe" in text
    assert set(influx.buckets(influx_prefix)) == {bucket}


def test_organisation_and_buckets_are_removed(influxd: Influxd):
    server = influxd.influx
    with fresh_org(server) as ours, fresh_prefix(ours) as prefix:
        for number in range(120):  # more than a page of the API
            ours.create_bucket(f"{prefix}_{number}")
        ours.create_bucket("another")
        assert len(ours.buckets(prefix)) == 120
    names = [o["name"] for o in server.json("GET", "/api/v2/orgs")["orgs"]]
    assert names == [server.org]
    assert set(server.buckets()) == {"first"}


def test_buckets_that_are_not_a_tests_are_not_removed(influxd: Influxd):
    with pytest.raises(ValueError, match=TEST_NAME):
        influxd.influx.remove_buckets("first")
    with pytest.raises(ValueError, match=TEST_NAME):
        influxd.influx.remove_buckets()
    assert set(influxd.influx.buckets()) == {"first"}


def test_what_was_answered_survives_a_kill(influxd: Influxd):
    influx = influxd.influx
    influx.create_bucket("b")
    for number in range(20):
        influx.write("b", f"m f={number} {1000 + number}")
    influxd.kill()
    assert influxd.pid is None
    with pytest.raises(Unavailable):
        influx.write("b", "m f=1 1")
    influxd.start()
    assert count(influx, "b") == 20
    influxd.restart()
    assert count(influx, "b") == 20


def test_another_object_on_the_folder_speaks_to_the_same_data(influxd: Influxd):
    influxd.influx.create_bucket("b")
    influxd.stop()
    again = Influxd(influxd.folder, program=build.present())
    again.start()
    try:
        assert set(again.influx.buckets()) == {"b", "first"}
    finally:
        again.stop()


def test_a_refusal_says_why(influxd: Influxd):
    with pytest.raises(Rejected, match=r"401 .*unauthorized"):
        Influx(influxd.url, "wrong", influxd.org).buckets()
    with pytest.raises(Rejected, match=r"bucket .*nowhere.* not found"):
        influxd.influx.write("nowhere", "m f=1 1")


def test_a_taken_port_is_told(influxd: Influxd, tmp_path):
    second = Influxd(tmp_path / "second", influxd.port, build.present())
    with pytest.raises(Unavailable, match=f"port {influxd.port}: Address already in use"):
        second.start()
    assert second.pid is None


def test_one_that_ends_at_once_is_told_with_its_last_lines(tmp_path: Path, need):
    server = Influxd(tmp_path, program=need("influxd"))
    (tmp_path / "influxd.bolt").write_bytes(b"no bolt file")
    with pytest.raises(Unavailable, match=r"(?s)ended while it started.*bolt"):
        server.start()
    assert server.pid is None


def test_it_is_the_version_that_go_mod_names(influxd: Influxd):
    if build.present() == str(build.cached()):
        assert influxd.influx.json("GET", "/health")["version"] == f"v{build.version()}"
