"""What a sealed file says of itself: which historian wrote it, when, and what its signals are.

The name carries the historian's generation (a random number given when its database was made),
how many times that had named files by then, and the check-sum of the file. So a file that no
manifest names is told from one of another historian, of an earlier past, or of a later one than an
older copy of the database knows, and can be checked without any manifest. Inside, under the key
``kaikou`` of the Parquet metadata, stand the signals: any historian can adopt the file.
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
    r"(?P<generation>[0-9a-f]{8})-(?P<named>[0-9a-f]+)-(?P<crc>[0-9a-f]{8})\.parquet(?:\.part)?"
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

    def name(self, stamp: str, crc: int) -> str:
        """The name of a file with a check-sum.

        >>> Origin.of(Label("0123abcd", 26).name("2026-11-22", 7))
        Origin(tier='', stamp='2026-11-22', generation='0123abcd', named=26, crc=7)
        """
        return f"{stamp}_{self.generation}-{self.named:x}-{crc:08x}.parquet"

    def temporary(self, stamp: str) -> str:
        """The name of a file while it is written."""
        return f".{self.name(stamp, secrets.randbits(32))}.part"

    def encode(self) -> str:
        """As the metadata of the file has it: letters, digits, + / = only."""
        body = json.dumps({"generation": self.generation, "signals": list(self.signals)})
        return b64encode(zlib.compress(body.encode())).decode()


@dataclass(frozen=True, slots=True)
class Origin:
    """What the name of a file says."""

    tier: str
    stamp: str
    generation: str
    named: int
    crc: int

    @classmethod
    def of(cls, file: str) -> "Origin | None":
        """None for a name of an earlier Kaikou, or of somebody else."""
        found = _NAME.fullmatch(file)
        if found is None:
            return None
        named, crc = int(found["named"], 16), int(found["crc"], 16)
        return cls(found["tier"] or "", found["stamp"], found["generation"], named, crc)


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
