"""Names of hosts that no resolver can look up are refused by check, for every kind that has one."""

from pathlib import Path

import pytest

from edge.adapters import KINDS as SOURCES
from edge.conditioning import KINDS as CONDITIONS
from plant.errors import ConfigError
from plant.model.host import host_problem
from plant.model.load import load
from twin.historian import KINDS as HISTORIANS

KINDS = {"sources": SOURCES, "conditions": CONDITIONS, "historians": HISTORIANS}
PLANT = """
kaikou: 1
enterprise: acme
site: {id: works, name: {zh: 工厂, en: Works}, timezone: Asia/Shanghai}
edges:
  edge1:
    name: {zh: 一号, en: One}
    sources:
"""
PLACES = {
    "modbus": "      io: {kind: modbus, host: HOST}\n",
    "dlt645": "      io: {kind: dlt645, host: HOST, port: 4001}\n",
    "opcua": "      io: {kind: opcua, url: 'opc.tcp://HOST:4840/', user: u, password: '${PW}'}\n",
    "broker": "broker: {host: HOST, username: u, password: '${PW}'}\n",
    "gateway": "gateway: {host: HOST, tls_cert: a, tls_key: b}\n",
    "influxdb": "historian: {kind: influxdb, url: 'https://HOST:8086', token: '${PW}'}\n",
}
LONG = "x" * 64
MIXED = "".join(chr(0x4E00 + 97 * i) for i in range(30))


@pytest.mark.parametrize("host", ["meter..local", f"{LONG}.local", f"meter.{MIXED}.local"])
@pytest.mark.parametrize("place", list(PLACES))
def test_a_name_no_resolver_can_look_up_is_refused(place: str, host: str, tmp_path: Path) -> None:
    file = tmp_path / "plant.yaml"
    lines = PLACES[place].replace("HOST", host)
    text = PLANT + (
        lines if lines.startswith(" ") else PLACES["modbus"].replace("HOST", "io") + lines
    )
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigError) as caught:
        load(file, KINDS, {"PW": "secret"})
    line = next(n for n, text in enumerate(text.splitlines(), 1) if host in text)
    told = [str(p) for p in caught.value.problems if p.line == line]
    assert told, str(caught.value)
    assert any(word in told[0] for word in ("empty part", "63 at the most", "idna", "DNS name"))


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "::1", "fe80::1%eth0", "meter-7.works.local", "plc.", "my_plc", "电表.local"],
)
def test_names_and_addresses_that_may_exist_pass(host: str) -> None:
    assert host_problem(host) == ""


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        ".local",
        "a b",
        "http://plc",
        "plc/1",
        "plc:502",
        "[::1]",
        "a\x00b",
        "a." * 130,
        "u@h",
    ],
)
def test_what_is_no_name_is_said(host: str) -> None:
    assert host_problem(host)
