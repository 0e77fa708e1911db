"""``python -m bench wire`` at smoke size: it measures, and says so in one JSON line."""

import json

import pytest

from bench.wire import main

FIGURES = ("encode_us", "decode_us", "bare_encode_us", "bare_decode_us", "mixed_decode_us")


def test_bench_wire_prints_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "--metrics", "100", "--repeat", "3", "--rounds", "2"]) == 0
    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert all(told[figure] > 0 for figure in FIGURES)
    assert told["speedup_decode"] == pytest.approx(
        told["bare_decode_us"] / told["decode_us"], rel=0.01
    )
