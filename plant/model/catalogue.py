"""The catalogue: machine types as data, one file each, extending one another."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from plant.errors import ConfigError, Problem
from plant.model.locate import Document, Where, read_document
from plant.model.shape import SignalShape, StateRuleShape, TypeShape
from plant.model.signal import Label
from plant.model.validate import did_you_mean, validate


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a signal's description, and where it was written."""

    shape: SignalShape
    document: Document
    where: Where


@dataclass(frozen=True, slots=True)
class MachineType:
    """A type with everything it inherits; later parts of a signal overrule earlier ones."""

    id: str
    name: Label
    role: str
    signals: Mapping[str, tuple[Part, ...]]
    state: tuple[StateRuleShape, ...]
    mode: tuple[StateRuleShape, ...]
    document: Document


@dataclass(slots=True)
class Catalogue:
    """All types by id. ``problems`` is what is wrong with their files."""

    types: dict[str, MachineType] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def read_catalogue(folders: list[Path] | None = None) -> Catalogue:
    """Kaikou's own types and those in further folders; the same id twice is a problem."""
    catalogue = Catalogue()
    files = [Path(str(resources.files("plant") / "catalog")), *(folders or [])]
    shapes: dict[str, tuple[TypeShape, Document]] = {}
    for folder in files:
        if not folder.is_dir():
            catalogue.problems.append(Problem(str(folder), 0, 0, "", "no such folder of types"))
        for file in sorted(folder.glob("*.yaml")):
            document = read_document(file, {})
            catalogue.problems += document.wrong
            shape, problems = validate(TypeShape, document.data, document, ())
            catalogue.problems += problems
            if shape is None:
                continue
            if shape.type in shapes:
                other = shapes[shape.type][1].file
                text = f"the type {shape.type!r} is also in {other}"
                catalogue.problems.append(document.problem(("type",), text))
                continue
            shapes[shape.type] = shape, document
    for id in shapes:
        _inherit(id, shapes, catalogue, ())
    return catalogue


def _inherit(
    id: str,
    shapes: Mapping[str, tuple[TypeShape, Document]],
    catalogue: Catalogue,
    below: tuple[str, ...],
) -> MachineType | None:
    if id in catalogue.types:
        return catalogue.types[id]
    shape, document = shapes[id]
    base: MachineType | None = None
    if shape.extends is not None:
        if shape.extends in (*below, id):
            text = f"extends itself: {' -> '.join((*below, id, shape.extends))}"
            catalogue.problems.append(document.problem(("extends",), text))
        elif shape.extends not in shapes:
            text = f"no type {shape.extends!r}{did_you_mean(shape.extends, list(shapes))}"
            catalogue.problems.append(document.problem(("extends",), text))
        else:
            base = _inherit(shape.extends, shapes, catalogue, (*below, id))
    signals = dict(base.signals) if base else {}
    for name, signal in shape.signals.items():
        part = Part(signal, document, ("signals", name))
        signals[name] = (*signals.get(name, ()), part)
    label = shape.name
    machine_type = MachineType(
        id=id,
        name=Label(label.zh, label.en) if label else base.name if base else Label(id, id),
        role=shape.role or (base.role if base else "machine"),
        signals=signals,
        state=tuple(shape.state) or (base.state if base else ()),
        mode=tuple(shape.mode) or (base.mode if base else ()),
        document=document,
    )
    catalogue.types[id] = machine_type
    return machine_type


def require(catalogue: Catalogue) -> Catalogue:
    """The catalogue, or a ConfigError with everything that is wrong with it."""
    if catalogue.problems:
        raise ConfigError(problems=tuple(catalogue.problems))
    return catalogue
