"""Small files: whole or as they were, for their owner alone, damage said in plain words."""

import json
import os
import stat
from pathlib import Path

import pytest

from plant.errors import ConfigError
from plant.file import (
    CHECK,
    Damaged,
    make_folder,
    make_private,
    read_object,
    set_aside,
    write_object,
    write_whole,
)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_synced_before_it_takes_the_name_and_then_the_folder(tmp_path, monkeypatch):
    done = []
    sync, rename = os.fsync, os.replace

    def synced(fd):
        done.append(Path(f"/proc/self/fd/{fd}").readlink().name)
        sync(fd)

    def renamed(*paths):
        done.append("renamed")
        rename(*paths)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    write_whole(tmp_path / "a.json", "x")
    assert done[1:] == ["renamed", tmp_path.name]
    assert done[0].endswith(".new")
    assert (tmp_path / "a.json").read_text() == "x"


def test_what_cannot_be_written_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    file = tmp_path / "a.json"
    write_whole(file, b"old")

    def no_room(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(OSError, match="No space"):
        write_whole(file, b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    assert file.read_bytes() == b"old"


def test_nobody_else_may_read_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        write_whole(tmp_path / "a", b"")
        make_private(tmp_path / "b")
        make_folder(tmp_path / "x" / "y")
        (tmp_path / "loose").touch(0o666)
        make_private(tmp_path / "loose")
    finally:
        os.umask(before)
    assert [mode(tmp_path / name) for name in ("a", "b", "loose")] == [0o600] * 3
    assert mode(tmp_path / "x") == mode(tmp_path / "x" / "y") == 0o700


def test_an_object_comes_back_and_every_flipped_bit_is_seen(tmp_path):
    file = tmp_path / "o.json"
    content = {"origin": 1_700_000_000_000, "factor": 10.5, "名": {"b": 1, "a": [1, None, True]}}
    write_object(file, content)
    assert read_object(file, "") == content
    whole = file.read_bytes()
    for at in range(len(whole) * 8):
        spoiled = bytearray(whole)
        spoiled[at // 8] ^= 1 << at % 8
        file.write_bytes(spoiled)
        try:
            found = read_object(file, "restore it")
        except Damaged:
            continue
        # white space, or the name of the check-sum itself
        assert {k: v for k, v in found.items() if k in content} == content, at


@pytest.mark.parametrize(
    "text", [b"", b"\0" * 50, b"[1]", b"null", b"{", b"\xff\xfe{}", b"[" * 99999]
)
def test_what_is_no_object_is_said_to_be_damaged(tmp_path, text):
    (tmp_path / "o.json").write_bytes(text)
    with pytest.raises(Damaged, match="is damaged"):
        read_object(tmp_path / "o.json", "remove it")


def test_a_file_of_the_version_before_has_no_check_sum_and_is_believed(tmp_path):
    (tmp_path / "o.json").write_text(json.dumps({"a": 1}))
    assert read_object(tmp_path / "o.json", "") == {"a": 1}
    assert CHECK not in read_object(tmp_path / "o.json", "")
    assert read_object(tmp_path / "missing", "") is None


def test_a_folder_in_the_place_of_a_file_is_told(tmp_path):
    (tmp_path / "o.json").mkdir()
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_object(tmp_path / "o.json", "")


def test_what_is_set_aside_keeps_its_content(tmp_path):
    (tmp_path / "o.json").write_bytes(b"broken")
    aside = set_aside(tmp_path / "o.json")
    assert aside.name.startswith("o.json.damaged-")
    assert aside.read_bytes() == b"broken"
