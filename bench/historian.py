"""A historian, written and read through its port: speed, bytes, trends, moments.

``--kind embedded`` (bar 1 of issue 4) measures writing in ``bench/historian_write.py`` and reading
in ``bench/historian_read.py``. ``--kind influxdb`` (bar 2) is ``bench/historian_influx.py``.
"""

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path

from bench.machine import machine

KINDS = {"embedded": "bench.historian_embedded", "influxdb": "bench.historian_influx"}
"""The module whose ``measure(options)`` gives the figures of a kind."""


def main(argv: list[str]) -> int:
    """Print one JSON object as the last line."""
    parser = argparse.ArgumentParser(prog="python -m bench historian", description=__doc__)
    parser.add_argument("--kind", choices=sorted(KINDS), default="embedded")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to write")
    parser.add_argument(
        "--days", type=int, default=365, help="how long the years are that are read"
    )
    parser.add_argument("--only", choices=["write", "read"], help="half of it")
    parser.add_argument("--folder", type=Path, help="work in here; it has to be empty")
    parser.add_argument("--json", action="store_true", help="nothing but the JSON line")
    given = parser.parse_args(argv)
    result: dict[str, object] = import_module(KINDS[given.kind]).measure(given)
    if not given.json:
        for name, value in result.items():
            print(f"{name:>28}  {value}", file=sys.stderr)
    told = {"bench": "historian", "kind": given.kind, **result, "machine": machine()}
    print(json.dumps(told))
    return 0
