"""The pair that the edge shows to OPC UA servers: made once, never made over."""

from pathlib import Path

import pytest

from edge.adapters.opcua_own import load, make
from edge.opcua.certificate import identity
from plant.errors import ConfigError


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    folder = tmp_path_factory.mktemp("pair")
    make(folder / "own.der", folder / "own.pem", "urn:a:kaikou:edge")
    return (folder / "own.der").read_bytes(), (folder / "own.pem").read_bytes()


@pytest.mark.parametrize("damage", ["no certificate", "no key", "signature", "key", "another key"])
def test_a_damaged_pair_is_told_and_never_made_over(
    pair: tuple[bytes, bytes], tmp_path: Path, damage: str
) -> None:
    der, pem = tmp_path / "own.der", tmp_path / "own.pem"
    der.write_bytes(pair[0])
    pem.write_bytes(pair[1])
    make(der, pem, "urn:a:kaikou:edge")
    assert der.read_bytes() == pair[0]
    if damage == "no certificate":
        der.unlink()
    elif damage == "no key":
        pem.unlink()
    elif damage == "signature":
        der.write_bytes(pair[0][:-1] + bytes([pair[0][-1] ^ 1]))
        load(der)  # parses all the same
    elif damage == "key":
        pem.write_bytes(pair[1][:500])
    else:
        make(tmp_path / "b.der", tmp_path / "b.pem", "urn:b:kaikou:edge")
        pem.write_bytes((tmp_path / "b.pem").read_bytes())
    before = {f.name: f.read_bytes() for f in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=r"restore own\.der and own\.pem, or remove both"):
        make(der, pem, "urn:a:kaikou:edge")
    assert {f.name: f.read_bytes() for f in tmp_path.iterdir()} == before


def test_a_flipped_bit_in_the_servers_signature_is_told(tmp_path: Path) -> None:
    identity(tmp_path, "edge1")
    file = tmp_path / "certificate.der"
    raw = file.read_bytes()
    file.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    with pytest.raises(ConfigError, match=r"signature of certificate\.der is wrong; restore"):
        identity(tmp_path, "edge1")
