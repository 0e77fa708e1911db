"""What the demo says it will play, in the words of the simulators."""

from collections.abc import Iterator, Sequence
from pathlib import Path


def announce(faults: Sequence[str], scenario: Path | None) -> Iterator[str]:
    """Lines for people: what will go wrong on purpose."""
    from simulators.fault import KINDS
    from simulators.scenario import gather

    played = gather({"faults": faults, "scenario": scenario})
    if not played:
        yield "no fault is played; see --fault"
    for fault in played:
        text = KINDS[fault.kind].text
        said = [f"after {fault.at_s:g} s"] * bool(fault.at_s)
        given = [f"{name}: {value}" for name, value in fault.parameters.items()]
        said += [f"here with {', '.join(given)}"] * bool(given)
        when = f" ({', '.join(said)})" if said else ""
        yield f"fault {fault.kind} on the {fault.machine}{when}: {text.en}"
        yield f"      {text.zh}"
