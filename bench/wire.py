"""The Sparkplug codec: microseconds a metric, against protobuf objects in the same run."""

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable

import numpy as np

from bench.machine import machine
from plant.flow.sample import SampleBatch
from plant.flow.status import StatusCode
from plant.wire import sparkplug_b_pb2 as pb
from plant.wire.codec import FIRST_ALIAS, decode_payload, encode_metrics, encode_payload
from plant.wire.message import Row

NOW = 1_795_000_000_000
ROW = Row("0123456789abcdef", 4711, 4710)


def main(argv: list[str]) -> int:
    """Print one JSON object as the last line."""
    parser = argparse.ArgumentParser(prog="python -m bench wire", description=__doc__)
    parser.add_argument("--metrics", type=int, default=500, help="metrics a message")
    parser.add_argument("--repeat", type=int, default=100, help="messages a round")
    parser.add_argument("--rounds", type=int, default=30, help="rounds; the least time counts")
    parser.add_argument("--json", action="store_true", help="nothing but the JSON line")
    args = parser.parse_args(argv)
    result = measure(args.metrics, args.repeat, args.rounds)
    if not args.json:
        for name, value in result.items():
            print(f"{name:>16}  {value:.3f}", file=sys.stderr)
    print(json.dumps({"bench": "wire", **result, "metrics": args.metrics, "machine": machine()}))
    return 0


def measure(metrics: int, repeat: int, rounds: int) -> dict[str, float]:
    """Every figure, the best of the rounds; contenders take turns, so all meet the same noise."""
    alias = np.arange(FIRST_ALIAS, FIRST_ALIAS + metrics)
    random = np.random.default_rng(5)
    value = random.normal(50.0, 10.0, metrics)
    good = SampleBatch.of(np.arange(metrics), np.full(metrics, NOW), value)
    status = np.zeros(metrics, np.uint32)
    status[::100] = StatusCode.BadNoCommunication
    mixed = SampleBatch.of(
        np.arange(metrics), np.full(metrics, NOW), np.where(status, np.nan, value), status
    )
    message, mixed_message = _encode(alias, good), _encode(alias, mixed)
    _check(message, good, alias)
    aliases, values = alias.tolist(), value.tolist()
    tasks: dict[str, Callable[[], object]] = {
        "encode_us": lambda: _encode(alias, good),
        "decode_us": lambda: decode_payload(message),
        "bare_encode_us": lambda: _bare_encode(aliases, values),
        "bare_decode_us": lambda: _bare_decode(message),
        "mixed_encode_us": lambda: _encode(alias, mixed),
        "mixed_decode_us": lambda: decode_payload(mixed_message),
        "mixed_bare_decode_us": lambda: _bare_decode(mixed_message),
    }
    taken: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            taken[name].append(_time(task, repeat) / metrics * 1e6)
    result = {name: min(times) for name, times in taken.items()}
    result["speedup_decode"] = result["bare_decode_us"] / result["decode_us"]
    result["speedup_encode"] = result["bare_encode_us"] / result["encode_us"]
    result["bytes_per_metric"] = len(message) / metrics
    return {name: round(figure, 4) for name, figure in result.items()}


def _time(task: Callable[[], object], repeat: int) -> float:
    """Seconds a call."""
    gc.collect()
    start = time.perf_counter()
    for _ in range(repeat):
        task()
    return (time.perf_counter() - start) / repeat


def _encode(alias: "np.ndarray[tuple[int], np.dtype[np.int64]]", batch: SampleBatch) -> bytes:
    return encode_payload(encode_metrics(alias, batch), NOW, 7, ROW)


def _bare_encode(aliases: list[int], values: list[float]) -> bytes:
    payload = pb.Payload(timestamp=NOW, seq=7)
    add = payload.metrics.add
    for alias, value in zip(aliases, values, strict=True):
        add(alias=alias, timestamp=NOW, double_value=value)
    return payload.SerializeToString()


def _bare_decode(message: bytes) -> list[tuple[int, int, float]]:
    payload = pb.Payload.FromString(message)
    return [(m.alias, m.timestamp, m.double_value) for m in payload.metrics]


def _check(
    message: bytes, batch: SampleBatch, alias: "np.ndarray[tuple[int], np.dtype[np.int64]]"
) -> None:
    """What is timed is right: both ways of reading agree with what was written."""
    read = decode_payload(message)
    bare = _bare_decode(message)
    if not (
        np.array_equal(read.alias, alias)
        and np.array_equal(read.value, batch.value)
        and [v for _, _, v in bare] == batch.value.tolist()
        and read.row == ROW
    ):
        raise RuntimeError("the codec and protobuf do not agree")
