"""The truth: everything that happened in the simulated world, one JSON object a line.

Kept in the simulator's own folder and read by tests alone; no other process opens it.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

_KEEP_BYTES = 64 * 1024 * 1024


class Ledger:
    """``ledger.jsonl``; at 64 MiB it becomes ``ledger.1.jsonl`` and a new one begins."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger.jsonl"
        self._lines: list[str] = []

    def note(self, time_ms: int, asset: str, kind: str, data: Mapping[str, Any]) -> None:
        """Something happened; it is on disk after the next ``flush``."""
        self._lines.append(json.dumps({"time": time_ms, "asset": asset, "kind": kind, **data}))

    def flush(self) -> None:
        """Append what waits; a full disk loses it, and ends nothing."""
        if not self._lines:
            return
        lines, self._lines = self._lines, []
        with suppress(OSError):
            with self.path.open("a", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
                file.flush()
                size = file.tell()
            if size > _KEEP_BYTES:
                self.path.replace(self.path.with_name("ledger.1.jsonl"))

    @staticmethod
    def read(folder: Path) -> list[dict[str, Any]]:
        """All lines, oldest first: for tests."""
        lines = []
        for name in ("ledger.1.jsonl", "ledger.jsonl"):
            file = folder / name
            if file.exists():
                lines += file.read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines]
