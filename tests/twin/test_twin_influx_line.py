"""Line protocol against a parser that is not ours, and Flux's CSV back into columns."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from line_protocol_parser import parse_line

from plant.flow.sample import SampleBatch
from tests.twin.influx_support import Opened, made, settings_of
from twin.historian.influx import flux
from twin.historian.influx.line import (
    field_text,
    joined,
    label,
    pieces,
    sample_lines,
    string,
    tags,
    text_field,
    unlabel,
    value_fields,
)
from twin.historian.influx.table import blocks, records, times

TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
PLAIN = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=30)
MS = st.integers(-(10**13), 10**13)


@given(TEXT, TEXT, MS)
def test_any_tag_is_read_back_by_another_parser(machine, signal, time):
    line = f"telemetry{tags(machine=machine, signal=signal)} q=0i {time}"
    found = parse_line(line)
    expected = {"machine": label(machine), "signal": label(signal)}
    assert found["measurement"] == "telemetry"
    assert found["tags"] == {k: v for k, v in expected.items() if v}
    assert found["time"] == time
    assert unlabel(label(machine)) == machine


@given(PLAIN)
def test_any_string_is_read_back_by_another_parser(text):
    assert parse_line(f"m s={string(text)} 1")["fields"] == {"s": text}


@given(st.text(max_size=60))
def test_any_text_keeps_its_characters(text):
    line = f"m {text_field(text)} 1"
    assert "\n" not in line
    assert field_text(parse_line(line)["fields"]) == text


def test_long_strings_are_parted():
    text = "x" * 1_500_000
    found = parse_line(f"m {pieces('block', text)} 1")["fields"]
    assert len(found) == 3
    assert joined("block", found) == text


@given(
    st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False),
    st.booleans(),
    st.booleans(),
)
def test_floats_come_back_bit_by_bit_and_typed_by_the_model(value, state, bad):
    fields = value_fields(value, 0x8000_0000 if bad else 0, state)
    found = parse_line(f"m {fields}q=0i 1")["fields"]
    del found["q"]
    ((name, stored),) = found.items()
    assert float(stored) == value
    assert math.copysign(1, float(stored)) == math.copysign(1, value) or (state and value == 0)
    whole = value.is_integer() and abs(value) <= 2**53
    assert name == ("b" if bad else "i" if state and whole else "b" if state else "f")
    assert isinstance(stored, int if name == "i" else float)


VALUE = st.one_of(st.floats(allow_subnormal=False), st.integers(-9, 9).map(float))


@given(
    st.lists(st.tuples(st.integers(0, 1), MS, VALUE, st.sampled_from([0, 1 << 30, 1 << 31]))),
    st.integers(0, 10**13),
)
def test_lines_of_a_batch_say_what_the_batch_says(given_rows, received):
    columns = list(zip(*given_rows, strict=True)) or [[], [], [], []]
    batch = SampleBatch.of(*columns)
    heads, states = ["telemetry,signal=f", "telemetry,signal=s"], np.array([False, True])
    rev = {i: i + 1 for i in range(0, len(batch), 3)}
    lines = sample_lines(batch, heads, states, received, rev)
    assert len(lines) == len(batch)
    for i, (line, (signal, time, value, status)) in enumerate(zip(lines, given_rows, strict=True)):
        found = parse_line(line)
        assert found["tags"] == {"signal": "fs"[signal]} | ({"rev": str(i + 1)} if i in rev else {})
        assert (found["time"], found["fields"]["q"], found["fields"]["rt"]) == (
            time, status, received,
        )  # fmt: skip
        rest = {k: v for k, v in found["fields"].items() if k not in {"q", "rt"}}
        if math.isnan(value):
            assert not rest
        elif math.isinf(value):
            assert rest == {"n": 1 if value > 0 else -1}
        else:
            assert [float(v) for v in rest.values()] == [value]
            assert not (status >> 31 and rest.keys() & {"f", "i"}), "what is Bad is beside"


@given(st.lists(st.integers(-9_000_000_000_000, 9_000_000_000_000), max_size=5))
def test_times_are_read_as_the_server_writes_them(ms):
    text = [str(np.datetime64(t, "ms")) for t in ms]
    shown = [(t[:19] + ("." + t[20:]).rstrip("0").rstrip(".") + "Z").encode() for t in text]
    assert times(shown).tolist() == ms


def test_blocks_with_quotes_and_empty_lines():
    data = (
        b",result,table,_value\r\n,_result,0,1\r\n,_result,0,2\r\n\r\n"
        b',result,table,_value,signal\r\n,_result,1,"a\r\n\r\nb","x,""y"""\r\n\r\n'
    )
    first, second = blocks(data)
    assert list(first.columns["_value"]) == [b"1", b"2"]
    assert second.text("_value", 0) == "a\r\n\r\nb"
    assert second.text("signal", 0) == 'x,"y"'


@pytest.mark.parametrize("text", ['a "b" \\ ${c} $', "零件 μ", "${", '"\\"'])
def test_the_server_reads_literals_as_they_are_meant(influx, influx_prefix, text, tmp_path):
    opened = Opened(made(settings_of(influx, influx_prefix)), tmp_path)
    w = opened.writer()
    assert w.remember(text, text) == text
    query = flux.records(
        opened.settings.bucket("mark"), 0, flux.LAST_MS, _measurement="fact", name=label(text)
    )
    (found,) = records(w.server.query(query))
    assert found.tags["name"] == label(text)
    opened.close()
