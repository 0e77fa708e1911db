"""What the demo says it will play, in the words of the plant."""

from collections.abc import Iterator, Sequence

STORIES = {
    "bearing-wear": (
        "the lathe's spindle bearing wears: its vibration rises under load, its health warns after "
        "about 5 minutes and it fails after about 20"
    ),
    "wire-break": "the press's pressure transmitter loses its wire: Bad, with the reason",
    "meter-reset": "an energy meter starts again from zero: a reset, no negative energy",
    "device-offline": "a device stops answering: its signals turn Bad within two polls",
    "late-reply": "a device answers after its time-out: nothing is taken for another's answer",
    "jam": "a machine jams: it stands Aborted, those before it block, those after it starve",
    "loose-sensor": "the lathe's vibration sensor comes loose: a sensor fault, no bearing alarm",
    "tool-wear-scrap": "a tool wears: the gauge rejects more and more parts",
}


def announce(faults: Sequence[str]) -> Iterator[str]:
    """Lines for people: what will go wrong on purpose."""
    if not faults:
        yield "\n  no fault is played"
    for name in faults:
        yield f"\n  fault {name}: {STORIES.get(name, 'see its log')}"
