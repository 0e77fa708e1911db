"""Who may say what: signals by plant.yaml, records by their kind, statements by the twin alone."""

import pytest

from plant.flow.clock import FUTURE_MS, ManualClock
from plant.flow.live import SignalTable
from plant.flow.sample import Event, Gap, SampleBatch
from plant.flow.status import StatusCode
from plant.model.plant import ANALYTICS, TWIN
from plant.wire.birth import DataType, DeviceBirth, MetricBirth
from plant.wire.codec import TextSample, encode_metrics, encode_texts
from plant.wire.edge_session import EdgeSession
from plant.wire.host_event import Born, Data, Refused
from plant.wire.host_session import HostSession
from plant.wire.message import Row, Runs
from plant.wire.ownership import Ownership
from plant.wire.record import RECORD, encode_event, encode_gap
from plant.wire.topic import NodeId
from plant.wire.view import LiveView

NOW = 1_795_000_000_000
OWNED = Ownership(
    "g",
    ["edge1", "edge2", TWIN, ANALYTICS],
    {
        "saw/power": "edge1", "saw/state": TWIN, "saw/energy_idle": ANALYTICS,
        "gauge/power": "edge2", "edge1/link": TWIN, "edge1/outbox_rows": "edge1",
    },
    {"saw": "edge1", "gauge": "edge2", "hall": "", "edge1": "edge1", "edge2": "edge2"},
    {"saw/amps": "saw/power"},
)  # fmt: skip


def told(node, device, *metrics, group="g", runs: Runs | None = Runs("r1")):  # noqa: B008
    """A host after the births of a node whose device has these metrics, and what it learned."""
    table = SignalTable()
    host = HostSession("g", ["edge1", "edge2", TWIN, ANALYTICS], table, ownership=OWNED)
    edge = EdgeSession(group, node)
    edge.will(0)
    record = MetricBirth(RECORD, 400, DataType.String, None)
    births = [
        MetricBirth(name, 128 + n, value=value, time=NOW) for n, (name, value) in enumerate(metrics)
    ]
    events = []
    for m in edge.birth(NOW, [DeviceBirth(device, births)], runs, (record,)):
        events += host.on_message(m.topic, m.payload, 1.0)
    return host, edge, events


def shown(host, events):
    """path -> value of everything that may be shown or stored."""
    return {
        host.table.path(int(s)): float(v)
        for e in events
        if isinstance(e, Data)
        for s, v in zip(e.samples.signal, e.samples.value, strict=True)
    }


@pytest.mark.parametrize(
    ("node", "device", "metric", "path"),
    [
        ("edge1", "saw", "power", "saw/power"),
        ("edge2", "saw", "power", None),
        ("edge1", "saw", "state", None),
        (TWIN, "saw", "state", "saw/state"),
        (ANALYTICS, "saw", "state", None),
        (ANALYTICS, "saw", "energy_idle", "saw/energy_idle"),
        ("edge1", "edge1", "link", None),
        ("edge1", None, "link", None),
        (TWIN, "edge1", "link", "edge1/link"),
        ("edge1", None, "outbox_rows", "edge1/outbox_rows"),
        ("edge2", "edge1", "outbox_rows", None),
        # not in plant.yaml (yet): the edge of the asset, and the twin or analytics of a newer one
        ("edge1", "saw", "vibration", "saw/vibration"),
        ("edge2", "saw", "vibration", None),
        ("edge2", "hall", "vibration", None),
        (TWIN, "hall", "rate", "hall/rate"),
        ("edge2", "lathe", "power", "lathe/power"),
        # the former name of a signal is the signal, and has its owner
        ("edge1", "saw", "amps", "saw/power"),
        ("edge2", "saw", "amps", None),
        (ANALYTICS, "saw", "amps", None),
    ],
)
def test_a_signal_is_its_owners(node, device, metric, path):
    assert OWNED.path(NodeId("g", node), device, metric) == path


