"""What goes wrong between twin and InfluxDB: nothing is lost, nothing is doubled, nothing stops."""

import http.server
import threading

import numpy as np
import pytest

from plant.errors import ConfigError, Rejected, Unavailable
from plant.flow.port import Commit, Mark, Series
from plant.flow.sample import Event, SampleBatch, Text
from tests.twin.influx_support import DAY, Opened, made, rows, settings_of
from twin.historian.influx.quarantine import Pipe, send
from twin.historian.influx.server import TooLarge

WEEK = 7 * DAY


@pytest.fixture
def opened(influx, influx_prefix, tmp_path):
    it = Opened(made(settings_of(influx, influx_prefix)), tmp_path / "historian")
    yield it
    it.close()


def found(opened: Opened, *paths: str, known_at=None) -> list:
    b = opened.reader().read(paths, -DAY, 1 << 42, known_at)
    columns = (b.signal, b.source_time, b.value, b.received_time)
    return list(zip(*(c.tolist() for c in columns), strict=True))


def break_off(writer) -> None:
    """As a process that is gone: no good-bye, and its lock is free."""
    writer.closed = True
    writer.pipe.close()
    writer.server.close()
    writer._guard.close()


class Cut:
    """Lets some writes through, then the connection breaks: after the bytes, or before them."""

    def __init__(self, writer, bucket: str, stored: bool) -> None:
        self._write = writer.server.write
        self._bucket, self._stored = bucket, stored
        writer.server.write = self

    def __call__(self, which: str, body: bytes) -> None:
        if which == self._bucket:
            if self._stored:
                self._write(which, body)
            raise Unavailable("cut")
        self._write(which, body)


@pytest.mark.parametrize("crash", [False, True], ids=["retried", "restarted"])
@pytest.mark.parametrize("bucket", ["raw", "event", "mark"])
@pytest.mark.parametrize("stored", [False, True], ids=["before", "after"])
def test_an_answer_that_is_lost_loses_and_doubles_nothing(opened, bucket, stored, crash):
    w = opened.writer(Series("a/x"), Series("a/t"))
    first = w.write(Commit(rows((0, 1000, 1.0)), marks=[Mark("g/e", "r", 1)]), 5_000)
    commit = Commit(
        rows((0, 2000, 2.0), (0, 1000, 1.5), (0, 2000, 2.5), (0, 2000, 2.0)),
        texts=[Text(1, 2000, "O1")],
        events=[Event(2000, "a", "k", {"n": 1})],
        marks=[Mark("g/e", "r", 2)],
    )
    write = w.server.write
    Cut(w, bucket, stored)
    with pytest.raises(Unavailable):
        w.write(commit, 6_000)
    done = stored and bucket == "mark"
    if crash:
        break_off(w)
        w = opened.writer(Series("a/x"), Series("a/t"))
        assert w.marks() == {("g/e", "r"): 2 if done else 1}
    else:
        w.server.write = write
    if not (crash and done):  # else the mark lets nobody send it again
        assert w.write(commit, 6_100) > first
    assert w.marks() == {("g/e", "r"): 2}
    assert [r[:3] for r in found(opened, "a/x")] == [(0, 1000, 1.5), (0, 2000, 2.0)]
    assert [r[:3] for r in found(opened, "a/x", known_at=first)] == [(0, 1000, 1.0)]
    reader = opened.reader()
    page = reader.changes(0)
    expected = [(1000, 1.0), (1000, 1.5), (2000, 2.0), (2000, 2.5), (2000, 2.0)]
    known = zip(page.samples.source_time.tolist(), page.samples.value.tolist(), strict=True)
    assert sorted(known) == sorted(expected), "each version once"
    assert [t.text for _, t in page.texts] == ["O1"]
    assert len(page.events) == 1
    assert page.last


def test_received_times_rise_over_a_crash_and_a_clock_set_back(opened):
    w = opened.writer(Series("a/x"))
    w.write(Commit(rows((0, 1, 1.0))), 100_000)
    Cut(w, "mark", stored=False)
    with pytest.raises(Unavailable):
        w.write(Commit(rows((0, 2, 2.0))), 100_500)
    break_off(w)
    w = opened.writer(Series("a/x"))
    after = w.write(Commit(rows((0, 3, 3.0))), 90_000)
    assert after > 100_500
    assert w.write(Commit(rows((0, 2, 2.0))), 90_000) > after
    assert [r[1:] for r in found(opened, "a/x")] == [
        (1, 1.0, 100_000),
        (2, 2.0, 100_500),  # as it was known first
        (3, 3.0, after),
    ]


