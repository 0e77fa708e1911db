"""Secrets and ports that a data folder keeps, so that a second start is like the first.

One file, readable by its owner alone: passwords of MQTT accounts, and values for the
``${NAME}`` references of plant.yaml that nobody else gave.
"""

import errno
import fcntl
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from plant.file import Damaged, make_folder, read_object, write_object

NAME = "secret.json"


class Vault:
    """The file ``secret.json`` of a data folder, mode 0600."""

    def __init__(self, data: Path) -> None:
        self.path = data / NAME

    def accounts(self, names: Iterable[str]) -> dict[str, str]:
        """Passwords of MQTT accounts; made and kept where there is none yet."""
        with self._open() as content:
            kept = content.setdefault("accounts", {})
            return {name: kept.setdefault(name, secrets.token_urlsafe(18)) for name in names}

    def environment(self) -> dict[str, str]:
        """What the data folder knows for ``${NAME}`` references."""
        return dict(self._read().get("environment", {}))

    def keep(self, values: Mapping[str, str]) -> None:
        """Remember values for ``${NAME}`` references."""
        with self._open() as content:
            content.setdefault("environment", {}).update(values)

    def _read(self) -> dict[str, dict[str, str]]:
        how = (
            "restore it from a copy, or remove it: new passwords are made then, and every room has "
            "to be started again"
        )
        content = read_object(self.path, how) or {}
        for part, values in content.items():
            if not isinstance(values, dict) or not all(isinstance(v, str) for v in values.values()):
                raise Damaged(f"{self.path} is damaged (at {part!r}); {how}")
        return dict(content)

    @contextmanager
    def _open(self) -> Iterator[dict[str, dict[str, str]]]:
        """Read, let change, write when changed; several processes may do so at once."""
        make_folder(self.path.parent)
        try:
            lock = os.open(self.path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
            yield from self._as_it_is(error)
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            content = self._read()
            before = json.dumps(content)
            yield content
            if json.dumps(content) != before:
                write_object(self.path, content)
        finally:
            os.close(lock)

    def _as_it_is(self, error: OSError) -> Iterator[dict[str, dict[str, str]]]:
        """On a disk that has become read-only: what is kept does, and nobody changes it."""
        content = self._read()
        before = json.dumps(content)
        yield content
        if json.dumps(content) != before:
            raise error
