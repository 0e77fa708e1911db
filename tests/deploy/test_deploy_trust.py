"""``kaikou trust``: it shows, asks, and takes back."""

import io
import logging
from pathlib import Path

import pytest

from deploy.cli import main
from deploy.room import Lines
from edge.opcua.shown import fingerprint
from edge.opcua.trust import TrustStore
from tests.edge.opcua_support import a_certificate


@pytest.fixture
def waiting(tmp_path: Path) -> str:
    """A client that was refused; its fingerprint."""
    der = a_certificate(tmp_path / "client")[0].read_bytes()
    store = TrustStore(tmp_path / "data" / "opcua-edge1" / "pki")
    assert store.refusal(der, "10.0.0.7")
    return fingerprint(der)


def trust(tmp_path: Path, *more: str) -> int:
    return main(["trust", *more, "--data", str(tmp_path / "data")])


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


@pytest.mark.parametrize("text", ["", "no\n", "\n", "x\n"])
def test_nothing_is_trusted_without_a_yes(
    tmp_path: Path,
    waiting: str,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer(monkeypatch, text)
    assert trust(tmp_path, waiting[:8]) == 2
    shown = capsys.readouterr()
    assert waiting in shown.out.replace(" ", ""), "the whole fingerprint, to be compared"
    assert "CN=Test client" in shown.out
    assert "nothing was changed" in shown.err
    assert trust(tmp_path) == 0
    assert "edge1: trusted: none" in capsys.readouterr().out


def test_one_key_names_nothing(
    tmp_path: Path, waiting: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trust(tmp_path, waiting[:1], "--yes") == 2
    assert "too short" in capsys.readouterr().err


def test_trust_is_given_and_taken_back(
    tmp_path: Path,
    waiting: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer(monkeypatch, "yes\n")
    assert trust(tmp_path, waiting[:12]) == 0
    assert "trusted from now on" in capsys.readouterr().out
    assert trust(tmp_path, waiting[:12], "--remove", "--yes") == 0
    assert "trusted no more" in capsys.readouterr().out
    assert trust(tmp_path) == 0
    listed = capsys.readouterr().out
    assert "edge1: trusted: none" in listed
    assert waiting in listed, "it waits again"
    assert trust(tmp_path, "--clear") == 0
    assert "1 refused certificates are forgotten" in capsys.readouterr().out
    assert trust(tmp_path, "--remove") == 2


def test_what_a_stranger_wrote_forges_no_log_line() -> None:
    record = logging.LogRecord(
        "a", logging.INFO, "", 1, "refused %s", ("x\nINFO all\x1b[2K",), None
    )
    line = Lines("%(message)s").format(record)
    assert line == "refused x\\nINFO all\\x1b[2K"