def test_what_its_type_forbids_is_quarantined_and_the_rest_goes_on(opened, influx):
    bucket = opened.settings.bucket("raw")
    influx.write(bucket, f'telemetry,machine=somebody,signal=else f="text" {WEEK + 5}')
    w = opened.writer(Series("a/x"), Series("a/y"))
    batch = rows((0, 1, 1.0), (0, WEEK + 10, 2.0), (1, WEEK + 20, 3.0), (1, 3 * WEEK, 4.0))
    known = w.write(Commit(batch, marks=[Mark("g/e", "r", 7)]), 4 * WEEK)
    assert w.marks() == {("g/e", "r"): 7}
    reader = opened.reader()
    assert reader.read(["a/x", "a/y"], 0, WEEK).value.tolist() == [1.0]
    assert reader.read(["a/x", "a/y"], 3 * WEEK, 5 * WEEK).value.tolist() == [4.0]
    assert not len(reader.read(["a/x", "a/y"], WEEK, 2 * WEEK))
    gaps = opened.reader().gaps(0, 5 * WEEK)
    assert sorted((g.edge, g.signals, g.samples, g.first) for g in gaps) == [
        ("g/e", ("a/x",), 1, WEEK + 10),
        ("g/e", ("a/y",), 1, WEEK + 20),
    ]
    assert all("field type conflict" in g.reason for g in gaps)
    page = influx.flux(
        f'from(bucket: "{opened.settings.bucket("mark")}") |> range(start: 0)'
        ' |> filter(fn: (r) => r._measurement == "quarantine" and r._field == "line")'
    )
    assert page.count("telemetry") == 2
    assert w.write(Commit(batch), 4 * WEEK) > known  # comes again: the same gap records
    assert len(opened.reader().gaps(0, 5 * WEEK)) == 2


def test_a_time_beyond_the_servers_is_quarantined(opened):
    w = opened.writer(Series("a/x"))
    w.write(Commit(rows((0, 1, 1.0), (0, 1 << 60, 2.0), (0, 2, 3.0))), 10)
    assert [r[:3] for r in found(opened, "a/x")] == [(0, 1, 1.0), (0, 2, 3.0)]
    assert [g.samples for g in opened.reader().gaps(0, 1 << 62)] == [1]


def test_a_server_that_dies_and_returns(influxd, tmp_path):
    opened = Opened(made(settings_of(influxd)), tmp_path / "historian")
    w = opened.writer(Series("a/x"))
    first = w.write(Commit(rows((0, 1, 1.0)), marks=[Mark("g/e", "r", 1)]), 10)
    stop = threading.Event()
    written: list[int] = []

    def write() -> None:  # the twin: again and again until it is stored
        k = 2
        while not stop.is_set():
            try:
                w.write(Commit(rows((0, k, float(k))), marks=[Mark("g/e", "r", k)]), 10 + k)
            except Unavailable:
                stop.wait(0.05)
                continue
            written.append(k)
            k += 1

    thread = threading.Thread(target=write)
    thread.start()
    for _ in range(3):
        until = len(written) + 20
        while len(written) < until:
            stop.wait(0.01)
        influxd.kill()
        with pytest.raises(Unavailable):
            opened.reader().read(["a/x"], 0, 10)
        influxd.start()
    until = len(written) + 5
    while len(written) < until:
        stop.wait(0.01)
    stop.set()
    thread.join()
    assert w.marks() == {("g/e", "r"): written[-1]}
    stored = found(opened, "a/x")
    assert [r[1] for r in stored][: written[-1]] == [1, *written]
    assert stored[0][3] == first
    received = [r[3] for r in stored]
    assert received == sorted(set(received))
    opened.close()


def test_a_wrong_token_is_said_and_a_missing_bucket_too(influx, tmp_path):
    wrong = settings_of(influx).model_copy(update={"token": settings_of(influx, token="x").token})
    with pytest.raises(ConfigError, match="does not accept the token"):
        wrong.writer(tmp_path / "one")
    with pytest.raises(ConfigError, match="kaikou init influxdb"):
        settings_of(influx, "kaikou-test-none").writer(tmp_path / "two")
    with pytest.raises(ConfigError, match="no organisation"):
        settings_of(influx, org="nobody").writer(tmp_path / "three")
    with pytest.raises(Unavailable):
        settings_of(influx, url="http://127.0.0.1:9").writer(tmp_path / "four")


