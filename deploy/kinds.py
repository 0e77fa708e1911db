"""Gathers the kinds of every room: only here does one room's table meet another's plant.yaml."""

from collections.abc import Mapping

from plant.model.kind import KindTable


def kinds() -> Mapping[str, KindTable]:
    """What ``plant.model.load.load`` wants: sources, conditions, historians."""
    from edge.adapters import KINDS as SOURCES
    from edge.conditioning import KINDS as CONDITIONS
    from twin.historian import KINDS as HISTORIANS

    return {"sources": SOURCES, "conditions": CONDITIONS, "historians": HISTORIANS}
