"""Spoiled answers of devices and spoiled files: nothing ends, nothing false is taken, all heals.

``--target`` picks one (may be given several times), ``--count`` how many spoiled things each meets,
``--seed`` another course of them. A target is a module with ``run(count, seed)``, which returns
``Figures``; the bar is 0 for each of the three figures that every target has.

process_ended  how often what was fed would have ended the process: a task that ended, an error
               that nobody expected, a child that exited
wrongly_taken  values, rows or statements taken that the peer or the file never held
never_healed   cases after which, with a sound peer or file again, true values did not come back
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field

from bench.machine import machine
from plant.flow.resolver import Kinds


@dataclass(frozen=True, slots=True)
class Figures:
    """What one target came to; ``more`` holds figures of its own, told and not judged."""

    cases: int
    process_ended: int = 0
    wrongly_taken: int = 0
    never_healed: int = 0
    more: Mapping[str, float | int | str] = field(default_factory=dict)

    @property
    def held(self) -> bool:
        """Whether the bar is held."""
        return not (self.process_ended or self.wrongly_taken or self.never_healed)


Run = Callable[[int, int], Figures]
"""(how many spoiled things, seed) -> figures."""

TARGETS = Kinds(
    "kaikou.fuzz",
    {
        "modbus": "bench.fuzz_modbus:run",
        "dlt645": "bench.fuzz_dlt645:run",
        "opcua": "bench.fuzz_opcua:run",
        "outbox": "bench.fuzz_outbox:run",
    },
)
COUNT = {"modbus": 220_000, "dlt645": 300_000, "opcua": 300, "outbox": 20_000}
"""Spoiled things by default: answers, streams, sessions, rows."""


def main(argv: list[str]) -> int:
    """Print one JSON object as the last line; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench fuzz", description=__doc__)
    parser.add_argument("--target", action="append", choices=list(COUNT), help="only this one")
    parser.add_argument("--count", type=int, help="spoiled things for each target")
    parser.add_argument("--seed", type=int, default=8)
    parser.add_argument("--json", action="store_true", help="nothing but the JSON line")
    args = parser.parse_args(argv)
    results: dict[str, Figures] = {}
    seconds: dict[str, float] = {}
    for name in args.target or list(COUNT):
        began = time.monotonic()
        run: Run = TARGETS[name]
        results[name] = run(args.count or COUNT[name], args.seed)
        seconds[name] = round(time.monotonic() - began, 1)
        if not args.json:
            print(f"{name:>8}  {seconds[name]:7.1f} s  {results[name]}", file=sys.stderr)
    total = {
        figure: sum(getattr(result, figure) for result in results.values())
        for figure in ("process_ended", "wrongly_taken", "never_healed")
    }
    targets = {name: asdict(result) | {"s": seconds[name]} for name, result in results.items()}
    told = {"bench": "fuzz", **total, "seed": args.seed, "targets": targets, "machine": machine()}
    print(json.dumps(told))
    return 0 if all(result.held for result in results.values()) else 1
