"""The loader finds every planted error at its line, and nothing in a plant that is right."""

import re
from pathlib import Path

import pytest

from edge.adapters import KINDS as SOURCES
from edge.conditioning import KINDS as CONDITIONS
from plant.errors import ConfigError
from plant.model.load import load
from plant.model.signal import SignalKind
from twin.historian import KINDS as HISTORIANS

CASES = Path(__file__).parent.parent / "cases"
KINDS = {"sources": SOURCES, "conditions": CONDITIONS, "historians": HISTORIANS}


def test_every_planted_error_is_reported_at_its_line_and_nothing_else() -> None:
    file = CASES / "planted.yaml"
    planted = {
        number: line.split("#!")[1].strip()
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if "#!" in line and not line.startswith("#")
    }
    assert len(planted) >= 20
    with pytest.raises(ConfigError) as caught:
        load(file, KINDS, {})
    found = {p.line: str(p) for p in caught.value.problems}
    assert len(found) == len(caught.value.problems), "two problems on one line"
    missed = {n: text for n, text in planted.items() if text not in found.get(n, "")}
    extra = {n: text for n, text in found.items() if n not in planted}
    assert (missed, extra) == ({}, {})


VALID = """
kaikou: 1
enterprise: acme
site: {id: works, name: {zh: 工厂, en: Works}, timezone: Asia/Shanghai}
edges:
  edge1:
    name: {zh: 一号, en: One}
    sources:
      io: {kind: modbus, host: 127.0.0.1, port: 502, poll_ms: 500}
assets:
  furnace:
    type: machine
    name: {zh: 炉, en: Furnace}
    edge: edge1
    signals:
      zone1:
        name: {zh: 一区, en: Zone 1}
        kind: measurement
        unit: degC
        scale: 0.1
        source: io
        at: input:100 int16
"""


def _load(tmp_path: Path, text: str, **environment: str):  # type: ignore[no-untyped-def]
    file = tmp_path / "plant.yaml"
    file.write_text(text, "utf-8")
    return load(file, KINDS, environment)


def test_a_valid_plant_resolves(tmp_path: Path) -> None:
    plant = _load(tmp_path, VALID)
    zone = plant.assets["furnace"].signal("zone1")
    assert zone is not None
    assert (zone.path, zone.kind, zone.unit, zone.scale) == (
        "furnace/zone1",
        SignalKind.MEASUREMENT,
        "degC",
        0.1,
    )
    assert zone.reading is not None
    assert zone.reading.source == "io"
    assert plant.group == "acme-works"
    assert plant.assets["edge1"].role == "edge"
    assert {s.id for s in plant.assets["furnace"].signals} >= {"zone1", "state", "last_good_read"}
    assert plant.assets["furnace"].signal("part_count") is None, "not read, so absent"


def test_the_hash_follows_what_was_resolved_and_no_secret(tmp_path: Path) -> None:
    secret = VALID + "broker: {host: 10.0.0.1, username: u, tls: true, password: '${PW}'}\n"
    one = _load(tmp_path, secret, PW="first-secret")
    two = _load(tmp_path, secret, PW="second-secret")
    other = _load(tmp_path, secret.replace("scale: 0.1", "scale: 0.2"), PW="first-secret")
    assert one.hash == two.hash != other.hash
    assert "first-secret" not in repr(one)


def test_a_reference_is_filled_from_environment_file_or_default(tmp_path: Path) -> None:
    text = VALID.replace("port: 502", 'port: "${PORT:-1502}"')
    assert _load(tmp_path, text).edges["edge1"].sources["io"].port == 1502
    assert _load(tmp_path, text, PORT="7").edges["edge1"].sources["io"].port == 7
    (tmp_path / "port").write_text("9\n")
    file = str(tmp_path / "port")
    assert _load(tmp_path, text, PORT_FILE=file).edges["edge1"].sources["io"].port == 9


def test_a_reference_without_a_value_is_one_problem(tmp_path: Path) -> None:
    text = VALID.replace("port: 502", 'port: "${PORT}"')
    text += "broker: {host: 10.0.0.1, username: u, tls: true, port: '${PORT}', password: '${PW}'}\n"
    with pytest.raises(ConfigError) as error:
        _load(tmp_path, text)
    found = [(p.path, p.text.partition(" ")[0]) for p in error.value.problems]
    assert sorted(found) == [
        ("broker.password", "PW"),
        ("broker.port", "PORT"),
        ("edges.edge1.sources.io.port", "PORT"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kaikou: [1\n", r"plant.yaml:\d+:\d+: not YAML"),
        ("broker: {port: ${PORT}}\n", r'plant.yaml:1:\d+: not YAML: .* quoted: "\$\{NAME\}"'),
        ("", "is empty"),
        ("- a\n", "should be keys with values"),
        ("kaikou: &a [*a]\n", r"plant.yaml:1:9: kaikou\[0\]: holds itself"),
        ("kaikou: 2\n", "kaikou"),
    ],
)
def test_what_is_no_plant_at_all_is_said_plainly(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, text)
    assert re.search(expected, str(caught.value)), str(caught.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "no.yaml", KINDS, {})
    assert "cannot be read" in str(caught.value)
    assert len(caught.value.problems) == 1
