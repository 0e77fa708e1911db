"""From drafts to signals: every key given its meaning, every contradiction named."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from plant.model.draft import Draft, absolute
from plant.model.kind import KindTable
from plant.model.packml import PACKML_LABELS
from plant.model.published import Published, published
from plant.model.signal import Label, Origin, Reading, Signal, SignalKind
from plant.model.unit import Units, between
from plant.model.validate import did_you_mean, validate


class SignalResolver:
    """Resolves drafts against the sources and conditions that exist.

    ``sources`` maps a source's id to (edge, configuration); configuration None stands for a
    source that was given but is itself wrong, so nothing more is said of its points.
    """

    def __init__(
        self,
        drafts: Mapping[str, Draft],
        sources: Mapping[str, tuple[str, Any]],
        conditions: KindTable,
        simulated: bool,
        units: Units,
    ) -> None:
        self._drafts = drafts
        self._sources = sources
        self._conditions = conditions
        self._simulated = simulated
        self._units = units
        self._published: dict[str, Published] = {}

    def signal(self, draft: Draft, edge: str | None) -> Signal:
        """The signal; what is wrong is added to the draft's problems and left out of it."""
        kind = draft.get("kind")
        if kind is None:
            if not draft.tried("kind"):
                draft.complain("", "has no kind; measurement, counter, state, setpoint or text")
            kind = SignalKind.MEASUREMENT
        unit = self._unit(draft)
        self._numbers(draft, kind, unit)
        origin = Origin(draft.get("by", "edge"))
        if origin is not Origin.EDGE:
            for key in ("source", "at", "condition", "hidden"):
                if draft.given(key):
                    draft.complain(key, f"is by {origin}, so the edge has no {key!r} for it")
        name = draft.get("name")
        if name is None and not draft.tried("name"):
            draft.complain("", "has no name {zh, en}")
        condition = self._condition(draft) if origin is Origin.EDGE else None
        reading = self._reading(draft, edge) if origin is Origin.EDGE else None
        scale, offset = self._scale(draft, unit, condition, reading)
        return Signal(
            path=draft.path,
            asset=draft.asset,
            id=draft.id,
            name=Label(name.zh, name.en) if name else Label(draft.id, draft.id),
            kind=kind,
            unit=unit.unit.symbol,
            range=unit.range,
            deadband=unit.deadband,
            max_interval=draft.get("max_interval", 60.0),
            decimals=draft.get("decimals", 1 if kind is SignalKind.MEASUREMENT else 0),
            modulus=unit.modulus,
            states=self._states(draft, kind, condition),
            origin=origin,
            reading=reading,
            scale=scale,
            offset=offset,
            condition=condition,
            inputs=tuple(absolute(n, draft.asset) for n in draft.get("of", [])),
            input_scales=self._input_scales(draft, condition),
            hidden=draft.get("hidden", False),
            estimated=self._estimated(draft, origin),
            simulated=self._simulated,
            was=tuple(draft.get("was", [])),
        )

    def _unit(self, draft: Draft) -> Published:
        """What a signal is published in; said of a draft once."""
        if draft.path not in self._published:
            kind = draft.get("kind", SignalKind.MEASUREMENT)
            self._published[draft.path] = published(draft, kind, self._units)
        return self._published[draft.path]

    def _scale(
        self, draft: Draft, unit: Published, condition: object, reading: Reading | None
    ) -> tuple[float, float]:
        """Scale and offset from what is read (or what the condition gives) to what is published."""
        scale, offset = draft.get("scale", 1.0), draft.get("offset", 0.0)
        if draft.given("condition"):
            for key in ("scale", "offset"):
                if draft.given(key):
                    draft.complain(key, "is of what a source reads; a condition scales by itself")
            scale, offset = 1.0, 0.0
        told = getattr(condition, "OUTPUT_UNIT", None) or getattr(
            reading and reading.at, "unit", ""
        )
        if not isinstance(told, str) or not told or not unit.unit.symbol:
            return unit.conversion.scaled(scale, offset)
        own = self._units.find(told, unit.unit.quantity)
        if own is None or own.quantity != unit.unit.quantity:
            text = f"is {told!r} by itself, and the signal in {unit.unit.symbol!r}"
            draft.complain("condition" if condition else "at", text)
            return 1.0, 0.0
        local = draft.local
        if draft.given("scale") and not draft.given("condition") and own is not unit.unit:
            if local is not None and local.shape.unit is not None:  # the scale makes it that
                return unit.conversion.scaled(scale, offset)
            draft.complain("scale", f"gives which unit? The device tells {told!r}: add 'unit'")
        return between(own, unit.unit).scaled(scale, offset)

    def _input_scales(
        self, draft: Draft, condition: BaseModel | None
    ) -> tuple[tuple[float, float], ...]:
        """Of each input: scale and offset from its unit to the one that the condition works in."""
        wanted = self._units.find(getattr(condition, "INPUT_UNIT", None) or "")
        scales = []
        for name in draft.get("of", []):
            input = self._drafts.get(absolute(name, draft.asset))
            unit = self._unit(input).unit if input is not None else None
            if not wanted or not wanted.symbol or not unit or not unit.symbol:
                scales.append((1.0, 0.0))
            elif unit.quantity != wanted.quantity:
                text = f"{name!r} is in {unit.symbol!r}, the condition takes {wanted.symbol!r}"
                draft.complain("of", text)
            else:
                scales.append(between(unit, wanted).scaled(1.0, 0.0))
        return tuple(scales)

    def _numbers(self, draft: Draft, kind: SignalKind, unit: Published) -> None:
        low, high = unit.range or (float("-inf"), float("inf"))
        deadband = unit.deadband
        if low >= high:
            draft.complain("range", f"is empty: {low:g} is not below {high:g}")
        elif deadband >= high - low:
            draft.complain("deadband", f"{deadband:g} swallows the whole range {low:g}..{high:g}")
        if deadband and kind in {SignalKind.COUNTER, SignalKind.STATE, SignalKind.TEXT}:
            draft.complain("deadband", f"a {kind} reports every change; a deadband would lose some")
        if draft.given("modulus") and kind is not SignalKind.COUNTER:
            draft.complain("modulus", f"only a counter rolls over, this is a {kind}")
        if draft.get("scale") == 0.0:
            draft.complain("scale", "0 would make every value 0")
        if kind is not SignalKind.STATE and draft.given("states"):
            draft.complain("states", f"only a state has states, this is a {kind}")

    def _estimated(self, draft: Draft, origin: Origin) -> bool:
        """Said so, or derived by twin or analytics of something that is."""
        if draft.given("estimated") or origin is Origin.EDGE:
            return bool(draft.get("estimated", False))
        inputs = (self._drafts.get(absolute(n, draft.asset)) for n in draft.get("of", []))
        return any(d is not None and bool(d.get("estimated", False)) for d in inputs)

    def _states(
        self, draft: Draft, kind: SignalKind, condition: BaseModel | None
    ) -> Mapping[int, Label]:
        given = draft.get("states")
        if given == "packml":
            return PACKML_LABELS
        named: Mapping[int, Label] = getattr(condition, "STATES", {})
        states = {n: Label(s.zh, s.en) for n, s in given.items()} if given else named
        if kind is SignalKind.STATE and not states and not draft.tried("states"):
            draft.complain("", "is a state without 'states': name each number, or say packml")
        return states if kind is SignalKind.STATE else {}

    def _reading(self, draft: Draft, edge: str | None) -> Reading | None:
        source, at = draft.get("source"), draft.get("at")
        if source is None and at is None:
            if not any(draft.tried(key) for key in ("source", "at", "condition", "by")):
                draft.complain("", "is neither read (source, at) nor conditioned (of, condition)")
            return None
        if draft.given("condition"):
            draft.complain("condition", "is read from a source; a condition works on other signals")
        if source is None:
            draft.complain("at", "has an address but no source")
        elif at is None:
            draft.complain("source", "has a source but no address ('at')")
        elif (config := self._source(draft, source, edge)) is not None:
            return self._point(draft, source, at, config)
        return None

    def _source(self, draft: Draft, source: str, edge: str | None) -> Any:
        if source not in self._sources:
            known = [s for s, (e, _) in self._sources.items() if edge in (None, e)]
            draft.complain("source", f"no source {source!r}{did_you_mean(source, known)}")
            return None
        source_edge, config = self._sources[source]
        if source_edge != edge:
            whose = f"to {edge!r}" if edge else f"to none: give the asset 'edge: {source_edge}'"
            text = f"the source {source!r} belongs to edge {source_edge!r}, the asset {whose}"
            draft.complain("source", text)
            return None
        return config

    def _point(self, draft: Draft, source: str, at: object, config: Any) -> Reading | None:
        part = draft.part_of("at")
        point, problems = validate(type(config).Point, at, part.document, (*part.where, "at"))
        draft.problems += problems
        return Reading(source, point) if point is not None and not problems else None

    def _condition(self, draft: Draft) -> BaseModel | None:
        given = draft.get("condition")
        if given is None:
            if draft.given("of"):
                draft.complain("of", "has inputs but no condition")
            return None
        if not draft.given("of"):
            draft.complain("condition", "has no inputs; name them under 'of'")
        for name in draft.get("of", []):
            if absolute(name, draft.asset) not in self._drafts:
                prefix = f"{draft.asset}/"
                known = [p.removeprefix(prefix) for p in self._drafts]
                draft.complain("of", f"no signal {name!r}{did_you_mean(name, known)}")
        if self._circular(draft):
            draft.complain("of", "depends on itself")
        kind = given.get("kind")
        part = draft.part_of("condition")
        where = (*part.where, "condition")
        if kind not in self._conditions:
            text = f"no condition {kind!r}{did_you_mean(kind, list(self._conditions))}"
            at = (*where, "kind") if kind is not None else where
            draft.problems.append(part.document.problem(at, text))
            return None
        condition, problems = validate(self._conditions[kind], given, part.document, where)
        draft.problems += problems
        check = getattr(condition, "check", None)
        for text in check(len(draft.get("of"))) if check and draft.given("of") else ():
            draft.complain("of", text)
        return condition

    def _circular(self, draft: Draft) -> bool:
        seen: set[str] = set()
        waiting = [draft.path]
        while waiting:
            at = self._drafts.get(waiting.pop())
            for name in at.get("of", []) if at else []:
                path = absolute(name, at.asset if at else "")
                if path == draft.path:
                    return True
                if path not in seen:
                    seen.add(path)
                    waiting.append(path)
        return False
