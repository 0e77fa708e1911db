"""Reads plant.yaml: two passes, each reporting everything it finds, then one resolved Plant."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from plant.errors import ConfigError, Problem
from plant.model import plant as model
from plant.model.catalogue import Catalogue, MachineType, Part, read_catalogue, require
from plant.model.draft import Draft, present
from plant.model.kind import KindTable, SourceKind
from plant.model.locate import Document, Where, read_document
from plant.model.need import Need, beside, check_secrets, files_of, secrets_of
from plant.model.published import own_units
from plant.model.reason import Product, Reason
from plant.model.resolve import SignalResolver
from plant.model.rule import read_rules
from plant.model.secret import is_of_the_box
from plant.model.sense import (
    check_copy,
    check_lines,
    check_names,
    check_products,
    check_site,
)
from plant.model.shape import (
    AssetShape,
    LabelShape,
    LineShape,
    PlantShape,
    ReasonFileShape,
    SignalShape,
)
from plant.model.signal import Label, Signal, SignalKind
from plant.model.timetable import Timetable, catalogue_file
from plant.model.unit import Unit, known_units
from plant.model.validate import did_you_mean, validate

KINDS = ("sources", "conditions", "historians")


def load(
    path: Path | str,
    kinds: Mapping[str, KindTable],
    environment: Mapping[str, str] | None = None,
    *,
    secrets: bool = True,
) -> model.Plant:
    """A plant from its file.

    ``secrets`` False: one that is not there is no problem, only told in the plant's ``needs``.
    ``kinds`` holds the tables "sources", "conditions" and "historians" (deploy hands them in).
    Raises ConfigError with every problem, in file order.
    """
    file = Path(path)
    document = read_document(file, os.environ if environment is None else environment)
    if document.data is None:
        text = (
            "" if document.problems else f"{file}: is empty; `kaikou demo` runs one to start from"
        )
        raise ConfigError(text, tuple(document.problems))
    document.problems += [
        problem for where, problem in document.unset.items() if secrets or not is_of_the_box(where)
    ]
    return _Loader(document, {k: kinds.get(k, {}) for k in KINDS}, file.parent).plant()


class _Loader:
    def __init__(self, document: Document, kinds: Mapping[str, KindTable], folder: Path) -> None:
        self.document = document
        self.kinds = kinds
        self.folder = folder
        self.problems: list[Problem] = list(document.problems)
        self.catalogue = Catalogue()
        self.own_units: tuple[Unit, ...] = ()

    def plant(self) -> model.Plant:
        if self.document.data is None:  # not YAML, or no file: nothing more can be said
            raise self._error()
        shape, problems = validate(PlantShape, self.document.data, self.document, ())
        self.problems += problems
        if shape is None:
            raise self._error()
        folders = [self.folder / shape.catalog] if shape.catalog else []
        self.catalogue = require(read_catalogue(folders))
        for check in (check_site(shape, self.document), check_names(shape, self.document)):
            self.problems += check
        self.problems += check_secrets(self.document)
        self.problems += check_lines(shape, self.document, self._given("assets"))
        self.problems += check_products(shape, self.document, self._given("assets"))
        calendar = None
        if shape.calendar is not None:
            timetable = Timetable(shape.calendar, self.document)
            calendar = timetable.calendar()
            self.problems += timetable.problems
        self.own_units = tuple(own_units(shape.units, self.document, self.problems))
        sources = self._sources(shape)
        historian = self._kind("historians", dict(shape.historian), ("historian",))
        second = None
        if shape.second is not None:
            second = self._kind("historians", dict(shape.second), ("copy",))
            self.problems += check_copy(historian, second, self.document)
        assets = self._assets(shape, sources)
        if self.problems:
            raise self._error()
        plant = self._build(shape, sources, historian, assets)
        return replace(
            plant,
            calendar=calendar,
            reasons=_reasons(shape),
            copy=second,
            own_units=self.own_units,
            needs=self._needs(shape, sources),
        )

    def _needs(self, shape: PlantShape, sources: Mapping[str, tuple[str, Any]]) -> tuple[Need, ...]:
        return (*secrets_of(self.document), *files_of(self.document, shape, sources, self.folder))

    def _error(self) -> ConfigError:
        order = sorted(set(self.problems), key=lambda p: (p.file != self.document.file, p))
        return ConfigError(problems=tuple(order))

    def _given(self, room: str) -> set[str]:
        """Ids as they stand in the file, also of what is wrong inside."""
        data = self.document.data
        part = data.get(room) if isinstance(data, dict) else None
        return {str(k) for k in part} if isinstance(part, dict) else set()

    def _kind(self, table: str, given: dict[str, Any], where: Where) -> BaseModel | None:
        kinds = self.kinds[table]
        kind = given.get("kind")
        if not isinstance(kind, str) or kind not in kinds:
            text = f"no kind {kind!r}{did_you_mean(kind, list(kinds))}" if kind else "has no kind"
            at = (*where, "kind") if kind else where
            self.problems.append(self.document.problem(at, text))
            return None
        config, problems = validate(kinds[kind], given, self.document, where)
        self.problems += problems
        return None if config is None else beside(config, self.folder)

    def _sources(self, shape: PlantShape) -> dict[str, tuple[str, Any]]:
        found: dict[str, tuple[str, Any]] = {}
        for edge, edge_shape in shape.edges.items():
            for id, given in edge_shape.sources.items():
                where = ("edges", edge, "sources", id)
                config = self._kind("sources", dict(given), where)
                if id in found:
                    text = f"the id is already a source of edge {found[id][0]!r}"
                    self.problems.append(self.document.problem(where, text, key=True))
                found.setdefault(id, (edge, config))
        for edge in self._given("edges") - set(shape.edges):
            raw = self.document.data["edges"][edge]  # type: ignore[index]
            for id in (raw.get("sources") or {}) if isinstance(raw, dict) else ():
                found.setdefault(str(id), (edge, None))
        return found

    def _assets(
        self, shape: PlantShape, sources: Mapping[str, tuple[str, Any]]
    ) -> dict[str, model.Asset]:
        drafts: dict[str, Draft] = {}
        types: dict[str, MachineType] = {}
        shapes = self._all_assets(shape)
        for id, asset in shapes.items():
            machine_type = self._type(id, asset, shape)
            if machine_type is None:
                continue
            types[id] = machine_type
            drafts |= self._drafts(id, asset, machine_type)
        drafts = present(drafts)
        units = known_units().also(self.own_units)
        conditions = self.kinds["conditions"]
        resolver = SignalResolver(drafts, sources, conditions, shape.simulated, units)
        signals: dict[str, list[Signal]] = {id: [] for id in types}
        for draft in drafts.values():
            signal = resolver.signal(draft, shapes[draft.asset].edge)
            signals[draft.asset].append(signal)
            self.problems += draft.problems
        self._check_points(drafts, signals, sources)
        lines = {s: id for id, line in shape.lines.items() for s in line.flow if isinstance(s, str)}
        return {
            id: model.Asset(
                id=id,
                type=types[id].id,
                name=Label(shapes[id].name.zh, shapes[id].name.en),
                role=types[id].role,
                edge=shapes[id].edge,
                line=lines.get(id, shapes[id].line),
                signals=tuple(found),
                state_rules=self._rules("state", types[id], found),
                cycle_s=shapes[id].cycle_s,
                parameters=shapes[id].parameters,
                mode_rules=self._rules("mode", types[id], found),
            )
            for id, found in signals.items()
        }

    def _all_assets(self, shape: PlantShape) -> dict[str, AssetShape]:
        """The plant's assets, and those that come with its edges, its lines and the twin."""
        own = {model.TWIN: AssetShape(type="twin", name=LabelShape(zh="孪生", en="Twin"))}
        own |= {id: AssetShape(type="edge", name=e.name, edge=id) for id, e in shape.edges.items()}
        own |= {
            id: AssetShape(type="production_line", name=x.name, signals=_buffers(x, shape.assets))
            for id, x in shape.lines.items()
        }
        return {
            **{
                id: asset
                for id, asset in own.items()
                if id not in shape.assets and asset.type in self.catalogue.types
            },
            **shape.assets,
        }

    def _type(self, id: str, asset: AssetShape, shape: PlantShape) -> MachineType | None:
        if asset.edge is not None and asset.edge not in self._given("edges"):
            hint = did_you_mean(asset.edge, sorted(shape.edges))
            text = f"no edge {asset.edge!r}{hint}"
            self.problems.append(self.document.problem(("assets", id, "edge"), text))
        if asset.line is not None and asset.line not in self._given("lines"):
            hint = did_you_mean(asset.line, sorted(shape.lines))
            text = f"no line {asset.line!r}{hint}"
            self.problems.append(self.document.problem(("assets", id, "line"), text))
        found = self.catalogue.types.get(asset.type)
        if found is None:
            hint = did_you_mean(asset.type, sorted(self.catalogue.types))
            hint = hint or "; `kaikou types` lists all"
            text = f"no machine type {asset.type!r}{hint}"
            self.problems.append(self.document.problem(("assets", id, "type"), text))
        return found

    def _drafts(self, id: str, asset: AssetShape, machine_type: MachineType) -> dict[str, Draft]:
        parts: dict[str, tuple[Part, ...]] = dict(machine_type.signals)
        for name, signal in asset.signals.items():
            here = Part(signal, self.document, ("assets", id, "signals", name))
            parts[name] = (*parts.get(name, ()), here)
        if id not in self._given("assets"):  # an edge's or a line's own signals
            parts = {n: p for n, p in parts.items() if _complete(p)}
        return {f"{id}/{name}": Draft(id, name, p) for name, p in parts.items()}

    def _check_points(
        self,
        drafts: Mapping[str, Draft],
        signals: Mapping[str, list[Signal]],
        sources: Mapping[str, tuple[str, Any]],
    ) -> None:
        points: dict[str, dict[str, BaseModel]] = {}
        for found in signals.values():
            for signal in found:
                if signal.reading is not None and isinstance(signal.reading.at, BaseModel):
                    points.setdefault(signal.reading.source, {})[signal.path] = signal.reading.at
        for source, at in points.items():
            config = sources[source][1]
            if not isinstance(config, SourceKind):
                continue
            for path, text in config.check(at):
                draft = drafts[path]
                draft.problems.clear()
                draft.complain("at", text)
                self.problems += draft.problems

    def _rules(
        self, key: str, machine_type: MachineType, signals: list[Signal]
    ) -> tuple[model.StateRule, ...]:
        shapes = machine_type.state if key == "state" else machine_type.mode
        return read_rules(key, shapes, signals, machine_type.document, self.problems)

    def _build(
        self,
        shape: PlantShape,
        sources: Mapping[str, tuple[str, Any]],
        historian: object,
        assets: Mapping[str, model.Asset],
    ) -> model.Plant:
        edges = {
            id: model.Edge(
                id=id,
                name=Label(e.name.zh, e.name.en),
                sources={s: config for s, (edge, config) in sources.items() if edge == id},
                outbox=model.Outbox(e.outbox.max_mb, e.outbox.when_full, e.outbox.commit_ms),
                opcua=model.OpcUa(
                    e.opcua.host,
                    e.opcua.port,
                    tuple(model.OpcUaUser(u.name, u.password) for u in e.opcua.users),
                    e.opcua.assets,
                    e.opcua.feed,
                )
                if e.opcua
                else None,
            )
            for id, e in shape.edges.items()
        }
        return model.Plant(
            enterprise=shape.enterprise,
            site=shape.site.id,
            name=Label(shape.site.name.zh, shape.site.name.en),
            timezone=ZoneInfo(shape.site.timezone),
            host_id=shape.host_id,
            broker=model.Broker(**beside(shape.broker, self.folder).model_dump()),
            historian=historian,
            gateway=model.Gateway(**beside(shape.gateway, self.folder).model_dump()),
            lines={
                id: model.Line(id, Label(x.name.zh, x.name.en), _flow(x.flow), x.constraint)
                for id, x in shape.lines.items()
            },
            edges=edges,
            assets=assets,
            simulated=shape.simulated,
            hash=_hash(shape, assets, self.document.referenced),
            products={
                id: Product(id, Label(p.name.zh, p.name.en), p.cycle_s)
                for id, p in shape.products.items()
            },
        )


