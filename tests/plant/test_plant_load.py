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


def test_words_that_yaml_1_1_took_for_something_else_are_words(tmp_path: Path) -> None:
    text = VALID + (
        "      switch: {name: {zh: 开关, en: Off}, kind: state, source: io, at: 'discrete:0',\n"
        "        states: {0: {en: Off}, 1: {en: On}, 2: {en: No}, 3: {zh: Yes}, 0x10: {en: 12}}}\n"
    )
    switch = _load(tmp_path, text).assets["furnace"].signal("switch")
    assert switch is not None
    assert {n: label.en for n, label in switch.states.items()} == {
        0: "Off", 1: "On", 2: "No", 3: "Yes", 16: "12",
    }  # fmt: skip


def test_on_and_off_are_keys_and_ids_like_others(tmp_path: Path) -> None:
    text = VALID + (
        "  On: {type: machine, name: {en: On}, edge: edge1}\n"
        "  No: {type: machine, name: {en: No}, parameters: {y: 1, n: 2}}\n"
    )
    assert _load(tmp_path, text).assets["No"].parameters == {"y": 1.0, "n": 2.0}


def test_a_rule_names_a_state_that_is_called_off(tmp_path: Path) -> None:
    types = tmp_path / "types"
    types.mkdir()
    (types / "fan.yaml").write_text(
        "type: fan\nextends: machine\nname: {zh: 风机}\nsignals:\n"
        "  run: {name: {zh: 运行}, kind: state, states: {0: {en: Off}, 1: {zh: 运行中}}}\n"
        "state: [{signal: run, map: {off: Stopped, 运行中: Execute}}]\n",
        "utf-8",
    )
    text = VALID + (
        "  fan: {type: fan, name: {zh: 风机}, edge: edge1,"
        " signals: {run: {source: io, at: 'discrete:0'}}}\ncatalog: types\n"
    )
    assert _load(tmp_path, text).assets["fan"].state_rules[0].map == {0: 2, 1: 6}


@pytest.mark.parametrize("id", ["secret", "token", "password", "key_password"])
def test_an_id_may_be_any_word(tmp_path: Path, id: str) -> None:
    text = VALID.replace("zone1:", f"{id}:").replace("furnace:", f"{id}:")
    text = text.replace("io:", f"{id}:").replace("source: io", f"source: {id}")
    text += f"products: {{{id}: {{name: {{en: P}}, cycle_s: {{{id}: 5}}}}}}\n"
    assert _load(tmp_path, text).assets[id].signal(id) is not None


@pytest.mark.parametrize("name", ["{zh: 炉}", "{en: 炉}", "{zh: 炉, en: 炉}"])
def test_either_language_alone_is_a_name(tmp_path: Path, name: str) -> None:
    furnace = _load(tmp_path, VALID.replace("{zh: 炉, en: Furnace}", name)).assets["furnace"]
    assert (furnace.name.zh, furnace.name.en) == ("炉", "炉")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("simulated: !!python/object:os.system {}", r"tag 'tag:yaml.org,2002:python/object"),
        ("simulated: !yes true", r"the tag '!yes' is not known here"),
        ("simulated: !!bool maybe", r"'maybe' is no bool"),
        ("<<: {simulated: true}", r"<<: unknown key"),
        ("lines: !!set {a}", r"the tag 'tag:yaml.org,2002:set'"),
    ],
)
def test_a_tag_is_refused_at_its_line(tmp_path: Path, line: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, VALID + line + "\n")
    assert re.search(rf"plant.yaml:23:\d+: .*{expected}", str(caught.value)), str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: \x07b\n", r"plant.yaml:1:4: not YAML: control characters .* \(character 0x0007\)"),
        ("a: " + "[" * 100_000 + "\n", r"plant.yaml:1:\d+: not YAML: deeper than 64"),
        ("a: &a [0]\n" + "".join(
            f"{c}: &{c} [{', '.join([f'*{b}'] * 40)}]\n" for b, c in ("ab", "bc", "cd", "de")
        ), "more than 500000 values"),
        ("? [1, 2]\n: 3\n", "is missing"),
    ],
    ids=["control", "deep", "aliases", "key"],
)  # fmt: skip
def test_a_file_that_no_reader_should_meet_is_told_plainly(
    tmp_path: Path, text: str, expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, text)
    assert re.search(expected, str(caught.value)), str(caught.value)[:300]