def test_a_token_that_is_taken_away_stops_nothing_for_good(opened):
    w = opened.writer(Series("a/x"))
    w.write(Commit(rows((0, 1, 1.0))), 10)
    headers = w.server._client.api_client.default_headers
    token = headers["Authorization"]
    headers["Authorization"] = "Token wrong"
    with pytest.raises(Unavailable, match="does not accept the token"):
        w.write(Commit(rows((0, 2, 2.0))), 20)
    headers["Authorization"] = token
    w.write(Commit(rows((0, 2, 2.0))), 30)
    assert [r[1] for r in found(opened, "a/x")] == [1, 2]


def test_a_second_writer_is_refused(opened):
    opened.writer()
    with pytest.raises(Unavailable, match="another process"):
        opened.writer()


@pytest.mark.parametrize(
    ("version", "text"), [("3.11.2", "InfluxDB 3"), ("1.6.7", "no InfluxDB 2")]
)
def test_another_version_is_refused_in_a_sentence(influx, tmp_path, version, text):
    class Ping(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(204)
            self.send_header("X-Influxdb-Version", version)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = http.server.HTTPServer(("127.0.0.1", 0), Ping)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(ConfigError, match=text):
            settings_of(influx, url=url).writer(tmp_path)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Stub:
    """Takes bodies up to a size, and no line that says bad."""

    def __init__(self, size: int = 1 << 30) -> None:
        self.size, self.taken, self.away = size, [], False

    def write(self, which: str, body: bytes) -> None:
        if self.away:
            raise Unavailable("away")
        if len(body) > self.size:
            raise TooLarge("413")
        lines = body.decode().split("\n")
        if any("bad" in line for line in lines):
            raise Rejected("bad")
        self.taken += lines


def test_bad_lines_are_found_wherever_they_stand_and_large_bodies_parted():
    lines = [f"line{i}" for i in range(100)]
    lines[0] = lines[57] = lines[99] = "bad"
    stub = Stub(size=60)
    refused = send(stub, "raw", [*lines, "x" * 61])
    assert [(r.place, r.reason) for r in refused] == [
        (0, "bad"), (57, "bad"), (99, "bad"), (100, "larger than the server takes"),
    ]  # fmt: skip
    assert sorted(stub.taken) == sorted(line for line in lines if line != "bad")


def test_the_pipe_tells_places_and_leaves_nothing_under_way():
    stub = Stub()
    pipe = Pipe(stub, 2)
    bodies = [[f"{i}"] * 3 for i in range(9)]
    bodies[4][1] = bodies[8][2] = "bad"
    assert [r.place for r in pipe.send("raw", bodies)] == [13, 26]
    stub.away = True
    with pytest.raises(Unavailable):
        pipe.send("raw", bodies)
    pipe.close()


def test_many_rows_in_one_commit_go_in_several_bodies(opened):
    n = 12_345
    w = opened.writer(Series("a/x"))
    batch = SampleBatch.of(np.zeros(n), np.arange(n), np.arange(n) / 7)
    w.write(Commit(batch), n)
    w.write(Commit(batch), n)
    assert [r[2] for r in found(opened, "a/x")] == (np.arange(n) / 7).tolist()


def test_a_failure_after_a_changed_unit_mixes_nothing_up(opened):
    w = opened.writer(Series("a/p", unit="kW"))
    w.write(Commit(rows((0, 1, 1.0))), 10)
    w.declare([Series("a/p", unit="W"), Series("a/q")])
    w.write(Commit(rows((1, 2, 1000.0))), 20)
    write = w.server.write
    Cut(w, "raw", stored=False)
    with pytest.raises(Unavailable):
        w.write(Commit(rows((1, 3, 2000.0), (2, 3, 5.0))), 30)
    w.server.write = write
    w.write(Commit(rows((1, 3, 2000.0), (2, 3, 5.0))), 40)
    assert [r[:3] for r in found(opened, "a/p", "a/p~1", "a/q")] == [
        (0, 2, 1000.0),
        (0, 3, 2000.0),
        (1, 1, 1.0),
        (2, 3, 5.0),
    ]
    assert [(s.path, s.unit) for s in opened.reader().series()] == [
        ("a/p~1", "kW"),
        ("a/p", "W"),
        ("a/q", ""),
    ]
