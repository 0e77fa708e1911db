"""What damage of any file does: flips, cuts, removals over the whole data folder, rooms on top.

``python -m bench damage --json`` makes a data folder as a plant leaves it that was killed: three
days of sealed history with tiers, hot rows, outboxes, people, secrets, certificates, a simulated
world. Each trial copies it, damages one file and starts every room that reads that file.

``traceback``         rooms that ended, or wrote to their log, with a traceback (or in silence)
``silently_wrong``    answers of the historian that differ and no gap record covers, or files of
                      another kind whose content changed while no room said a word of it
``deleted_unproven``  files that were there, are nowhere in the folder any more, and whose content
                      is not proven to be elsewhere
``--kind`` takes a part of a file's path (``outbox``, ``plant.json``, ``samples``), ``--trials``
how many (each kind of file in turn), ``--seed`` another course of chance.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.damage_content import Content, kept_elsewhere, transient
from bench.damage_history import Answers, Truth
from bench.damage_plant import SETTLE_S, WORK_S, Started, commands, environment, prepare
from bench.machine import machine

CERTIFICATE_S = 15.0
"""So long edge and simulated machines are left to connect."""
DAMAGES = ("flip", "flip", "flip", "truncate", "remove", "empty", "garbage")

UNREAD = frozenset((".lock", ".port", ".open", ".jsonl"))
"""Ends of names of files that no room reads again; what the simulators did is for tests alone."""


def damage(file: Path, how: str, chance: random.Random) -> str:
    """Do it; says what was done."""
    data = bytearray(file.read_bytes())
    if how == "remove" or not data:
        file.unlink()
        return "remove"
    at = chance.randrange(len(data))
    if how == "flip":
        data[at] ^= 1 << chance.randrange(8)
    elif how == "truncate":
        del data[at:]
    elif how == "empty":
        data.clear()
    else:
        many = min(len(data) - at, 512)
        data[at : at + many] = chance.randbytes(many)
    with file.open("r+b") as stream:
        stream.write(data)
        stream.truncate(len(data))
    return f"{how} at {at} of {file.stat().st_size}"


def kind_of(path: Path) -> str:
    """Files that are damaged alike: of one folder and sort, whatever random name they have."""
    name = path.name
    if path.suffix == ".parquet":
        name = name.partition("_")[0] if path.parent.name == "tiers" else "day"
        name += ".parquet"
    elif path.suffix in {".der", ".pem"} and path.parent.name != path.parts[0]:
        name = f"*{path.suffix}"
    return str(path.with_name(name))


def is_certificate(path: Path) -> bool:
    """Of an OPC UA source: read, and compared, when the edge and the machine have connected."""
    return path.parts[1:] != () and path.parts[1].startswith("opcua_")


def rooms_of(path: Path) -> Sequence[str]:
    """The rooms that read a file of the data folder."""
    first = path.parts[0]
    if first == "historian":
        return "twin", "gateway", "analytics"
    if first.startswith("opcua"):
        return ("opcua",)
    if is_certificate(path):
        return "simulators", "edge"  # certificates are read when the two connect
    if len(path.parts) > 1:
        return ("edge" if first == "edge1" else first,)
    return "broker", "simulators", "edge", "opcua", "twin", "analytics", "gateway"


def trial(template: Path, path: Path, how: str, chance: random.Random, truth: Truth) -> Answers:
    """One file damaged, its rooms started; what came of it."""
    with tempfile.TemporaryDirectory(prefix="kaikou-damage-") as place:
        data = Path(place) / "data"
        shutil.copytree(template, data)
        file = data / path
        before = Content.of_folder(data)
        done = damage(file, how, chance)
        damaged = Content.of_file(data, path)
        found = Answers(str(path), done)
        historian = path.parts[0] == "historian"
        if historian:
            truth.compare(data, found, "read while nobody runs")
        started = Started(data, environment(template))
        started.run(rooms_of(path), found, CERTIFICATE_S if is_certificate(path) else WORK_S)
        if historian:
            truth.compare(data, found, "read afterwards")
        elif damaged != before[path] and not found.said(path):
            found.silently_wrong.append(f"{path} differs and no room said so")
        for gone, content in before.items():
            if gone != path and not transient(gone) and not kept_elsewhere(data, gone, content):
                if gone.suffix == ".parquet" and truth.whole(data):
                    continue  # its rows are there: proven
                found.deleted.append(str(gone))
        return found


def run(kinds: Sequence[str], trials: int, seed: int, settle_s: float) -> dict[str, object]:
    """All trials."""
    chance = random.Random(seed)
    told: dict[str, object] = {"traceback": 0, "silently_wrong": 0, "deleted_unproven": 0}
    worst: list[dict[str, object]] = []
    codes: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="kaikou-damage-") as place:
        template = Path(place) / "data"
        truth = prepare(template, settle_s)
        files: dict[str, list[Path]] = {}
        for at in sorted(p for p in template.rglob("*") if p.is_file()):
            path = at.relative_to(template)
            of_a_machine = is_certificate(path) and path.parts[0] == "simulators"
            if path.suffix not in UNREAD and path.parts[0] != "log" and not of_a_machine:
                files.setdefault(kind_of(path), []).append(path)
        some = {k: f for k, f in files.items() if not kinds or any(w in k for w in kinds)}
        sys.stderr.write(f"{len(some)} kinds of files: {', '.join(some)}\n")
        for number in range(trials):
            kind = list(some)[number % len(some)]
            how = DAMAGES[(number // len(some)) % len(DAMAGES)]
            found = trial(template, chance.choice(some[kind]), how, chance, truth)
            told["traceback"] += len(found.tracebacks)  # type: ignore[operator]
            told["silently_wrong"] += bool(found.silently_wrong)  # type: ignore[operator]
            told["deleted_unproven"] += len(found.deleted)  # type: ignore[operator]
            for code in found.codes.values():
                codes[str(code)] = codes.get(str(code), 0) + 1
            sys.stderr.write(f"{number + 1:4} {found}\n")
            if found.bad:
                worst.append(found.told())
    return {
        "trials": trials,
        "kinds": len(some),
        **told,
        "exit_codes": codes,
        "findings": worst[:50],
        "commands": len(commands()),
        "machine": machine(),
    }


def main(argv: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser("python -m bench damage", description=__doc__)
    parser.add_argument("--json", action="store_true", help="figures as the last line (always so)")
    parser.add_argument("--kind", action="append", default=[], metavar="PART")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--settle", type=float, default=SETTLE_S, help="s that the plant runs")
    given = parser.parse_args(argv)
    told = run(given.kind, given.trials, given.seed, given.settle)
    print(json.dumps(told, ensure_ascii=False))
    return int(any(told[k] for k in ("traceback", "silently_wrong", "deleted_unproven")))