@pytest.mark.parametrize(
    "line",
    ["scale: .inf", "range: [.nan, 5]", "range: [0, .inf]", "offset: .nan", "deadband: .inf"],
)
def test_a_number_that_is_none_is_refused_at_its_line(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError, match=line.partition(":")[0]):
        _load(tmp_path, VALID.replace("scale: 0.1", line))


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ("{1: On, 0: Off}", "the name of 1 is written"),
        ("{On: 1}", "'On' is no number"),
        ("{true: {en: On}}", "'true' is no number"),
        ("{1.5: {en: On}}", "'1.5' is no number"),
        ("[On, Off]", "name each number"),
        ("{1: {de: An}}", "the name of 1 is written"),
        ("{1: {en: ' '}}", "the name of 1 is empty"),
        ('{1: {en: "a\\e[31m"}}', "the name of 1 has a line break or another control"),
    ],
)
def test_states_that_are_none_are_told_as_they_should_be_written(
    tmp_path: Path, states: str, expected: str
) -> None:
    text = VALID + f"      on: {{kind: state, source: io, at: 'discrete:0', states: {states}}}\n"
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, text)
    assert f"plant.yaml:23:63: assets.furnace.signals.on.states: {expected}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Furnace", "give a name in zh, in en, or in both: {zh: 锯床, en: Saw}"),
        ("{en: '  '}", "is empty"),
        ('{en: "a\\nplant.yaml: nothing is wrong"}', "has a line break"),
        ('{zh: "a\\e[2K"}', "has a line break or another control character"),
    ],
)
def test_a_name_is_one_line_that_people_can_see(tmp_path: Path, name: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, VALID.replace("{zh: 炉, en: Furnace}", name))
    assert expected in str(caught.value)
    assert all(line.startswith(str(tmp_path)) for line in str(caught.value).splitlines())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kaikou: 1\n\tenterprise: acme\n", "indent with spaces, not tabs"),
        ("kaikou: 1\nenterprise： acme\n", "line 2 has a full-width '：'"),
        ("enterprise： acme\nkaikou: 1\n", "line 1 has a full-width '：'"),
        ("units: {a: {unit: %}}\n", "quote what begins with '%'"),
    ],
)
def test_what_stops_the_parser_is_told_in_words_of_people(
    tmp_path: Path, text: str, expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, text)
    assert expected in str(caught.value)


@pytest.mark.parametrize("encoding", ["gbk", "utf-16"])
def test_a_file_in_another_encoding_is_told_with_the_cure(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "plant.yaml"
    file.write_bytes(VALID.encode(encoding))
    with pytest.raises(ConfigError) as caught:
        load(file, KINDS, {})
    assert str(caught.value).endswith("is not UTF-8; save the file as UTF-8")


@pytest.mark.parametrize("secret", ["0815", "1e3", "true", "null", "~", "0x10", ".inf"])
@pytest.mark.parametrize("written", ["${PW}", "'${PW}'", '"${PW}"'])
def test_a_secret_is_the_text_that_was_given(tmp_path: Path, secret: str, written: str) -> None:
    text = VALID + f"broker:\n  username: u\n  password: {written}\n"
    assert _load(tmp_path, text, PW=secret).broker.password == secret


def test_a_secret_that_is_no_text_is_told(tmp_path: Path) -> None:
    text = VALID + "broker: {username: u, password: '${PW}'}\n"
    (tmp_path / "pw").write_bytes("密码".encode("gbk"))
    with pytest.raises(ConfigError, match=r"broker.password: PW_FILE: .* is not UTF-8"):
        _load(tmp_path, text, PW_FILE=str(tmp_path / "pw"))
    with pytest.raises(ConfigError, match=r"broker.password: PW is not UTF-8"):
        _load(tmp_path, text, PW="\udcc3\udcdc")
    (tmp_path / "pw").write_bytes("密码\r\n".encode("utf-8-sig"))
    assert _load(tmp_path, text, PW_FILE=str(tmp_path / "pw")).broker.password == "密码"


def test_a_unit_is_only_suggested_where_it_is_alike(tmp_path: Path) -> None:
    for given, expected in (("kw", "did you mean 'kW'?"), ("true", "`kaikou units` lists all")):
        with pytest.raises(ConfigError, match=re.escape(expected)):
            _load(tmp_path, VALID.replace("unit: degC", f"unit: '{given}'"))


def test_an_asset_that_nobody_would_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, VALID.replace("    edge: edge1\n    signals:", "    signals:"))
    assert "the asset to none: give the asset 'edge: edge1'" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lines:\n  - a\n", "lines: should be keys with values, not a list"),
        ("lines:\n", "lines: should be keys with values, not nothing"),
        ("\"a\\e[2K\\nplant.yaml: nothing\": 1\n", "a\\x1b[2K\\nplant.yaml: nothing: unknown key"),
        ("units: {\"a\\eb\": {factor: 2}}\n", "units.a\\x1bb: has a line break or another control"),
    ],
    ids=["list", "nothing", "key", "unit"],
)  # fmt: skip
def test_a_finding_is_one_line_of_plain_words(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, VALID + text)
    assert expected in str(caught.value)
    assert all(line.startswith(str(tmp_path)) for line in str(caught.value).splitlines())