def _reasons(shape: PlantShape) -> dict[str, Reason]:
    """The catalogue's, and the plant's own, which may say otherwise of one of those."""
    own = catalogue_file(ReasonFileShape, "reason", "default").reasons | shape.reasons
    return {code: Reason(code, Label(r.name.zh, r.name.en), r.kind) for code, r in own.items()}


def _complete(parts: tuple[Part, ...]) -> bool:
    return any(p.shape.by or p.shape.source for p in parts) or all(
        p.shape.condition is None for p in parts
    )


def _buffers(line: LineShape, assets: Mapping[str, AssetShape]) -> dict[str, SignalShape]:
    """A line's own signals: how many parts the twin estimates behind each station."""
    return {
        f"buffer_{station.asset}": SignalShape(
            name=LabelShape(zh=f"{name.zh}后缓冲", en=f"Buffer after {name.en}"),
            kind=SignalKind.MEASUREMENT,
            unit="",
            range=(0, station.buffer + 1),
            decimals=0,
            estimated=True,
            by="twin",
        )
        for station in _flow(line.flow)[:-1]
        if station.asset in assets
        for name in [assets[station.asset].name]
    }


def _flow(items: list[str | int]) -> tuple[model.Station, ...]:
    buffers = {i - 1: n for i, n in enumerate(items) if isinstance(n, int)}
    return tuple(
        model.Station(a, buffers.get(i, 0)) for i, a in enumerate(items) if isinstance(a, str)
    )


def _hash(shape: PlantShape, assets: Mapping[str, model.Asset], referenced: Iterable[Where]) -> str:
    """Over what was resolved: two processes with different files notice.

    What comes from the environment (secrets, the account of a box at the broker) is left out.
    """
    settings = shape.model_dump(mode="json", by_alias=True)
    for *where, key in referenced:
        at: Any = settings
        for part in where:
            at = at.get(part, {}) if isinstance(at, dict) else at[part]
        if isinstance(at, dict):
            at.pop(key, None)
    text = json.dumps(settings, sort_keys=True, default=str) + repr(sorted(assets.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