def test_strangers_never_have_a_path_of_ours():
    assert OWNED.path(NodeId("g", "press9"), "saw", "power") == "g/press9/saw/power"
    assert OWNED.path(NodeId("saw", "power"), None, "x") == "spBv1.0/saw/power/x"
    assert OWNED.path(NodeId("h", TWIN), "saw", "state") == f"h/{TWIN}/saw/state"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("g", "edge2", "far", "n/temp"), ("far", "n", None, "temp")),
        (("g", "edge2", "far", "n/d/temp"), ("far", "n", "d", "temp")),
        (("g", "edge2", "g", "press9/x"), ("g", "press9", None, "x")),
        (("g", "edge1", "saw", "n/temp"), ("saw", "n", None, "temp")),
        (("g", "edge1", None, "n/temp"), ("edge1", "n", None, "temp")),
        (("g", "edge2", "far", "n/x"), ("spBv1.0", "g", "edge2", "far/n/x")),
        (("saw", "n", None, "x"), ("spBv1.0", "saw", "n", "x")),
        (("g", "edge1", None, "x"), ("g", "edge2", "edge1", "x")),
        (("g", ANALYTICS, None, "x"), ("g", "edge2", ANALYTICS, "x")),
    ],
)
def test_no_two_nodes_have_one_path(one, other):
    paths = [OWNED.path(NodeId(g, n), device, metric) for g, n, device, metric in (one, other)]
    assert paths[0] is not None
    assert paths[0] != paths[1]  # the other's may be None: refused


def test_another_nodes_signals_are_refused_in_births_and_data():
    host, edge, events = told("edge2", "saw", ("power", 99.0), ("state", 6.0), ("new", 1.0))
    assert shown(host, events) == {}
    (refused,) = [e for e in events if isinstance(e, Refused)]
    assert refused.reason == "plant.yaml gives saw/power, saw/state, saw/new to another node"
    born = [e for e in events if isinstance(e, Born) and e.device == "saw"]
    assert [(list(b.signals), list(b.refused)) for b in born] == [([], ["power", "state", "new"])]
    body = encode_metrics([128, 129], SampleBatch.of([0, 1], [NOW] * 2, [98.0, 6.0]))
    message = edge.data("saw", body, NOW, Row("r1", 1))
    assert shown(host, host.on_message(message.topic, message.payload, 2.0)) == {}
    assert host.table.get("saw/power") is None


def test_what_is_its_own_is_taken_beside_what_is_not():
    host, edge, events = told("edge1", "saw", ("power", 5.0), ("state", 6.0))
    assert shown(host, events) == {"saw/power": 5.0}
    body = encode_metrics([128, 129], SampleBatch.of([0, 1], [NOW] * 2, [7.0, 6.0]))
    message = edge.data("saw", body, NOW, Row("r1", 1))
    assert shown(host, host.on_message(message.topic, message.payload, 2.0)) == {"saw/power": 7.0}


def test_rows_that_waited_under_a_former_name_are_the_signals_and_not_its_present_value():
    host, edge, events = told("edge1", "saw", ("power", 5.0), ("amps", None))
    assert shown(host, events) == {"saw/power": 5.0}
    body = encode_metrics([129], SampleBatch.of([0], [NOW - 9], [4.0]), historical=True)
    message = edge.data("saw", body, NOW, Row("r0", 1))
    events = host.on_message(message.topic, message.payload, 2.0)
    assert shown(host, events) == {"saw/power": 4.0}
    assert not any(e.live for e in events if isinstance(e, Data))


def test_an_edge_on_the_former_file_still_shows_the_signal():
    host, _, events = told("edge1", "saw", ("amps", 5.0))
    assert shown(host, events) == {"saw/power": 5.0}


def record_of(node, record, group="g", runs: Runs | None = Runs("r1")):  # noqa: B008
    """What a host makes of a record that a node tells: taken records, reasons of refusals."""
    host, edge, _ = told(node, "x", ("y", 1.0), group=group, runs=runs)
    text = encode_gap(record) if isinstance(record, Gap) else encode_event(record)
    body = encode_texts([TextSample(400, NOW, text)])
    message = edge.data(None, body, NOW, Row("r1", 1) if runs else None)
    events = host.on_message(message.topic, message.payload, 2.0)
    taken = [r for e in events if isinstance(e, Data) for r in [*e.events, *e.gaps]]
    return taken, [e.reason for e in events if isinstance(e, Refused)]


REASON = {"start": 1, "end": 2, "code": "tool", "note": "", "person": "wang", "said": 3}


@pytest.mark.parametrize("kind", ["reason", "product", "mode"])
@pytest.mark.parametrize(
    ("group", "node"),
    [("g", "edge1"), ("g", ANALYTICS), ("g", "press9"), ("far", "edge1"), ("far", TWIN)],
)
def test_a_persons_word_is_only_the_twins_to_tell(kind, group, node):
    event = Event(NOW, "saw", kind, REASON)
    taken, refused = record_of(node, event, group)
    assert (taken, refused) == (
        [],
        [f"an event {kind!r}, which only {TWIN} of this plant tells"],
    )
    assert record_of(node, event, group, runs=None)[0] == []


def test_the_twins_statements_are_taken():
    event = Event(NOW, "saw", "reason", REASON)
    assert record_of(TWIN, event) == ([event], [])


