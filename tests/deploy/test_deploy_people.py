"""``kaikou people`` on the file of a gateway."""

import io
from pathlib import Path

import pytest

from deploy.cli import main
from gateway.person import People

PASSWORD = "correct-horse"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with two accounts."""
    people = People(tmp_path / "gateway" / "people.sqlite")
    people.first_accounts()
    people.close()
    return tmp_path


def _run(data: Path, *words: str) -> int:
    return main(["people", *words, "--data", str(data)])


def _typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_accounts_are_added_changed_and_taken_away(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _typed(monkeypatch, f"{PASSWORD}\n")
    assert _run(data, "add", "wang", "--role", "operator") == 0
    assert PASSWORD not in capsys.readouterr().out
    people = People(data / "gateway" / "people.sqlite")
    assert people.log_in("wang", PASSWORD) is not None
    assert _run(data, "sessions") == 0
    session = capsys.readouterr().out.split()[0]
    assert _run(data, "end", session) == 0
    assert people.sessions() == []
    assert _run(data, "role", "wang", "engineer") == 0
    assert _run(data, "password", "wang", "--generate") == 0
    made = capsys.readouterr().out.rsplit("password: ", 1)[1].strip()
    assert people.log_in("wang", made) is not None
    assert _run(data, "list") == 0
    assert "wang                     engineer   1 sessions" in capsys.readouterr().out
    assert _run(data, "remove", "wang") == 0
    assert _run(data, "acts") == 0
    told = capsys.readouterr().out
    assert "wang: made engineer, by " in told
    assert made not in told
    people.close()


def test_what_cannot_be_is_one_line_and_code_2(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _typed(monkeypatch, "short\n")
    for words, said in (
        (("add", "wang"), "at least 10 characters"),
        (("add", "admin", "--generate"), "already an account"),
        (("add", "a b", "--generate"), "a name has"),
        (("remove", "admin"), "the last admin"),
        (("role", "admin", "viewer"), "the last admin"),
        (("role", "nobody", "viewer"), "no account 'nobody'"),
        (("end", "0" * 12), "no session"),
    ):
        assert _run(data, *words) == 2, words
        assert said in capsys.readouterr().err
    assert _run(data / "nowhere", "list") == 2
    assert "--data" in capsys.readouterr().err
    assert not (data / "nowhere").exists()


def test_a_damaged_file_is_told_and_one_out_of_reach_too(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = data / "gateway" / "people.sqlite"
    file.write_bytes(b"rubbish " * 1_000)
    assert _run(data, "list") == 2
    assert "damaged" in capsys.readouterr().err
    file.unlink()
    file.mkdir()
    assert _run(data, "list") == 3
    assert "cannot be kept here" in capsys.readouterr().err
