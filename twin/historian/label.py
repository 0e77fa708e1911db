"""What a sealed file says of itself: which historian wrote it, when, and what its signals are.

The name carries the historian's generation (a random number given when its database was made) and
how many times that had named files by then, so a file that no manifest names is told from one of
another historian, of an earlier past, or of a later one than an older copy of the database knows.
Inside, under the key ``kaikou`` of the Parquet metadata, stand the signals: the file can be adopted
by any historian.
"""

import json
import re
import secrets
import zlib
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field

from plant.flow.port import Series
from plant.model.signal import SignalKind

KEY = "kaikou"
_NAME = re.compile(
    r"\.?(?:(?P<tier>minute|hour|day)_)?(?P<stamp>-?\d[-\d]*)_"
    r"(?P<generation>[0-9a-f]{8})-(?P<named>[0-9a-f]+)-[0-9a-f]{4}\.parquet(?:\.part)?"
)

Row = tuple[int, str, str, str, float | None, int, str]
"""Id, path, kind, unit, modulus, hold_ms, place (JSON): a row of table ``signal``."""


@dataclass(frozen=True, slots=True)
class Label:
    """What is to be written into a file.

    generation  of the historian
    named       how often it had named files
    signals     those in the file
    """

    generation: str
    named: int
    signals: Sequence[Row] = field(default=())

    def name(self, stamp: str) -> str:
        """A name that was never given.

        >>> Origin.of(Label("0123abcd", 26).name("2026-11-22"))
        Origin(tier='', generation='0123abcd', named=26)
        """
        return f"{stamp}_{self.generation}-{self.named:x}-{secrets.token_hex(2)}.parquet"

    def encode(self) -> str:
        """As the metadata of the file has it: letters, digits, + / = only."""
        body = json.dumps({"generation": self.generation, "signals": list(self.signals)})
        return b64encode(zlib.compress(body.encode())).decode()


@dataclass(frozen=True, slots=True)
class Origin:
    """What the name of a file says."""

    tier: str
    generation: str
    named: int

    @classmethod
    def of(cls, file: str) -> "Origin | None":
        """None for a name of an earlier Kaikou, or of somebody else."""
        found = _NAME.fullmatch(file)
        if found is None:
            return None
        return cls(found["tier"] or "", found["generation"], int(found["named"], 16))


def decode(text: bytes | str) -> dict[int, Series]:
    """The signals in a file by its ids; ``ValueError`` where it makes no sense."""
    try:
        body = json.loads(zlib.decompress(b64decode(text)))
        return dict(map(series_of, body["signals"]))
    except (zlib.error, KeyError, TypeError) as error:
        raise ValueError(f"no label of Kaikou: {error}") from error


def series_of(row: Row) -> tuple[int, Series]:
    """A row of table ``signal``."""
    id_, path, kind, unit, modulus, hold_ms, place = row
    at = tuple(json.loads(place))
    return id_, Series(path, SignalKind(kind), unit, modulus, hold_ms, (), at)
