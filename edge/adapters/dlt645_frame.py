"""Frames of DL/T 645-2007 section 7: built and taken apart, no input or output.

``68 A0..A5 68 C L DATA CS 16``: address low byte first, every data byte sent with 33H added, the
checksum is the sum from the first 68H. ``FE`` bytes before a frame wake the receiver.
"""

from dataclasses import dataclass

from edge.adapters.dlt645_item import Item
from plant.errors import DecodeError

READ = 0x11
ANSWER = 0x91
ANSWER_MORE = 0xB1
ERROR = 0xD1
_MOST_DATA = 200
"""Data bytes of a frame (section 7.1.5); what announces more is noise."""
ERRORS = (
    "another error",
    "no such data",
    "wrong password or no right",
    "the baud rate cannot be changed",
    "too many year zones",
    "too many day slots",
    "too many tariffs",
)
"""What the bits of the byte in an error answer mean, bit 0 first (annex B)."""


def request(meter: str, item: str, wake: int = 4) -> bytes:
    """The frame that reads an item of a meter.

    >>> request("AAAAAAAAAAAA", "00010000", wake=0).hex(" ").upper()
    '68 AA AA AA AA AA AA 68 11 04 33 33 34 33 AE 16'
    """
    return b"\xfe" * wake + build(bytes.fromhex(meter)[::-1], READ, bytes.fromhex(item)[::-1])


def build(address: bytes, control: int, data: bytes) -> bytes:
    """A frame with its checksum."""
    body = b"\x68" + address + b"\x68" + bytes((control, len(data)))
    body += bytes((byte + 0x33) & 0xFF for byte in data)
    return body + bytes((sum(body) & 0xFF, 0x16))


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame whose checksum was right; ``data`` without the 33H."""

    address: bytes
    control: int
    data: bytes

    @property
    def item(self) -> str:
        """The data identifier an answer gives back, DI3 first."""
        return self.data[3::-1].hex().upper() if len(self.data) >= 4 else ""

    @property
    def meter(self) -> str:
        """The address as printed on the meter."""
        return self.address[::-1].hex().upper()


class FrameReader:
    """Finds frames in a stream; wake bytes and noise between them are passed over.

    >>> reader = FrameReader()
    >>> frame = request("000000000001", "02010100")
    >>> reader.feed(frame[:9]), [f.item for f in reader.feed(frame[9:])]
    ([], ['02010100'])
    >>> reader.noise
    0
    """

    def __init__(self) -> None:
        self._buffer = b""
        self.noise = 0
        """Bytes that belonged to no frame, wake bytes left out."""

    def feed(self, data: bytes) -> list[Frame]:
        """Whatever frames are complete now."""
        heard = self._buffer + data
        frames: list[Frame] = []
        at = 0
        while True:
            start = heard.find(b"\x68", at)
            end = start if start >= 0 else len(heard)
            self.noise += end - at - heard.count(b"\xfe", at, end)
            at = end
            if len(heard) < at + 12:
                break
            size = 12 + heard[at + 9]
            begins = heard[at + 7] == 0x68 and heard[at + 9] <= _MOST_DATA
            if begins and len(heard) < at + size:
                break
            frame = _frame(heard[at : at + size]) if begins else None
            if frame is not None:
                frames.append(frame)
                at += size
            else:
                self.noise += 1
                at += 1
        self._buffer = heard[at:]
        return frames


def _frame(raw: bytes) -> Frame | None:
    """The frame that these bytes are, None where they only begin like one."""
    if raw[-1] != 0x16 or raw[-2] != sum(raw[:-2]) & 0xFF:
        return None
    return Frame(raw[1:7], raw[8], bytes((byte - 0x33) & 0xFF for byte in raw[10:-2]))


def numbers(item: Item, data: bytes) -> list[float]:
    """The numbers in the data of an answer, identifier left out.

    A block may hold fewer than ``item.parts``. A meter fills a number it does not have with
    FFH; that is NaN.

    Raises
    ------
    DecodeError
        The length fits no whole number, or a digit is no decimal digit.

    >>> from edge.adapters.dlt645_item import ITEMS
    >>> numbers(ITEMS.find("02030000"), bytes.fromhex("563492"))
    [-12.3456]
    """
    if not data or len(data) % item.stride or len(data) > item.size:
        raise DecodeError(f"{item.id}: {len(data)} bytes of data", data)
    return [
        _number(item, data[start : start + item.width])
        for start in range(0, len(data), item.stride)
    ]


def _number(item: Item, raw: bytes) -> float:
    if raw == b"\xff" * len(raw):
        return float("nan")
    minus = item.signed and bool(raw[-1] & 0x80)
    top = raw[-1] & 0x7F if item.signed else raw[-1]
    digits = bytes((top, *raw[-2::-1])).hex()
    if not digits.isdecimal():
        raise DecodeError(f"{item.id}: not decimal", raw)
    return float(-int(digits) if minus else int(digits)) / float(10**item.decimals)
