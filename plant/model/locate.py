"""YAML with its positions: plain data beside a map from every path to its line and column.

``${NAME}`` in a scalar is taken from the environment, or from the file that ``NAME_FILE`` names;
``${NAME:-default}`` has a default. Which paths held such a reference is kept, because a secret
may be given in no other way.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from plant.errors import Problem
from plant.model import core_yaml
from plant.model.secret import is_of_the_box
from plant.text import printable

Key = str | int
Where = tuple[Key, ...]
"""A path into a document: keys of mappings, indices of lists."""

_MOST = 500_000
"""Values that a file may have, repeated ones counted each time."""
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def dotted(where: Where) -> str:
    """A path as people write it.

    >>> dotted(("lines", "housings", "flow", 2))
    'lines.housings.flow[2]'
    """
    text = ""
    for key in where:
        word = printable(key)
        text += f"[{key}]" if isinstance(key, int) else f".{word}" if text else word
    return text


@dataclass(slots=True)
class Document:
    """A YAML file as data, where each thing stands, and what could not be understood.

    referenced  where a value holds ``${NAME}``, and which names
    unset       where one had no value, and what is to be said of it unless nobody here uses it; the
                reference stands there as it was written
    """

    file: str
    data: object = None
    problems: list[Problem] = field(default_factory=list)
    referenced: dict[Where, tuple[str, ...]] = field(default_factory=dict)
    unset: dict[Where, Problem] = field(default_factory=dict)
    _keys: dict[Where, tuple[int, int]] = field(default_factory=dict)
    _values: dict[Where, tuple[int, int]] = field(default_factory=dict)

    @property
    def wrong(self) -> list[Problem]:
        """All problems, those of references without a value too."""
        return list(dict.fromkeys([*self.problems, *self.unset.values()]))

    def has(self, where: Where) -> bool:
        """Whether the file says anything at a path."""
        return where in self._values

    def problem(self, where: Where, text: str, *, key: bool = False) -> Problem:
        """A finding at a value (or at its key); climbs to the nearest ancestor that exists."""
        at = where
        while at and at not in self._values:
            at = at[:-1]
            key = True
        places = self._keys if key and at in self._keys else self._values
        line, column = places.get(at, (1, 1))
        return Problem(self.file, line, column, dotted(where), text)


def read_document(file: Path, environment: Mapping[str, str]) -> Document:
    """Parse a file; what is wrong with its YAML or its references is in ``problems``."""
    try:
        data = file.read_bytes()
        return parse_document(data.decode("utf-8"), str(file), environment)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = Problem(str(file), line, 1, "", "is not UTF-8; save the file as UTF-8")
    except OSError as error:
        lost = isinstance(error, FileNotFoundError)
        why = "it is not there; name it, or `demo` for the demo's" if lost else error.strerror
        problem = Problem(str(file), 0, 0, "", f"cannot be read: {why}")
    document = Document(str(file))
    document.problems.append(problem)
    return document


def parse_document(text: str, file: str, environment: Mapping[str, str]) -> Document:
    r"""Like ``read_document`` for text at hand.

    >>> d = parse_document("a:\n  b: ${X:-7}\n", "p.yaml", {})
    >>> d.data, str(d.problem(("a", "b"), "too small"))
    ({'a': {'b': 7}}, 'p.yaml:2:6: a.b: too small')
    """
    document = Document(file)
    try:
        node = core_yaml.compose(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        problem = f"not YAML: {error.reason} (character {error.character:#06x})"
        document.problems.append(Problem(file, line, column, "", problem))
        return document
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        what = " ".join(filter(None, (error.context, error.problem)))
        what += _hint(text.splitlines(), line, column)
        document.problems.append(Problem(file, line, column, "", f"not YAML: {what}"))
        return document
    if node is not None:
        document.data = _Walk(document, environment).value(node, ())
    return document


def _hint(lines: list[str], line: int, column: int) -> str:
    r"""What people most often meant where the parser stopped.

    >>> _hint(["a:", "\tb: 1"], 2, 1), _hint(["unit: %"], 1, 7)
    ('; indent with spaces, not tabs', "; quote what begins with '%'")
    """
    for at in (line, line - 1):
        given = lines[at - 1] if 0 < at <= len(lines) else ""
        if "：" in given:
            return f"; line {at} has a full-width '：': write ':' and a space"
    given = lines[line - 1] if line <= len(lines) else ""
    stopped = given[column - 1 : column]
    if "${" in given:
        return '; inside {...} a reference is quoted: "${NAME}"'
    if stopped == "\t":
        return "; indent with spaces, not tabs"
    return f"; quote what begins with {stopped!r}" if stopped and stopped in "%@`" else ""


@dataclass(slots=True)
class _Walk:
    document: Document
    environment: Mapping[str, str]
    open: set[int] = field(default_factory=set)
    """Nodes that are being read: an alias to one of them would never end."""
    count: int = 0

    def value(self, node: yaml.Node, where: Where) -> object:
        mark = node.start_mark
        self.count += 1
        if self.count > _MOST:
            if self.count == _MOST + 1:  # aliases of aliases of aliases
                self.document.problems.append(
                    self.document.problem((), f"more than {_MOST} values")
                )
            return None
        self.document._values[where] = (mark.line + 1, mark.column + 1)
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node, where)
        if not isinstance(node, yaml.CollectionNode):
            raise TypeError(node)
        if id(node) in self.open:
            self.document.problems.append(self.document.problem(where, "holds itself"))
            return None
        self.open.add(id(node))
        try:
            core_yaml.check_collection(node)
            if isinstance(node, yaml.MappingNode):
                return self.mapping(node, where)
            return [self.value(item, (*where, i)) for i, item in enumerate(node.value)]
        except core_yaml.TagError as error:
            self.no_value(where, str(error))
            return None
        finally:
            self.open.discard(id(node))

    def mapping(self, node: yaml.MappingNode, where: Where) -> dict[Key, object]:
        result: dict[Key, object] = {}
        for key_node, value_node in node.value:
            key = _key(key_node)
            here = (*where, key)
            mark = key_node.start_mark
            if key in result:
                text = f"given twice, first on line {self.document._keys[here][0]}"
                self.document.problems.append(
                    Problem(self.document.file, mark.line + 1, mark.column + 1, dotted(here), text)
                )
                continue
            self.document._keys[here] = (mark.line + 1, mark.column + 1)
            result[key] = self.value(value_node, here)
        return result

    def scalar(self, node: yaml.ScalarNode, where: Where) -> object:
        text = str(node.value)
        if "${" not in text:
            try:
                return core_yaml.scalar(node)
            except core_yaml.TagError as error:
                self.no_value(where, str(error))
                return None
        names = tuple(match[1] for match in _REFERENCE.finditer(text))
        self.document.referenced[where] = names
        filled = _REFERENCE.sub(lambda match: self.reference(match, where), text)
        if where in self.document.unset:
            return text
        if node.tag != core_yaml.PLAIN or is_of_the_box(where):  # 0815 is no number
            return filled
        return core_yaml.plain(filled)

    def reference(self, match: re.Match[str], where: Where) -> str:
        name, default = match[1], match[2]
        if name in self.environment:
            value = self.environment[name]
            return value if _is_text(value) else self.without(where, f"{name} is not UTF-8")
        file = self.environment.get(f"{name}_FILE")
        if file is not None:
            try:
                return Path(file).read_text("utf-8-sig").strip()
            except UnicodeDecodeError:
                return self.without(where, f"{name}_FILE: {file} is not UTF-8")
            except (OSError, ValueError) as error:
                return self.without(where, f"{name}_FILE cannot be read: {error}")
        if default is not None:
            return default
        text = f"{name} is not set; export {name}, or {name}_FILE with the path of a file"
        return self.without(where, text)

    def no_value(self, where: Where, text: str) -> None:
        self.document.problems.append(self.document.problem(where, text))
        self.without(where, text)

    def without(self, where: Where, text: str) -> str:
        self.document.unset.setdefault(where, self.document.problem(where, text))
        return ""


def _is_text(value: str) -> bool:
    """Not where a byte of the environment is no UTF-8, which Python keeps as half a character."""
    return not any("\ud800" <= c <= "\udfff" for c in value)


def _key(node: yaml.Node) -> Key:
    """A key: a whole number, else the words as they stand (``on:``, ``true:``, ``1.0:``)."""
    if isinstance(node, yaml.ScalarNode) and node.tag == core_yaml.PLAIN:
        key = core_yaml.plain(str(node.value))
        if isinstance(key, int) and not isinstance(key, bool):
            return key
    return str(node.value) if isinstance(node, yaml.ScalarNode) else "{...}"
