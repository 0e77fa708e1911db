"""A scenario: faults by time, from a YAML file.

    - {at: 60, fault: jam, machine: press, duration_s: 120}
    - {at: 300, fault: bearing-wear}

``at`` counts fault seconds after the live start; further keys are the fault's own parameters.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plant.errors import ConfigError, Problem
from plant.model.locate import Document, read_document
from plant.model.validate import did_you_mean
from simulators.fault import KINDS, Fault, parse

_OWN = {"at", "fault", "machine"}


def read_scenario(file: Path) -> list[Fault]:
    """The faults of a file, with every problem at its line."""
    document = read_document(file, {})
    problems = list(document.wrong)
    faults = []
    entries = document.data if document.data is not None else []
    if not isinstance(entries, list):
        problems.append(document.problem((), "a scenario is a list of faults"))
        entries = []
    for i, entry in enumerate(entries):
        found = list(_wrong(document, i, entry))
        problems += found
        if not found:
            rest = {k: v for k, v in entry.items() if k not in _OWN}
            name = entry["fault"]
            machine = str(entry.get("machine", KINDS[name].usual))
            faults.append(Fault(name, machine, float(entry.get("at", 0)), rest))
    if problems:
        raise ConfigError(problems=tuple(problems))
    return faults


def _wrong(document: Document, i: int, entry: Any) -> Sequence[Problem]:
    if not isinstance(entry, dict):
        return [document.problem((i,), "is not a fault: {at, fault, machine, ...}")]
    name = str(entry.get("fault", ""))
    if name not in KINDS:
        text = f"no fault {name!r}{did_you_mean(name, list(KINDS))}"
        return [document.problem((i, "fault") if "fault" in entry else (i,), text)]
    found = []
    known = [*_OWN, *KINDS[name].defaults]
    for key in entry:
        if key not in known:
            text = f"unknown key{did_you_mean(key, known)}"
            found.append(document.problem((i, key), text, key=True))
    at = entry.get("at", 0)
    if isinstance(at, bool) or not isinstance(at, int | float) or at < 0:
        found.append(document.problem((i, "at"), "seconds after the live start, not below 0"))
    return found


def gather(options: Any) -> list[Fault]:
    """The faults that a process was asked for: ``faults`` (names) and ``scenario`` (a file)."""
    names = [n for n in options.get("faults") or () if n != "none"]
    faults = [parse(str(name)) for name in names]
    scenario = options.get("scenario")
    return faults + (read_scenario(Path(scenario)) if scenario else [])
