"""Names of hosts that no resolver can look up are refused by check, for every kind that has one."""

from pathlib import Path

import pytest

from edge.adapters import KINDS as SOURCES
from edge.conditioning import KINDS as CONDITIONS
from plant.errors import ConfigError
from plant.model.host import host_problem, is_loopback
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
        "192.168.1",
        "192.168.1.300",
        "192.168.01.5",
        "10",
        "1.2.3.4.5",
    ],
)
def test_what_is_no_name_is_said(host: str) -> None:
    assert host_problem(host)


BEYOND = [
    "127.0.0.1.plant.example",
    "127.example",
    "localhost.plant.example",
    "0.0.0.0",
    "::",
    "192.168.0.7",
    "mqtt",
]


@pytest.mark.parametrize("host", BEYOND)
def test_a_name_that_begins_like_loopback_is_not_loopback(host: str, tmp_path: Path) -> None:
    assert not is_loopback(host)
    places = {
        "broker": "broker: {host: 'HOST', username: u, password: '${PW}'}\n",
        "gateway": "gateway: {host: 'HOST'}\n",
        "historian": "historian: {kind: influxdb, url: 'http://HOST:8086', token: '${PW}'}\n",
    }
    for place, line in places.items():
        shown = f"[{host}]" if place == "historian" and ":" in host else host
        file = tmp_path / "plant.yaml"
        text = PLANT + PLACES["modbus"].replace("HOST", "io") + line.replace("HOST", shown)
        file.write_text(text, "utf-8")
        with pytest.raises(ConfigError, match="beyond loopback"):
            load(file, KINDS, {"PW": "secret"})


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.9", "::1"])
def test_what_can_only_be_this_machine_is_loopback(host: str) -> None:
    assert is_loopback(host)


def test_a_password_without_a_user_is_told(tmp_path: Path) -> None:
    file = tmp_path / "plant.yaml"
    line = "broker: {password: '${PW}'}\n"
    file.write_text(PLANT + PLACES["modbus"].replace("HOST", "io") + line, "utf-8")
    with pytest.raises(ConfigError, match="has a password but no username"):
        load(file, KINDS, {"PW": "secret"})
