"""Rows from samples: nothing lost, nothing doubled, by device and time; records and texts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant.errors import DecodeError
from plant.flow.sample import Event, Gap, SampleBatch, Text
from plant.model.signal import Label, Signal, SignalKind
from plant.outbox.current import Current
from plant.outbox.row import Loss, NewRow, RowClass
from plant.outbox.split import ROW_METRICS, Splitter, alias_keys, as_historical
from plant.wire.codec import decode_payload
from plant.wire.record import decode_record, encode_event, encode_gap

PATHS = ["a/x", "a/y", "b/x", "node/depth", "b/t"]


def signal(path):
    asset, _, name = path.partition("/")
    kind = SignalKind.TEXT if name == "t" else SignalKind.MEASUREMENT
    return Signal(path, asset, name, Label(name, name), kind)


SIGNALS = [signal(path) for path in PATHS]


def splitter():
    aliases = {key: 128 + n for n, key in enumerate(alias_keys(SIGNALS, "node"))}
    return Splitter(SIGNALS, "node", aliases)


samples = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(1_700_000_000_000, 1_700_000_000_020),
        st.floats(allow_nan=False),
        st.sampled_from([0, 0x40000000, 0x80310000]),
    ),
    max_size=60,
)


@given(samples)
def test_every_sample_is_in_one_row_the_later_of_equals(items):
    split = splitter()
    batch = SampleBatch.of(*map(list, zip(*items, strict=True))) if items else SampleBatch.empty()
    rows = list(split.rows(batch))
    latest = {(s, t): (v, q) for s, t, v, q in items}
    by_alias = {int(a): i for i, a in enumerate(split.alias)}
    found = {}
    for row in rows:
        message = decode_payload(row.metrics)
        assert row.samples == len(message.alias)
        assert (row.first, row.last) == (message.source_time[0], message.source_time[-1])
        assert (np.diff(message.source_time) >= 0).all(), "in time order"
        for a, t, v, q in zip(
            message.alias, message.source_time, message.value, message.status, strict=True
        ):
            key = (by_alias[int(a)], int(t))
            assert key not in found
            assert split.device(key[0]) == row.device
            found[key] = (float(v), int(q))
    assert found == latest
    assert split.duplicates == len(items) - len(latest)


def test_rows_hold_at_most_500_metrics():
    split = splitter()
    rows = list(split.rows(SampleBatch.of(np.zeros(1201), 1000 + np.arange(1201), 1.0)))
    assert [row.samples for row in rows] == [ROW_METRICS, ROW_METRICS, 201]


def test_the_same_again_is_counted_and_left_out_a_correction_is_a_row():
    split = splitter()
    list(split.rows(SampleBatch.of([0], [1000], [1.0])))
    assert list(split.rows(SampleBatch.of([0], [1000], [1.0]))) == []
    assert split.duplicates == 1
    (corrected,) = split.rows(SampleBatch.of([0], [1000], [2.0]))
    assert decode_payload(corrected.metrics).value.tolist() == [2.0]
    (bad,) = split.rows(SampleBatch.of([0], [1000], [np.nan], [0x80310000]))
    assert decode_payload(bad.metrics).status.tolist() == [0x80310000]
    assert list(split.rows(SampleBatch.of([0], [1000], [np.nan], [0x80310000]))) == []
    assert len(list(split.rows(SampleBatch.of([0], [999], [2.0])))) == 1, "a step back is taken"


def test_historical_metrics_say_so_and_nothing_else_changes():
    split = splitter()
    batch = SampleBatch.of([0, 1], [1_700_000_000_000] * 2, [1.0, np.nan], [0, 0x80310000])
    (row,) = split.rows(batch)
    before, after = decode_payload(row.metrics), decode_payload(as_historical(row.metrics))
    assert after.historical.all()
    assert not before.historical.any()
    for column in ("alias", "source_time", "status"):
        assert np.array_equal(getattr(before, column), getattr(after, column))
    assert np.array_equal(before.value, after.value, equal_nan=True)


def test_texts_and_events_have_rows_of_their_class():
    split = splitter()
    (row,) = split.text_rows([Text(4, 2000, "b"), Text(4, 1000, "a", 0x40000000)])
    assert (row.device, row.row_class, row.first, row.last) == ("b", RowClass.EVENT, 1000, 2000)
    texts = decode_payload(as_historical(row.metrics)).texts
    assert [(t.text, t.status, t.historical) for t in texts] == [
        ("a", 0x40000000, True),
        ("b", 0, True),
    ]
    events = [Event(1000 + n, "a", "jam", {"n": n}) for n in range(120)]
    rows = list(split.event_rows(events))
    assert {row.device for row in rows} == {""}
    told = [decode_record(t.text) for row in rows for t in decode_payload(row.metrics).texts]
    assert told == events


def test_records_come_back_and_rubbish_does_not():
    event = Event(5, "lathe", "meter.reset", {"from": 17, "why": "换表"})
    assert decode_record(encode_event(event)) == event
    gap = Gap("g/e", 1, 2, -1, "disk full", ("a/x",))
    assert decode_record(encode_gap(gap)) == gap
    for text in ("", "7", "[]", "{}", '{"event":{}}', '{"gap":{"edge":1}}', '{"event":7}'):
        with pytest.raises(DecodeError):
            decode_record(text)


def test_losses_add_up_and_unknown_stays_unknown():
    a = Loss(5, 9, 3, "full", frozenset({"a"}))
    b = Loss(1, 7, 4, "full", frozenset({"b"}))
    assert a.plus(b) == Loss(1, 9, 7, "full", frozenset({"a", "b"}))
    assert a.plus(Loss(0, 0, -1, "full", frozenset())).samples == -1


def test_current_values_are_told_once_and_on_demand():
    split = splitter()
    current = Current(split, PATHS)
    batch = SampleBatch.of([0, 2], [10, 10], [1.0, 2.0])
    current.settle(list(split.rows(batch)), [Text(4, 10, "hi")])
    told = current.changed(())
    assert told.samples.signal.tolist() == [0, 2]
    assert told.texts[4].text == "hi"
    assert len(current.changed(()).samples) == 0
    again = current.changed({"b"})
    assert again.samples.signal.tolist() == [2]
    assert set(again.texts) == {4}
    past = NewRow("a", RowClass.SAMPLE, 1, 1, 1, b"", True, SampleBatch.of([0], [1], [9.0]))
    current.settle([past], ())
    assert len(current.changed(()).samples) == 0, "the past is not current"
