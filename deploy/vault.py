"""Secrets and ports that a data folder keeps, so that a second start is like the first.

One file, readable by its owner alone: passwords of MQTT accounts, and values for the
``${NAME}`` references of plant.yaml that nobody else gave.
"""

import fcntl
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

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
        try:
            content: dict[str, dict[str, str]] = json.loads(self.path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        return content

    @contextmanager
    def _open(self) -> Iterator[dict[str, dict[str, str]]]:
        """Read, let change, write when changed; several processes may do so at once."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            content = self._read()
            before = json.dumps(content)
            yield content
            if json.dumps(content) != before:
                self._replace(json.dumps(content, indent=1, sort_keys=True))
        finally:
            os.close(lock)

    def _replace(self, text: str) -> None:
        new = self.path.with_suffix(".new")
        with os.fdopen(os.open(new, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)