@pytest.mark.parametrize(
    ("group", "node", "event", "right"),
    [
        ("g", "edge1", Event(NOW, "saw", "door.open"), True),
        ("g", "edge2", Event(NOW, "saw", "door.open"), False),
        ("g", "edge1", Event(NOW, "edge1", "edge.unearned_ack"), True),
        ("g", "edge2", Event(NOW, "edge1", "edge.unearned_ack"), False),
        ("g", ANALYTICS, Event(NOW, "saw", "health.below_limit"), True),
        ("g", "edge1", Event(NOW, "saw", "health.below_limit"), False),
        ("far", "press9", Event(NOW, "far/press9", "door.open"), True),
        ("far", "press9", Event(NOW, "far/press9/ram", "door.open"), True),
        ("far", "press9", Event(NOW, "saw", "door.open"), False),
        ("far", "press9", Event(NOW, "far/press99", "door.open"), False),
        ("g", "edge1", Gap("g/edge1", 0, 1, 1, "full"), True),
        ("g", "edge2", Gap("g/edge1", 0, 1, 1, "full"), False),
        ("far", "edge1", Gap("g/edge1", 0, 1, 1, "full"), False),
        ("g", "edge1", Gap("g/edge1", 0, 1, 1, "full", ("saw/power", "saw/amps", "saw/new")), True),
        ("g", "edge2", Gap("g/edge2", 0, 1, 1, "full", ("saw/power",)), False),
        ("far", "n", Gap("far/n", 0, 1, 1, "full", ("saw/power",)), False),
        ("far", "n", Gap("far/n", 0, 1, 1, "full", ("far/n/power",)), True),
        ("g", "edge1", Gap("g/edge1", 0, 1, -2, "full"), False),
        # no name that passes for another: of a kind, of an asset, of a person
        ("g", "edge1", Event(NOW, "saw", "Reason"), False),
        ("g", "edge1", Event(NOW, "saw", "reason "), False),
        ("g", "edge1", Event(NOW, "saw", "reason/x"), False),
        ("g", "edge1", Event(NOW, "saw", "\u0440eason"), False),
        ("g", "edge1", Event(NOW, "saw", "note", {"person": "wang", "text": "broken"}), False),
        ("g", "edge1", Event(NOW, "saw", "note", {"said": 7}), False),
        ("g", "edge2", Event(NOW, "saw ", "jam"), False),
        ("g", "edge2", Event(NOW, "far/press9", "jam"), False),
        ("g", "edge2", Event(NOW, "", "jam"), False),
        ("g", "edge2", Event(NOW, ANALYTICS, "jam"), False),
        ("g", "edge2", Event(NOW, "of_a_newer_file", "jam"), True),
    ],
)
def test_a_record_is_about_the_tellers_own(group, node, event, right):
    taken, refused = record_of(node, event, group)
    assert (taken == [event], refused == []) == (right, right)


def test_a_gap_record_keeps_the_signals_that_are_the_tellers():
    gap = Gap("g/edge1", 0, 1, 1, "full", ("saw/power", "gauge/power"))
    taken, refused = record_of("edge1", gap)
    assert ([g.signals for g in taken], refused) == ([("saw/power",)], [])


def test_an_edge_whose_clock_is_ahead_is_uncertain_and_not_complete_in_the_future():
    clock = ManualClock(NOW)
    view = LiveView("g", ["edge1"], host_id="kaikou", clock=clock, ownership=OWNED)
    edge = EdgeSession("g", "edge1")
    edge.will(0)
    for m in edge.birth(NOW, [DeviceBirth("saw", [MetricBirth("power", 128)])], Runs("r1")):
        view.on_message(m.topic, m.payload, 1.0)
    for offset, ahead in enumerate((0, FUTURE_MS, FUTURE_MS + 1, 3_600_000), 1):
        body = encode_metrics([128], SampleBatch.of([0], [NOW + ahead], [float(offset)]))
        message = edge.data("saw", body, NOW, Row("r1", offset, offset - 1))
        view.on_message(message.topic, message.payload, 2.0)
        index = view.table.index("saw/power")
        right = StatusCode.Uncertain if ahead > FUTURE_MS else StatusCode.Good
        assert (view.live.value[index], view.live.status[index]) == (float(offset), right)
    view.on_message("kaikou/ack/g/edge1", b'{"host":"kaikou","marks":[["r1",4]]}', 2.0)
    (link,) = [k for k in view.links() if k.edge == "edge1"]
    assert link.complete_up_to <= NOW + FUTURE_MS
